//! Fits that iterate in lockstep, so that one pass over the activations serves all of them.

use std::ops::ControlFlow;

use crate::course::Course;
use crate::iterations::Iterations;
use crate::prepared_steps::PreparedSteps;
use crate::steps::{Steps, passes};
use crate::watch::Watch;
use crate::{Error, Progress, StopReason};

/// The iterations of fits that share a session. Each fit runs the commands that it would run alone, in the same order, and learns of its
/// reports at the same moments. So its bits are those of the fit alone.
pub(crate) struct Lockstep<'f> {
    fits: Vec<Iterations<'f>>,
    /// Whether reports of each fit are still to come.
    running: Vec<bool>,
    /// The pass that was run last.
    pass: Option<SharedPass>,
}

/// A pass that serves several fits.
struct SharedPass {
    /// The numbers of the fits, each with its number of updates of the coefficients.
    serves: Vec<(usize, u32)>,
    prepared: PreparedSteps,
}

impl<'f> Lockstep<'f> {
    pub fn new(fits: Vec<Iterations<'f>>) -> Self {
        Lockstep { running: vec![true; fits.len()], fits, pass: None }
    }

    /// The iterations of each fit.
    pub fn fits(&mut self) -> &mut [Iterations<'f>] {
        &mut self.fits
    }

    /// Submits the iterations that may run ahead of their reports, and takes in the next report of each fit that still runs. Returns false
    /// if there is none.
    pub async fn step<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        watches: &mut [Watch<'_, P>],
    ) -> Result<bool, Error> {
        loop {
            let mut of = Vec::new();
            for (number, fit) in self.fits.iter_mut().enumerate().filter(|(number, _)| self.running[*number]) {
                if fit.may_submit() {
                    of.push((number, fit.before_pass().await?));
                }
            }
            if of.is_empty() {
                break;
            }
            let numbers: Vec<usize> = of.iter().map(|&(number, _)| number).collect();
            self.run_pass(of)?;
            numbers.into_iter().for_each(|number| self.fits[number].after_pass());
        }
        for ((fit, running), watch) in self.fits.iter_mut().zip(&mut self.running).zip(watches) {
            *running = *running && fit.take_report(watch).await?;
        }
        Ok(self.running.contains(&true))
    }

    /// Runs a pass that serves these fits.
    fn run_pass(&mut self, serves: Vec<(usize, u32)>) -> Result<(), Error> {
        let pass = match self.pass.take().filter(|pass| pass.serves == serves) {
            Some(pass) => pass,
            None => {
                let steps: Vec<(Steps<'_>, u32)> =
                    serves.iter().map(|&(number, updates)| (self.fits[number].fit().steps(), updates)).collect();
                let prepared = self.fits[serves[0].0].fit().io.prepare(passes(&steps))?;
                SharedPass { serves, prepared }
            }
        };
        pass.prepared.run()?;
        self.pass = Some(pass);
        Ok(())
    }

    /// The course of each fit, and why it ended.
    pub fn finish(self) -> Vec<(Course, StopReason)> {
        self.fits.into_iter().map(Iterations::finish).collect()
    }
}
