//! Fits that share a session, from their begin, or one from a checkpoint, to the end of their iterations.

use std::ops::ControlFlow;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmix_runtime::{Activations, Engine};

use crate::checkpoint_header::CheckpointHeader;
use crate::checkpoints::Checkpoints;
use crate::course::Course;
use crate::distribution::Distribution;
use crate::fit::{Beginning, Fit, Saved};
use crate::iteration_state::IterationState;
use crate::iterations::Iterations;
use crate::lockstep::Lockstep;
use crate::result::result;
use crate::same_features::same_features;
use crate::start::start;
use crate::watch::Watch;
use crate::{
    CheckpointReader, DenseMatrix, Error, Factorization, Options, OutlierTokens, Progress, Stage, StopReason, kmeans,
};

/// What fits are computed with.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub engine: &'a dyn Engine,
    /// The activations of this process.
    pub activations: &'a Activations,
    /// Which tokens this process has.
    pub distribution: Arc<Distribution>,
    /// Whether samples of streamed activations are copied.
    pub copies_samples: bool,
}

/// A fit that is to begin: its options, and the coefficients to start from if they are given.
#[derive(Clone)]
pub(crate) struct Asked<'a> {
    pub options: Options,
    pub given: Option<&'a DenseMatrix>,
}

/// A fit whose iterations are over.
pub(crate) struct Iterated<'a> {
    pub fit: Fit<'a>,
    pub course: Course,
    pub stop_reason: StopReason,
}

impl<'a> Run<'a> {
    /// Measures the activations once, starts one fit after the other, and iterates all of them in lockstep. There is a watch for each fit.
    pub async fn anew<P: FnMut(&Progress) -> ControlFlow<()>>(
        self,
        asked: &[Asked<'_>],
        checkpoints: Checkpoints,
        watches: &mut [Watch<'_, P>],
    ) -> Result<Vec<Iterated<'a>>, Error> {
        for watch in watches.iter_mut() {
            watch.stage(Stage::Measure);
        }
        let tokens = self.distribution.tokens();
        let beginning = |Asked { options, .. }: &Asked<'_>| Beginning {
            gathered: kmeans::likely_tokens(options, tokens, random(options)),
            options: options.clone(),
        };
        let beginnings = asked.iter().map(beginning).collect();
        let fits =
            Fit::begin(self.engine, self.activations, self.distribution, beginnings, self.copies_samples).await?;
        warn_of_outliers(&fits[0]);
        let mut started = Vec::with_capacity(fits.len());
        for ((fit, Asked { given, .. }), watch) in fits.iter().zip(asked).zip(&mut *watches) {
            let mut rng = random(&fit.options);
            watch.stage(Stage::Start);
            started.push((start(fit, *given, &mut rng, watch).await?, rng));
            same_features(fit).await?;
        }
        fits.iter().for_each(|fit| fit.samples.release(&fit.io));
        let mut iterations = Vec::with_capacity(fits.len());
        for ((fit, (start, rng)), watch) in fits.iter().zip(started).zip(&*watches) {
            iterations.push(Iterations::begin(fit, start, rng, watch.seconds())?);
        }
        let ends = iterate(iterations, checkpoints, watches).await?;
        let iterated = |(fit, (course, stop_reason))| Iterated { fit, course, stop_reason };
        Ok(fits.into_iter().zip(ends).map(iterated).collect())
    }

    /// Goes on with one fit from a checkpoint.
    pub async fn resume<P: FnMut(&Progress) -> ControlFlow<()>>(
        self,
        options: Options,
        header: CheckpointHeader<IterationState>,
        checkpoint: &dyn CheckpointReader,
        checkpoints: Checkpoints,
        watch: &mut Watch<'_, P>,
    ) -> Result<Iterated<'a>, Error> {
        let saved = Saved { buffers: checkpoint, scale: header.state.scale };
        let fit = Fit::resume(self.engine, self.activations, self.distribution, options, saved).await?;
        let iterations = vec![Iterations::resume(&fit, header.state)?];
        let (course, stop_reason) = iterate(iterations, checkpoints, std::slice::from_mut(watch)).await?.remove(0);
        Ok(Iterated { fit, course, stop_reason })
    }
}

/// The random numbers of a fit that begins.
pub(crate) fn random(options: &Options) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(options.seed)
}

impl Iterated<'_> {
    /// The result, verified.
    pub async fn result<P: FnMut(&Progress) -> ControlFlow<()>>(
        self,
        watch: &mut Watch<'_, P>,
    ) -> Result<Factorization, Error> {
        result(self.fit, self.course, self.stop_reason, watch).await
    }
}

/// Iterates fits to their ends. Checkpoints are taken of a fit alone.
async fn iterate<P: FnMut(&Progress) -> ControlFlow<()>>(
    mut fits: Vec<Iterations<'_>>,
    mut checkpoints: Checkpoints,
    watches: &mut [Watch<'_, P>],
) -> Result<Vec<(Course, StopReason)>, Error> {
    for (iterations, watch) in fits.iter_mut().zip(&mut *watches) {
        iterations.announce(watch);
    }
    if fits.iter().any(Iterations::is_interrupted) {
        // The start was cut short: what follows is not the fit that was asked for.
        checkpoints.end();
    }
    let mut lockstep = Lockstep::new(fits);
    loop {
        if let ([only], [watch]) = (lockstep.fits(), &*watches) {
            checkpoints.between_steps(only, watch).await?;
        }
        if !lockstep.step(watches).await? {
            return Ok(lockstep.finish());
        }
    }
}

/// Warns of activations that make poor features.
pub(crate) fn warn_of_outliers(fit: &Fit<'_>) {
    if fit.distribution.communicator().rank() > 0 {
        return;
    }
    let energies: Vec<f64> = fit.measured.token_energy.iter().map(|&energy| f64::from(energy)).collect();
    if let Some(warning) = OutlierTokens::of(&energies).warning() {
        log::warn!("{warning}");
    }
    if fit.measured.squared_norm == 0.0 {
        log::warn!("all activations are zero, so the features stand for nothing");
    }
}
