//! Makes the result of a fit: puts the factors in place as they will be saved, verifies them, and computes their statistics.

use std::ops::ControlFlow;

use unmix_kernels::Precision;
use unmix_runtime::EngineKind;

use crate::course::Course;
use crate::factors_in_place::factors;
use crate::fit::Fit;
use crate::statistics::{Activity, Factors, Part, statistics};
use crate::verification::Verification;
use crate::watch::Watch;
use crate::{
    DenseMatrix, Error, Factorization, FeatureStatistics, FitSummary, Optimality, Progress, Stage, StopReason,
    best_iterate, debias, shrinkage,
};

/// Largest allowed energy of all features' own parts, in units of ‖X‖². Parts overlap, so together they may have more energy than the
/// activations. If they have this much more, they cancel one another, and f32 cannot hold the difference.
const MOST_ENERGY: f64 = 1e8;

/// The result of a fit whose iterations are over.
pub(crate) async fn result<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: Fit<'_>,
    course: Course,
    stop_reason: StopReason,
    watch: &mut Watch<'_, P>,
) -> Result<Factorization, Error> {
    watch.stage(Stage::Verify);
    let is_last = !fit.options.keep_best || course.best_iteration == course.losses.len() as u32;
    if !is_last {
        best_iterate::restore(&fit, course.best_loss).await?;
    }
    // Otherwise the sums on the device belong to another iterate, or are rounded.
    let unshrunk = shrinkage::undo(&fit)?;
    let mut found = Found::new(&fit, unshrunk || is_last && !may_round(&fit)).await?;
    let claimed = course.best_loss + course.best_uncertainty;
    if let Some(problem) = found.problem(&fit, claimed) {
        // A caller who wants the last iterate as it is gets no other coefficients. With a penalty, the last iterate is the best one.
        if !fit.options.keep_best && !fit.options.solver.updates().coefficients.is_penalized() {
            return Err(Error::Unsound { problem });
        }
        log::warn!("{problem}; the coefficients are found anew");
        best_iterate::find_from_zero(&fit).await?;
        let unshrunk = shrinkage::undo(&fit)?;
        found = Found::new(&fit, unshrunk).await?;
        if let Some(problem) = found.problem(&fit, claimed) {
            return Err(Error::Unsound { problem });
        }
    }
    let has_energy = fit.measured.squared_norm > 0.0;
    let result = found.into_factorization(fit, course, stop_reason, watch).await?;
    // That the activations are all zero was told before the iterations.
    if let Some(warning) = result.summary.warning().filter(|_| has_energy) {
        log::warn!("{warning}");
    }
    Ok(result)
}

/// Whether the cross product of an iteration may have been computed of rounded operands, on any rank.
fn may_round(fit: &Fit<'_>) -> bool {
    match fit.steps().precision() {
        Precision::F32 => false,
        // The CPU engine has nothing that is faster with 11 bits.
        Precision::F16 => fit.engine.kind() == EngineKind::Gpu || fit.distribution.engines_differ(),
        Precision::Bf16 => true,
    }
}

/// The factors in place, as they will be saved, and what was computed about them.
struct Found {
    /// The nonzeros of each feature, as pairs (neuron, value) in the units of the unscaled activations.
    features: Vec<Vec<(u32, f32)>>,
    parts: Vec<Part>,
    verification: Verification,
}

impl Found {
    /// Debiases the features if the options say so, puts them in place as they will be saved, and verifies the factors. `sums_are_theirs`
    /// says that the cross product and the Gram matrix on the device belong to these coefficients. Otherwise both are computed again.
    async fn new(fit: &Fit<'_>, sums_are_theirs: bool) -> Result<Self, Error> {
        if !sums_are_theirs {
            fit.io.run_once(fit.steps().sums(Precision::F32))?;
        }
        let mut factors = factors(fit).await?;
        if fit.options.debias {
            debias::debias(&mut factors, 0.0);
        }
        let features = put_in_place(fit, &mut factors)?;
        let verification = Verification::of(fit).await?;
        Ok(Found { features, parts: factors.parts(), verification })
    }

    /// What is wrong with the factors, if anything. `claimed` is the largest value that the loss of their iteration may have had.
    fn problem(&self, fit: &Fit<'_>, claimed: f64) -> Option<String> {
        let energy: f64 = self.parts.iter().map(|part| part.energy).sum();
        if energy > MOST_ENERGY * fit.measured.squared_norm {
            let times = energy / fit.measured.squared_norm;
            return Some(format!(
                "features cancel one another: their parts are {times:.0e} times the activations' energy"
            ));
        }
        self.verification.problem(fit.measured.squared_norm, claimed)
    }

