//! Debias: refits the features' values, the supports and the coefficients unchanged.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use rayon::prelude::*;

use crate::statistics::Factors;

/// Ridge as a share of the mean diagonal, for features with the same coefficients.
const RIDGE: f64 = 1e-9;

/// Least squares of each neuron j on the features S that keep it: C\[S,S\] z = (YᵀX)\[S, j\].
pub(crate) fn debias(factors: &mut Factors) {
    let columns = factors.features.columns;
    let refitted: Vec<Vec<(usize, f32)>> = (0..columns).into_par_iter().map(|j| neuron(factors, j)).collect();
    for (j, entries) in refitted.into_iter().enumerate() {
        for (k, z) in entries {
            factors.features.values[k * columns + j] = z;
        }
    }
}

fn neuron(factors: &Factors, j: usize) -> Vec<(usize, f32)> {
    let energy = |k: usize| f64::from(factors.gram.row(k)[k]);
    let kept: Vec<usize> =
        (0..factors.features.rows).filter(|&k| factors.features.row(k)[j] != 0.0 && energy(k) > 0.0).collect();
    if kept.is_empty() {
        return Vec::new();
    }
    let ridge = RIDGE * kept.iter().map(|&k| energy(k)).sum::<f64>() / kept.len() as f64;
    let gram = Mat::from_fn(kept.len(), kept.len(), |a, b| {
        f64::from(factors.gram.row(kept[a])[kept[b]]) + if a == b { ridge } else { 0.0 }
    });
    let right_side = Mat::from_fn(kept.len(), 1, |a, _| f64::from(factors.cross.row(kept[a])[j]));
    let Ok(llt) = Llt::new(gram.as_ref(), Side::Lower) else { return Vec::new() };
    let solution = llt.solve(&right_side);
    kept.iter()
        .enumerate()
        .map(|(a, &k)| (k, solution[(a, 0)] as f32))
        // A value that vanishes would shrink the support; one that is not finite would spoil it.
        .filter(|(_, z)| z.is_finite() && *z != 0.0)
        .collect()
}
