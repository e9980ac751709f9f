//! Statistics of the features, computed in f64 from the sums and the coefficients.

use rayon::prelude::*;

use crate::{DenseMatrix, FeatureStatistics};

/// A nonzero entry of a feature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub neuron: u32,
    /// z_kj.
    pub value: f32,
    /// (YᵀX)_kj.
    pub cross: f32,
}

/// The features and the sums of their coefficients, all for the scaled activations.
pub(crate) struct Factors {
    /// The nonzeros of each feature, in ascending order of neurons.
    pub features: Vec<Vec<Entry>>,
    /// YᵀY [K, K].
    pub gram: DenseMatrix,
    /// Number of neurons d.
    pub neurons: usize,
    /// Whether features keep norm 1, so that only their directions are fitted.
    pub keep_unit_norm: bool,
}

/// What the sums say about one feature.
pub(crate) struct Part {
    /// ⟨y_k z_k, X⟩.
    inner: f64,
    /// ⟨y_k z_k, YZ⟩.
    overlap: f64,
    /// ‖y_k z_k‖².
    pub energy: f64,
    /// ‖z_k‖.
    norm: f64,
    /// Number of nonzeros of the feature.
    nonzeros: u32,
    /// ‖(YᵀR)_k‖² / ‖y_k‖² over the neurons that the feature keeps, where R = X − YZ. The squared error would fall by this amount if only
    /// this feature were fitted again. For features of norm 1 it is what a change of direction would gain. It is 0 for a feature without
    /// coefficients.
    pub improvement: f64,
}

impl Factors {
    /// Computes the part of each feature.
    pub fn parts(&self) -> Vec<Part> {
        self.features
            .par_iter()
            .enumerate()
            .map_init(
                || vec![0f64; self.neurons],
                |reconstructed, (k, feature)| {
                    // This is (YᵀYZ)_k. Only its kept neurons are used.
                    reconstructed.fill(0.0);
                    for (&weight, other) in self.gram.row(k).iter().zip(&self.features).filter(|(c, _)| **c != 0.0) {
                        for entry in other {
                            reconstructed[entry.neuron as usize] += f64::from(weight) * f64::from(entry.value);
                        }
                    }
                    let at = |entry: &Entry| reconstructed[entry.neuron as usize];
                    let squared_norm: f64 = feature.iter().map(|entry| f64::from(entry.value).powi(2)).sum();
                    let energy = f64::from(self.gram.row(k)[k]);
                    let inner = feature.iter().map(|entry| f64::from(entry.value) * f64::from(entry.cross)).sum();
                    let overlap = feature.iter().map(|entry| f64::from(entry.value) * at(entry)).sum();
                    let mut slope: f64 = feature.iter().map(|entry| (f64::from(entry.cross) - at(entry)).powi(2)).sum();
                    if self.keep_unit_norm && squared_norm > 0.0 {
                        let along: f64 = inner - overlap;
                        slope = (slope - along * along / squared_norm).max(0.0);
                    }
                    Part {
                        inner,
                        overlap,
                        energy: energy * squared_norm,
                        norm: squared_norm.sqrt(),
                        nonzeros: feature.len() as u32,
                        improvement: if energy > 0.0 { slope / energy } else { 0.0 },
                    }
                },
            )
            .collect()
    }
}

/// What the coefficients of a feature say about it.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Activity {
    /// Number of tokens whose coefficient is above zero.
    active: u64,
    /// The largest coefficient, in f64 so that there is no padding.
    largest: f64,
}

impl Activity {
    /// The activity of each feature, from coefficients [tokens, `rank`].
    pub fn of(coefficients: &DenseMatrix, rank: usize) -> Vec<Activity> {
        let mut activities = vec![Activity::default(); rank];
        for row in coefficients.values.chunks_exact(rank) {
            for (activity, &y) in activities.iter_mut().zip(row) {
                activity.active += u64::from(y > 0.0);
                activity.largest = activity.largest.max(y.into());
            }
        }
        activities
    }

    /// The activity over the tokens of both.
    pub fn and(self, other: Activity) -> Activity {
        Activity { active: self.active + other.active, largest: self.largest.max(other.largest) }
    }
}

/// The statistics of each feature, from its part, its activity, the number of tokens and ‖X‖².
pub(crate) fn statistics(
    parts: &[Part],
    activities: &[Activity],
    tokens: u64,
    squared_norm: f64,
) -> Vec<FeatureStatistics> {
    let share = |energy: f64| if squared_norm > 0.0 { energy / squared_norm } else { 0.0 };
    parts
        .iter()
        .zip(activities)
        .map(|(part, activity)| FeatureStatistics {
            energy_share: share(part.energy),
            // ‖R + y z‖² − ‖R‖² = 2⟨R, y z⟩ + ‖y z‖² with ⟨R, y z⟩ = inner − overlap.
            explained_share: share(2.0 * (part.inner - part.overlap) + part.energy),
            active_share: activity.active as f64 / tokens.max(1) as f64,
            max_coefficient: activity.largest as f32,
            norm: part.norm,
            nonzeros: part.nonzeros,
            reproducibility: None,
            found_in: None,
        })
        .collect()
}