    async fn into_factorization<P: FnMut(&Progress) -> ControlFlow<()>>(
        self,
        fit: Fit<'_>,
        course: Course,
        stop_reason: StopReason,
        watch: &Watch<'_, P>,
    ) -> Result<Factorization, Error> {
        let Found { features: entries, parts, verification } = self;
        let (rank, neurons) = (fit.options.rank as usize, fit.neurons as usize);
        // Buffers are released before the result takes memory.
        fit.io.release(fit.buffers.sums.cross.buffer());
        let mut coefficients = DenseMatrix {
            rows: fit.layout.tokens as usize,
            columns: rank,
            values: Vec::with_capacity(fit.layout.tokens as usize * rank),
        };
        for tokens in &fit.buffers.tokens {
            if tokens.has_copy() {
                fit.io.release(tokens.best_coefficients.buffer());
            }
            coefficients.values.extend(fit.io.read_matrix(tokens.coefficients).await?.values);
            fit.io.release(tokens.coefficients.buffer());
        }
        let Fit { engine, io, buffers, options, measured, tokens, distribution, .. } = fit;
        drop(io);
        let (scale, squared_norm) = (measured.scale, measured.squared_norm);
        let mut features = DenseMatrix { rows: rank, columns: neurons, values: vec![0.0; rank * neurons] };
        for (row, entries) in features.values.chunks_exact_mut(neurons).zip(&entries) {
            entries.iter().for_each(|&(neuron, value)| row[neuron as usize] = value);
        }
        // From here on, the scale of the activations is undone.
        let unscale = 1.0 / f64::from(scale);
        let square = unscale * unscale;
        let share = |energy: f64| if squared_norm > 0.0 { energy / squared_norm } else { 0.0 };
        let of_ranks = distribution.communicator().of_each_rank(&Activity::of(&coefficients, rank));
        let of_feature = |k: usize| of_ranks.iter().map(|of_rank| of_rank[k]).fold(Activity::default(), Activity::and);
        let activities: Vec<Activity> = (0..rank).map(of_feature).collect();
        let feature_statistics: Vec<FeatureStatistics> = statistics(&parts, &activities, tokens, squared_norm)
            .into_iter()
            .map(|s| FeatureStatistics { norm: s.norm * unscale, ..s })
            .collect();
        let dead = |s: &FeatureStatistics| s.active_share == 0.0 || s.nonzeros == 0;
        Ok(Factorization {
            summary: FitSummary {
                relative_error: share(verification.loss),
                optimality: Some(Optimality {
                    coefficients: share(verification.coefficient_slope).sqrt(),
                    features: share(parts.iter().map(|part| part.improvement).sum()).sqrt(),
                }),
                iterations: course.losses.len() as u32,
                best_iteration: course.best_iteration,
                stop_reason,
                seconds: watch.seconds(),
                engine: engine.kind().name().to_owned(),
                adapter: engine.adapter().to_owned(),
                tokens,
                neurons: neurons as u32,
                kept_per_feature: buffers.features.kept,
                squared_norm: squared_norm * square,
                loss_curve: course.losses.iter().map(|loss| loss * square).collect(),
                start_seconds: course.start_seconds,
                seconds_curve: course.seconds,
                objective_curve: course.objectives.iter().map(|objective| objective * square).collect(),
                revived: course.revived,
                unsettled_tokens: verification.unsettled_tokens,
                dead_features: (0..).zip(&feature_statistics).filter(|(_, s)| dead(s)).map(|(k, _)| k).collect(),
                feature_statistics,
                options,
                consensus: None,
            },
            features,
            coefficients,
        })
    }
}

/// Writes the features, and returns them in the units of the unscaled activations. They must be written because the cross product may have
/// overwritten them, or debiasing may have changed them. The scale is a power of two, so nothing is rounded except at the ends of the
/// range. What is in place is what will be saved.
fn put_in_place(fit: &Fit<'_>, factors: &mut Factors) -> Result<Vec<Vec<(u32, f32)>>, Error> {
    let scale = f64::from(fit.measured.scale);
    let mut saved = Vec::with_capacity(factors.features.len());
    for (feature, entries) in (0..).zip(&mut factors.features) {
        let own: Vec<(u32, f32)> = entries.iter().map(|e| (e.neuron, (f64::from(e.value) / scale) as f32)).collect();
        for (entry, (_, value)) in entries.iter_mut().zip(&own) {
            entry.value = (f64::from(*value) * scale) as f32;
        }
        let neurons: Vec<u32> = entries.iter().map(|entry| entry.neuron).collect();
        let values: Vec<f32> = entries.iter().map(|entry| entry.value).collect();
        fit.io.write_feature(&fit.buffers.features, feature, &neurons, &values)?;
        saved.push(own);
    }
    Ok(saved)
}
