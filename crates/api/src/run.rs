//! A fit from its begin, or from a checkpoint, to its end.

use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmix_runtime::{Activations, Engine};

use crate::checkpoint_handles::SharedReader;
use crate::checkpoint_header::CheckpointHeader;
use crate::checkpoints::{CheckpointSchedule, Checkpoints};
use crate::course::Course;
use crate::fit::{Fit, Opening, Saved};
use crate::iterations::Iterations;
use crate::result::result;
use crate::start::start;
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Factorization, Options, OutlierTokens, Progress, Stage, StopReason, kmeans};

/// A fit that is to be run.
pub(crate) struct Run<'a> {
    pub engine: &'a dyn Engine,
    pub activations: &'a Activations,
    pub options: Options,
    /// Coefficients to start from.
    pub given: Option<&'a DenseMatrix>,
    pub checkpoints: Option<CheckpointSchedule>,
    /// Whether samples of streamed activations are copied.
    pub copies_samples: bool,
}

impl Run<'_> {
    /// Measures the activations, starts, iterates, and verifies the result.
    pub async fn anew<P: FnMut(&Progress) -> ControlFlow<()>>(self, progress: &mut P) -> Result<Factorization, Error> {
        let watch = &mut Watch::new(progress, self.options.max_iterations, 0.0);
        let checkpoints = Checkpoints::new(self.checkpoints);
        watch.stage(Stage::Measure);
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        let gathered = kmeans::likely_tokens(&self.options, self.activations.layout().tokens, rng.clone());
        let from = Opening::Anew { gathered, copies_samples: self.copies_samples };
        let fit = Fit::open(self.engine, self.activations, self.options, from).await?;
        warn_of_outliers(&fit);
        watch.stage(Stage::Start);
        let start = start(&fit, self.given, &mut rng, watch).await?;
        fit.samples.release(&fit.io);
        let iterations = Iterations::begin(&fit, start, rng, watch.seconds())?;
        let (course, stop_reason) = iterate(&fit, iterations, checkpoints, watch).await?;
        result(fit, course, stop_reason, watch).await
    }

    /// Goes on from a checkpoint, and verifies the result.
    pub async fn resume<P: FnMut(&Progress) -> ControlFlow<()>>(
        self,
        checkpoint: &SharedReader,
        progress: &mut P,
    ) -> Result<Factorization, Error> {
        let header = CheckpointHeader::parse(checkpoint.0.header())?;
        header.check(&self.options, self.activations.layout(), self.engine)?;
        let watch = &mut Watch::new(progress, self.options.max_iterations, header.summary.seconds);
        let checkpoints = Checkpoints::new(self.checkpoints);
        let saved = Saved { buffers: &*checkpoint.0, scale: header.scale };
        let fit = Fit::open(self.engine, self.activations, self.options, Opening::Saved(saved)).await?;
        let iterations = Iterations::resume(&fit, header.state)?;
        let (course, stop_reason) = iterate(&fit, iterations, checkpoints, watch).await?;
        result(fit, course, stop_reason, watch).await
    }
}

async fn iterate<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &Fit<'_>,
    mut iterations: Iterations<'_>,
    mut checkpoints: Checkpoints,
    watch: &mut Watch<'_, P>,
) -> Result<(Course, StopReason), Error> {
    iterations.announce(watch);
    if iterations.is_interrupted() {
        // The start was cut short: what follows is not the fit that was asked for.
        checkpoints.end();
    }
    loop {
        checkpoints.between_steps(fit, &mut iterations, watch).await?;
        if !iterations.step(watch).await? {
            return Ok(iterations.finish());
        }
    }
}

fn warn_of_outliers(fit: &Fit<'_>) {
    let energies: Vec<f64> = fit.measured.token_energy.iter().map(|&energy| f64::from(energy)).collect();
    if let Some(warning) = OutlierTokens::of(&energies).warning() {
        log::warn!("{warning}");
    }
    if fit.measured.squared_norm == 0.0 {
        log::warn!("all activations are zero, so the features stand for nothing");
    }
}
