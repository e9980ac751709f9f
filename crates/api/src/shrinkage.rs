//! Undoes what the penalty does to the size of the coefficients.

use crate::Error;
use crate::fit::Fit;

/// Number of sweeps. They begin with coefficients that are near. A token uses few features, so they settle fast.
const SWEEPS: u32 = 16;

/// Whether the coefficients of a fit's result are found again without its penalty.
pub(crate) fn is_undone(fit: &Fit<'_>) -> bool {
    fit.options.unshrink && fit.options.solver.updates().penalize(&fit.options)
}

/// Moves the coefficients above zero to their least-squares values for the features in place, if the options say so. Coefficients of zero
/// stay zero, so the error cannot rise. Returns whether it did so. In that case the cross product and the Gram matrix on the device belong to
/// these coefficients, and are not rounded.
pub(crate) fn undo(fit: &Fit<'_>) -> Result<bool, Error> {
    let undoes = is_undone(fit);
    if undoes {
        fit.io.run_once(fit.steps().unshrinking_pass(SWEEPS))?;
    }
    Ok(undoes)
}
