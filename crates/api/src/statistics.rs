//! What can be said of the factors from the sums alone, in f64.

use rayon::prelude::*;

use crate::{DenseMatrix, FeatureStatistics};

/// A nonzero of a feature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub neuron: u32,
    /// z_kj.
    pub value: f32,
    /// (YᵀX)_kj.
    pub cross: f32,
}

/// Features with the sums that belong to their coefficients, all of the scaled activations.
pub(crate) struct Factors {
    /// The nonzeros of each feature, neurons ascending.
    pub features: Vec<Vec<Entry>>,
    /// YᵀY [K, K].
    pub gram: DenseMatrix,
    /// Number of neurons d.
    pub neurons: usize,
}

/// What the sums say of one feature.
pub(crate) struct Part {
    /// ⟨y_k z_k, X⟩.
    inner: f64,
    /// ⟨y_k z_k, YZ⟩.
    overlap: f64,
    /// ‖y_k z_k‖².
    pub energy: f64,
    /// ‖z_k‖.
    norm: f64,
    /// Nonzeros of the feature.
    nonzeros: u32,
    /// ‖(YᵀR)_k‖² / ‖y_k‖² over the neurons that the feature keeps, where R = X − YZ: by this much the squared error would fall
    /// if this feature alone were fitted again. 0 for a feature without coefficients.
    pub improvement: f64,
}

impl Factors {
    /// A part for each feature.
    pub fn parts(&self) -> Vec<Part> {
        self.features
            .par_iter()
            .enumerate()
            .map_init(
                || vec![0f64; self.neurons],
                |reconstructed, (k, feature)| {
                    // (YᵀYZ)_k, of which only the kept neurons are looked at.
                    reconstructed.fill(0.0);
                    for (&weight, other) in self.gram.row(k).iter().zip(&self.features).filter(|(c, _)| **c != 0.0) {
                        for entry in other {
                            reconstructed[entry.neuron as usize] += f64::from(weight) * f64::from(entry.value);
                        }
                    }
                    let at = |entry: &Entry| reconstructed[entry.neuron as usize];
                    let squared_norm: f64 = feature.iter().map(|entry| f64::from(entry.value).powi(2)).sum();
                    let energy = f64::from(self.gram.row(k)[k]);
                    let slope: f64 = feature.iter().map(|entry| (f64::from(entry.cross) - at(entry)).powi(2)).sum();
                    Part {
                        inner: feature.iter().map(|entry| f64::from(entry.value) * f64::from(entry.cross)).sum(),
                        overlap: feature.iter().map(|entry| f64::from(entry.value) * at(entry)).sum(),
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

/// Statistics of each feature, from its part and `coefficients` Y [n, K], given ‖X‖².
pub(crate) fn statistics(parts: &[Part], coefficients: &DenseMatrix, squared_norm: f64) -> Vec<FeatureStatistics> {
    let rank = parts.len();
    let mut active = vec![0u64; rank];
    let mut largest = vec![0f32; rank];
    for row in coefficients.values.chunks_exact(rank) {
        for (k, &y) in row.iter().enumerate() {
            active[k] += u64::from(y > 0.0);
            largest[k] = largest[k].max(y);
        }
    }
    let share = |energy: f64| if squared_norm > 0.0 { energy / squared_norm } else { 0.0 };
    parts
        .iter()
        .enumerate()
        .map(|(k, part)| FeatureStatistics {
            energy_share: share(part.energy),
            // ‖R + y z‖² − ‖R‖² = 2⟨R, y z⟩ + ‖y z‖² with ⟨R, y z⟩ = inner − overlap.
            explained_share: share(2.0 * (part.inner - part.overlap) + part.energy),
            active_share: active[k] as f64 / coefficients.rows.max(1) as f64,
            max_coefficient: largest[k],
            norm: part.norm,
            nonzeros: part.nonzeros,
        })
        .collect()
}
