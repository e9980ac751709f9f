//! What is measured with one number of features and one sparsity.

use serde::{Deserialize, Serialize};

use super::grid_point::GridPoint;

/// A number of features with a sparsity, and what the fits with it are like. Figures of fits are means over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Number of features K.
    pub rank: u32,
    /// Share of the neurons that a feature keeps.
    pub sparsity: f64,
    /// Number m of neurons that a feature keeps.
    pub kept_per_feature: u32,
    /// Seeds of the fits.
    pub seeds: Vec<u64>,
    /// ‖X − YZ‖² / ‖X‖² of the fit with each seed.
    pub relative_errors: Vec<f64>,
    /// The [error](crate::held_out_error) on each held-out fold of the tokens. Empty if nothing was held out.
    pub held_out_errors: Vec<f64>,
    /// Mean cosine of the matched features of two fits, for each pair of seeds. Empty with a single seed.
    pub stabilities: Vec<f64>,
    /// For each seed, the number of features that at least half of the other seeds find as well, with a cosine of at least
    /// 0.8. Zeros with a single seed.
    pub reproducible_features: Vec<u32>,
    /// Features that no token uses.
    pub dead_features: f64,
    /// Features with a near copy: another one with a cosine of at least 0.9.
    pub duplicate_features: f64,
    /// Features that a token uses.
    pub active_features: f64,
    /// Iterations of a fit.
    pub iterations: f64,
    /// Seconds that all fits took together, those of the folds included.
    pub seconds: f64,
}

impl SweepPoint {
    /// Its place in the grid.
    pub fn place(&self) -> GridPoint {
        GridPoint { rank: self.rank, sparsity: self.sparsity }
    }

    /// Mean of the errors of the fits.
    pub fn relative_error(&self) -> f64 {
        mean(&self.relative_errors).unwrap_or(f64::NAN)
    }

    /// Mean of the errors of the folds. Absent if nothing was held out.
    pub fn held_out_error(&self) -> Option<f64> {
        mean(&self.held_out_errors)
    }

    /// Mean stability of the pairs of seeds. Absent with a single seed.
    pub fn stability(&self) -> Option<f64> {
        mean(&self.stabilities)
    }

    /// Mean number of reproducible features. Absent with a single seed.
    pub fn reproducible(&self) -> Option<f64> {
        let counts: Vec<f64> = self.reproducible_features.iter().map(|&count| f64::from(count)).collect();
        if self.stabilities.is_empty() { None } else { mean(&counts) }
    }
}

/// The mean, if there are any values.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
impl SweepPoint {
    /// A point of 5 seeds and 4 folds.
    pub(super) fn example(rank: u32, held_out: f64, stability: f64) -> Self {
        SweepPoint {
            rank,
            sparsity: 0.05,
            kept_per_feature: 10,
            seeds: (0..5).collect(),
            relative_errors: vec![held_out - 0.1; 5],
            // The folds differ, but the ranks do alike on all of them.
            held_out_errors: [-0.1, 0.0, 0.02, 0.08].map(|fold| held_out + fold).to_vec(),
            stabilities: vec![stability; 10],
            reproducible_features: vec![(f64::from(rank) * stability) as u32; 5],
            dead_features: 0.0,
            duplicate_features: 0.0,
            active_features: 5.0,
            iterations: 30.0,
            seconds: 1.0,
        }
    }
}
