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
use crate::{Error, Progress, Stage, StopReason, best_iterate, debias, shrinkage};

/// Number of sweeps that find coefficients from zero.
const FIRST_SWEEPS: u32 = 8;
/// Number of sweeps after the values of the features have changed.
const NEXT_SWEEPS: u32 = 4;

/// Finds coefficients for `features`, which have at most m nonzeros each. Then the values of the features at their nonzeros and the coefficients
/// are fitted by turns, once for each of `pulls`: the values by least squares with this pull to those before, and the coefficients by coordinate
/// descent, with the penalty of the solver. The neurons of the features stay as they are.
pub(crate) async fn refit<'a, P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: Fit<'a>,
    features: &SparseFeatures,
    pulls: &[f64],
    watch: &mut Watch<'_, P>,
) -> Result<Iterated<'a>, Error> {
    write_features(&fit, features)?;
    let mut recording = Recording::new();
    fit.buffers.tokens.iter().for_each(|tokens| recording.clear(tokens.coefficients.buffer()));
    recording.clear(fit.buffers.state);
    fit.io.run_once(recording)?;
    let mut course = Course { start_seconds: watch.seconds(), ..Course::default() };
    let mut continues = watch.tell(Progress { stage: Stage::Iterate, ..course.progress(0.0, watch.latest()) });
    let mut stop_reason = StopReason::MaxIterations;
    for (round, pull) in (0..).zip(pulls.iter().map(Some).chain([None])) {
        let sweeps = if round == 0 { FIRST_SWEEPS } else { NEXT_SWEEPS };
        // Where the shrinkage is undone, that computes the cross product.
        fit.io.run_once(fit.steps().coefficients_pass(sweeps, !shrinkage::is_undone(&fit)))?;
        let report = latest_report(&fit, Some(round)).await?;
        course.take(&report, None, &fit.options, fit.measured.squared_norm)?;
        course.seconds.push(watch.seconds());
        continues &= watch.tell(course.progress(fit.measured.squared_norm, watch.latest()));
        if !continues {
            stop_reason = StopReason::Interrupted;
            break;
        }
        if let Some(&pull) = pull {
            shrinkage::undo(&fit)?;
            let mut factors = factors(&fit).await?;
            debias::debias(&mut factors, pull);
            let entries = |row: &Vec<Entry>| row.iter().map(|entry| (entry.neuron, entry.value)).collect();
            write_unit_features(&fit, factors.features.iter().map(entries).collect())?;
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
    write_unit_features(fit, features.rows.clone())
}

/// Writes features, given by their nonzeros, divided by their norms.
fn write_unit_features(fit: &Fit<'_>, features: Vec<Vec<Nonzero>>) -> Result<(), Error> {
    for (feature, entries) in (0..).zip(features) {
        let (neurons, mut values): (Vec<u32>, Vec<f32>) = entries.into_iter().unzip();
        let norm = norm(&values);
        values.iter_mut().filter(|_| norm > 0.0).for_each(|z| *z = (f64::from(*z) / norm) as f32);
        fit.io.write_feature(&fit.buffers.features, feature, &neurons, &values)?;
    }
    Ok(())
}
