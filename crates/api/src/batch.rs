//! Several fits of the same activations at once.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use unmix_runtime::{Activations, Engine, PanelLayout, block_on};

use crate::checkpoints::Checkpoints;
use crate::distribution::Distribution;
use crate::run::{Asked, Run};
use crate::watch::Watch;
use crate::{Error, Factorization, Progress, SemiNmf};

/// Several fits of the same activations, which iterate in lockstep. A panel of the activations is read, and brought to the device, once in an
/// iteration of all of them. The activations are also measured once. The fits may differ in any option. A fit that has ended leaves the
/// lockstep. Each fit ends with the same bits as alone on the same engine.
///
/// ```
/// use unmix::{Batch, CpuEngine, Engine, HostActivations, SemiNmf};
///
/// let x = (0..600).map(|i| f32::from(i as u8 % 7) - 3.0).collect();
/// let engine = CpuEngine::new();
/// let activations = engine.load(&HostActivations::from_f32(x, 60, 10)?)?;
/// let alone = SemiNmf::new(3).sparsity(0.5).seed(1);
/// let fits = Batch::new(vec![alone.clone(), alone.clone().seed(2)]).fit(&engine, &activations)?;
/// assert_eq!(fits[0].features, alone.fit(&engine, &activations)?.features);
/// # Ok::<(), unmix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    fits: Vec<SemiNmf>,
}

impl Batch {
    /// A batch of these fits. They take no checkpoints.
    pub fn new(fits: Vec<SemiNmf>) -> Self {
        Batch { fits }
    }

    /// Computes all fits, and waits for the results, which are in the order of the fits.
    ///
    /// # Errors
    /// As [`SemiNmf::fit`], for the first fit that fails: no result is then returned. [`Error::Option`] if there is no fit, or if one of
    /// them takes checkpoints or goes on from one.
    pub fn fit(&self, engine: &dyn Engine, activations: &Activations) -> Result<Vec<Factorization>, Error> {
        self.fit_and_tell(engine, activations, &mut |_, _| ControlFlow::Continue(()))
    }

    /// As [`fit`](Self::fit), with a callback that gets the number of a fit and its progress. If the callback breaks, all fits stop and
    /// return what they have. Those that have run no iteration until then run one first.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        mut progress: impl FnMut(usize, &Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Factorization>, Error> {
        self.fit_and_tell(engine, activations, &mut progress)
    }

    /// All callbacks have one type here, so that a batch is compiled once, and not again for every caller.
    fn fit_and_tell(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        progress: &mut dyn FnMut(usize, &Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Factorization>, Error> {
        block_on(self.fit_async(engine, activations, progress))
    }

    /// As [`fit_with`](Self::fit_with), without blocking the thread.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub async fn fit_async(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        progress: impl FnMut(usize, &Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Factorization>, Error> {
        let asked = self.asked(activations.layout())?;
        let distribution = Arc::new(Distribution::alone(activations.layout()));
        let caller = Caller::new(progress);
        let mut tells: Vec<_> = (0..asked.len()).map(|fit| caller.of_fit(fit)).collect();
        let mut watches: Vec<_> = tells
            .iter_mut()
            .zip(&asked)
            .map(|(tell, asked)| Watch::new(tell, &distribution, asked.options.max_iterations, 0.0))
            .collect();
        let copies_samples = self.fits.iter().all(SemiNmf::copies_samples);
        let run = Run { engine, activations, copies_samples, distribution: Arc::clone(&distribution) };
        let iterated = run.anew(&asked, Checkpoints::new(None), &mut watches).await?;
        let mut results = Vec::with_capacity(iterated.len());
        for (iterated, watch) in iterated.into_iter().zip(&mut watches) {
            results.push(iterated.result(watch).await?);
        }
        Ok(results)
    }

    pub(crate) fn asked(&self, layout: &PanelLayout) -> Result<Vec<Asked<'_>>, Error> {
        let refuse = |given: String, expected: &str| {
            Err(Error::Option { option: "batch", given, expected: expected.to_owned() })
        };
        if self.fits.is_empty() {
            return refuse("no fits".to_owned(), "at least one fit is needed");
        }
        if let Some(number) = self.fits.iter().position(SemiNmf::has_checkpoints) {
            return refuse(
                format!("a fit with checkpoints (number {number})"),
                "fits of a batch take no checkpoints, and begin anew; run this fit alone",
            );
        }
        if let Some(number) = self.fits.iter().position(SemiNmf::is_distributed) {
            return refuse(
                format!("a fit over several processes (number {number})"),
                "fits of a batch are computed in one process; run this fit alone",
            );
        }
        self.fits.iter().map(|fit| fit.asked(layout)).collect()
    }
}

/// The callback that fits share. After it has asked one of them to stop, it asks all.
struct Caller<P>(Mutex<(P, bool)>);

impl<P: FnMut(usize, &Progress) -> ControlFlow<()>> Caller<P> {
    fn new(callback: P) -> Self {
        Caller(Mutex::new((callback, false)))
    }

    /// The callback of one fit.
    fn of_fit(&self, fit: usize) -> impl FnMut(&Progress) -> ControlFlow<()> {
        move |progress| {
            let (callback, stopped) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *stopped |= callback(fit, progress).is_break();
            if *stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
}
