//! Fits coefficients, and the values of the features, for features whose neurons are given.

use std::ops::ControlFlow;

use unmix_kernels::{Precision, Recording};

use crate::course::Course;
use crate::factors_in_place::factors;
use crate::fit::Fit;
use crate::report::latest_report;
use crate::run::Iterated;
use crate::sparse_features::{Nonzero, SparseFeatures, norm};
use crate::statistics::Entry;
use crate::watch::Watch;
use crate::{Error, Progress, Stage, StopReason, best_iterate, debias};

/// Number of sweeps that find coefficients from zero.
const FIRST_SWEEPS: u32 = 8;
/// Number of sweeps after the values of the features have changed.
const NEXT_SWEEPS: u32 = 4;

/// Finds coefficients for `features`, which have at most m nonzeros each. Then the values of the features at their nonzeros and the coefficients
/// are fitted by turns, once for each of `steps`. Each neuron's values go this share of the way to their least-squares ones, and the coefficients
/// are found by coordinate descent, with the penalty of the solver. The neurons of the features stay as they are.
pub(crate) async fn refit<'a, P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: Fit<'a>,
    features: &SparseFeatures,
    steps: &[f32],
    watch: &mut Watch<'_, P>,
) -> Result<Iterated<'a>, Error> {
    write_features(&fit, features)?;
    let mut recording = Recording::new();
    fit.buffers.tokens.iter().for_each(|tokens| recording.clear(tokens.coefficients.buffer()));
    recording.clear(fit.buffers.state);
    fit.io.run_once(recording)?;
    let mut course = Course { start_seconds: watch.seconds(), ..Course::default() };
    let mut continues = watch.tell(Progress { stage: Stage::Iterate, ..course.progress(0.0, watch.latest()) });
    let (first, next) =
        (fit.steps().coefficients_pass(FIRST_SWEEPS, true), fit.steps().coefficients_pass(NEXT_SWEEPS, true));
    let (first, next) = (fit.io.prepare(first)?, fit.io.prepare(next)?);
    let mut stop_reason = StopReason::MaxIterations;
    for (round, share) in (0..).zip(steps.iter().map(Some).chain([None])) {
        if round == 0 { &first } else { &next }.run()?;
        let report = latest_report(&fit, Some(round)).await?;
        course.take(&report, None, &fit.options, fit.measured.squared_norm)?;
        course.seconds.push(watch.seconds());
        continues &= watch.tell(course.progress(fit.measured.squared_norm, watch.latest()));
        if !continues {
            stop_reason = StopReason::Interrupted;
            break;
        }
        if let Some(share) = share {
            let mut factors = factors(&fit).await?;
            let before = factors.features.clone();
            debias::debias(&mut factors);
            let step = |(old, new): (&Entry, &Entry)| (old.neuron, old.value + share * (new.value - old.value));
            let entries = |(old, new): (&Vec<Entry>, &Vec<Entry>)| old.iter().zip(new).map(step).collect();
            write_unit_features(&fit, before.iter().zip(&factors.features).map(entries).collect())?;
        }
    }
    if !fit.options.solver.updates().features.keeps_unit_norm() {
        best_iterate::move_scale_to_features(&fit)?;
        // The sums in place belong to the coefficients before.
        fit.io.run_once(fit.steps().sums(Precision::F32))?;
    }
    Ok(Iterated { fit, course, stop_reason })
}

/// Writes features, which have at most m nonzeros each.
pub(crate) fn write_features(fit: &Fit<'_>, features: &SparseFeatures) -> Result<(), Error> {
    let entries = |row: &Vec<Nonzero>| row.iter().map(|&(neuron, z)| (neuron, z as f32)).collect();
    write_unit_features(fit, features.rows.iter().map(entries).collect())
}

/// Writes features, given by their nonzeros, divided by their norms.
fn write_unit_features(fit: &Fit<'_>, features: Vec<Vec<(u32, f32)>>) -> Result<(), Error> {
    for (feature, entries) in (0..).zip(features) {
        let (neurons, mut values): (Vec<u32>, Vec<f32>) = entries.into_iter().unzip();
        let norm = norm(&values);
        values.iter_mut().filter(|_| norm > 0.0).for_each(|z| *z = (f64::from(*z) / norm) as f32);
        fit.io.write_feature(&fit.buffers.features, feature, &neurons, &values)?;
    }
    Ok(())
}
