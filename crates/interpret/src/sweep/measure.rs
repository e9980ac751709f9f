//! The fits of one point of a sweep, and what is measured of them.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Instant;

use unmix::{
    ActivationSource, Batch, DenseMatrix, Engine, Factorization, Placement, Progress, SemiNmf, StopReason,
    feature_cosines,
};
use unmix_data::SelectedRows;

use super::agreement::SeedAgreement;
use super::grid_point::GridPoint;
use super::point::{SweepPoint, mean};
use super::sweep_options::Sweep;
use crate::FitError;
use crate::health::DUPLICATE_COSINE;
use crate::held_out::{Folds, folds, held_out_error};

/// The activations of a sweep, and where they are fitted.
pub struct SweepData<'a> {
    engine: &'a dyn Engine,
    placement: Placement,
    at_once: usize,
    source: Arc<dyn ActivationSource + Send>,
    prompt_ids: Option<&'a [i64]>,
}

/// Fits of a point that are computed at once.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepStep {
    /// The point.
    pub at: GridPoint,
    /// Numbers of the fits, from 0.
    pub fits: Range<u32>,
    /// Number of fits of the point.
    pub of: u32,
}

/// Sees the fits of a sweep.
pub trait SweepObserver {
    /// Called as [`Batch::fit_with`] calls its callback. If it breaks, the sweep stops.
    fn progress(&mut self, _step: &SweepStep, _progress: &Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called with each fit of all tokens.
    fn fitted(&mut self, fit: Factorization);
}

impl<'a> SweepData<'a> {
    /// Activations [n, d], which the engine keeps in its memory. `prompt_ids` has the prompt of each token, if known: the
    /// tokens of a prompt are held out together.
    pub fn new(
        engine: &'a dyn Engine,
        source: Arc<dyn ActivationSource + Send>,
        prompt_ids: Option<&'a [i64]>,
    ) -> Self {
        SweepData { engine, placement: Placement::Resident, at_once: usize::MAX, source, prompt_ids }
    }

    /// Places the activations differently, for example as a [plan](Batch::plan_part_within) of the fits says.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// The most fits of all tokens that are computed at once, for example as a [plan](Batch::plan_part_within) says. These fits share one
    /// reading of the activations in each iteration. 0 counts as 1. Default: those of all seeds of a point.
    pub fn at_once(mut self, fits: usize) -> Self {
        self.at_once = fits.max(1);
        self
    }

    fn fit(
        &self,
        fits: Vec<SemiNmf>,
        rows: Arc<dyn ActivationSource + Send>,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Factorization>, FitError> {
        let activations = self.placement.place(self.engine, rows)?;
        let copies_samples = self.placement.copies_samples();
        let fits = fits.into_iter().map(|fit| fit.copy_samples(copies_samples)).collect();
        Ok(Batch::new(fits).fit_with(self.engine, &activations, |_, told| progress(told))?)
    }
}

/// Nobody watches.
struct Unwatched;

impl SweepObserver for Unwatched {
    fn fitted(&mut self, _: Factorization) {}
}

impl Sweep {
    /// Measures everything.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn run(&self, data: &SweepData<'_>) -> Result<Vec<SweepPoint>, FitError> {
        let mut points = Vec::new();
        while let Some(at) = self.next(&points) {
            let Some(point) = self.measure(data, at, &mut Unwatched)? else { break };
            points.push(point);
        }
        Ok(points)
    }

