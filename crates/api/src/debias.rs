//! Debiasing: refits the values of the features. Their supports and the coefficients stay as they are.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use rayon::prelude::*;

use crate::statistics::Factors;

/// Ridge as a share of the mean diagonal. It is there because features with equal coefficients make the matrix singular.
const RIDGE: f64 = 1e-9;

/// Fits each neuron j by least squares on the features S that keep it: C\[S,S\] z = (YᵀX)\[S, j\], where C = YᵀY. With a `pull` τ above zero, the
/// values are drawn to those before, by the penalty τ Σₖ Cₖₖ (zₖ − zₖ before)². What the tokens say little about then stays near where it was.
pub(crate) fn debias(factors: &mut Factors, pull: f64) {
    // For each neuron: the features that keep it, and its place among the entries of each.
    let neurons = factors.features.iter().flatten().map(|entry| entry.neuron + 1).max().unwrap_or(0);
    let mut keepers = vec![Vec::new(); neurons as usize];
    for (k, feature) in factors.features.iter().enumerate() {
        for (place, entry) in feature.iter().enumerate() {
            keepers[entry.neuron as usize].push((k, place));
        }
    }
    let refitted: Vec<Vec<((usize, usize), f32)>> =
        keepers.par_iter().map(|kept| neuron(factors, kept, pull)).collect();
    for ((k, place), value) in refitted.into_iter().flatten() {
        factors.features[k][place].value = value;
    }
}

fn neuron(factors: &Factors, kept: &[(usize, usize)], pull: f64) -> Vec<((usize, usize), f32)> {
    let energy = |k: usize| f64::from(factors.gram.row(k)[k]);
    let kept: Vec<(usize, usize)> = kept.iter().copied().filter(|&(k, _)| energy(k) > 0.0).collect();
    if kept.is_empty() {
        return Vec::new();
    }
    let ridge = RIDGE * kept.iter().map(|&(k, _)| energy(k)).sum::<f64>() / kept.len() as f64;
    let gram = Mat::from_fn(kept.len(), kept.len(), |a, b| {
        f64::from(factors.gram.row(kept[a].0)[kept[b].0]) + if a == b { ridge + pull * energy(kept[a].0) } else { 0.0 }
    });
    let right_side = Mat::from_fn(kept.len(), 1, |a, _| {
        let (k, place) = kept[a];
        let entry = factors.features[k][place];
        f64::from(entry.cross) + pull * energy(k) * f64::from(entry.value)
    });
    let Ok(llt) = Llt::new(gram.as_ref(), Side::Lower) else { return Vec::new() };
    let solution = llt.solve(&right_side);
    kept.iter()
        .enumerate()
        .map(|(a, &place)| (place, solution[(a, 0)] as f32))
        // A value of zero would shrink the support. A value that is not finite would make the feature useless.
        .filter(|(_, z)| z.is_finite() && *z != 0.0)
        .collect()
}