    /// Fits all tokens with each seed, and the tokens outside each fold. Measures the fits. `None` if the observer stopped
    /// them.
    ///
    /// # Errors
    /// As [`SemiNmf::fit`] and [`held_out_error`].
    pub fn measure(
        &self,
        data: &SweepData<'_>,
        at: GridPoint,
        observer: &mut dyn SweepObserver,
    ) -> Result<Option<SweepPoint>, FitError> {
        let began = Instant::now();
        let seed = self.seed;
        let folds = self.folds_of(data);
        let held_out = folds.as_ref().map_or(0, Folds::count);
        let step = |fits: Range<u32>| SweepStep { at, fits, of: self.seeds + held_out };
        let is_stopped = |fit: &Factorization| fit.summary.stop_reason == StopReason::Interrupted;

        let mut fits = Fits::default();
        let mut first = 0;
        for together in self.fits(at).chunks(data.at_once) {
            let end = first + together.len() as u32;
            let step = step(first..end);
            first = end;
            let watch = |progress: &Progress| observer.progress(&step, progress);
            let fitted = data.fit(together.to_vec(), data.source.clone(), watch)?;
            if fitted.iter().any(is_stopped) {
                return Ok(None);
            }
            for fit in fitted {
                fits.add(&fit)?;
                observer.fitted(fit);
            }
        }
        let mut held_out_errors = Vec::new();
        for fold in 0..held_out {
            let Some(folds) = &folds else { break };
            let training = SelectedRows::new(data.source.clone(), &folds.training(fold));
            let step = step(self.seeds + fold..self.seeds + fold + 1);
            let watch = |progress: &Progress| observer.progress(&step, progress);
            // Each fold has a seed of its own, so that the mean does not depend on one start.
            let fit = self.fit_at(at).seed(seed.wrapping_add(u64::from(fold)));
            let fitted = data.fit(vec![fit], Arc::new(training), watch)?;
            if fitted.iter().any(is_stopped) {
                return Ok(None);
            }
            let tokens = SelectedRows::new(data.source.clone(), &folds.held_out(fold));
            for fit in &fitted {
                held_out_errors.push(held_out_error(data.engine, &tokens, &fit.features, seed)?);
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Some(fits.into_point(at, held_out_errors, seconds)?))
    }

    /// The folds of the tokens, if any are held out.
    fn folds_of(&self, data: &SweepData<'_>) -> Option<Folds> {
        if self.folds < 2 {
            return None;
        }
        let folds = folds(data.source.tokens() as usize, data.prompt_ids, self.folds, self.seed);
        (folds.count() >= 2).then_some(folds)
    }

    /// The fewest tokens that a fit of `tokens` tokens has while a fold is held out. No rank may be larger.
    pub fn least_tokens(&self, data: &SweepData<'_>) -> u64 {
        self.folds_of(data).map_or(data.source.tokens(), |folds| folds.least_training_tokens())
    }
}

/// What is kept of the fits of all tokens.
#[derive(Default)]
struct Fits {
    seeds: Vec<u64>,
    features: Vec<DenseMatrix>,
    kept_per_feature: u32,
    errors: Vec<f64>,
    dead: Vec<f64>,
    duplicates: Vec<f64>,
    active: Vec<f64>,
    iterations: Vec<f64>,
}

impl Fits {
    fn add(&mut self, fit: &Factorization) -> Result<(), FitError> {
        let summary = &fit.summary;
        self.seeds.push(summary.options.seed);
        self.kept_per_feature = summary.kept_per_feature;
        self.errors.push(summary.relative_error);
        self.dead.push(summary.dead_features.len() as f64);
        self.duplicates.push(duplicates(&fit.features)? as f64);
        self.active.push(summary.feature_statistics.iter().map(|feature| feature.active_share).sum());
        self.iterations.push(f64::from(summary.iterations));
        self.features.push(fit.features.clone());
        Ok(())
    }

    fn into_point(self, at: GridPoint, held_out_errors: Vec<f64>, seconds: f64) -> Result<SweepPoint, FitError> {
        let agreement = SeedAgreement::of(&self.features)?;
        let mean = |values: &[f64]| mean(values).unwrap_or(0.0);
        Ok(SweepPoint {
            rank: at.rank,
            sparsity: at.sparsity,
            kept_per_feature: self.kept_per_feature,
            held_out_errors,
            stabilities: agreement.stabilities,
            reproducible_features: agreement.reproducible,
            dead_features: mean(&self.dead),
            duplicate_features: mean(&self.duplicates),
            active_features: mean(&self.active),
            iterations: mean(&self.iterations),
            seeds: self.seeds,
            relative_errors: self.errors,
            seconds,
        })
    }
}

/// Number of features with another one that has nearly the same direction.
fn duplicates(features: &DenseMatrix) -> Result<usize, unmix::Error> {
    let cosines = feature_cosines(features, features)?;
    let has_copy =
        |&k: &usize| cosines.row(k).iter().enumerate().any(|(other, &cosine)| other != k && cosine >= DUPLICATE_COSINE);
    Ok((0..features.rows).filter(has_copy).count())
}
