//! What can be said of the factors from the sums alone, in f64.

use rayon::prelude::*;

use crate::{DenseMatrix, FeatureStatistics};

/// Features with the sums that belong to their coefficients, all of the scaled activations.
pub(crate) struct Factors {
    /// Z [K, d].
    pub features: DenseMatrix,
    /// YᵀX [K, d].
    pub cross: DenseMatrix,
    /// YᵀY [K, K].
    pub gram: DenseMatrix,
    /// ‖X‖².
    pub squared_norm: f64,
}

impl Factors {
    /// ‖X − YZ‖² / ‖X‖², by the Gram identity; 0 for activations that are all zero.
    pub fn relative_error(&self) -> f64 {
        if self.squared_norm == 0.0 {
            return 0.0;
        }
        let explained: f64 = self.parts().iter().map(|part| 2.0 * part.inner - part.overlap).sum();
        ((self.squared_norm - explained) / self.squared_norm).max(0.0)
    }

    /// Statistics of each feature with `coefficients` Y [n, K].
    pub fn statistics(&self, coefficients: &DenseMatrix) -> Vec<FeatureStatistics> {
        let rank = self.features.rows;
        let mut active = vec![0u64; rank];
        let mut largest = vec![0f32; rank];
        for row in coefficients.values.chunks_exact(rank) {
            for (k, &y) in row.iter().enumerate() {
                active[k] += u64::from(y > 0.0);
                largest[k] = largest[k].max(y);
            }
        }
        let share = |energy: f64| if self.squared_norm > 0.0 { energy / self.squared_norm } else { 0.0 };
        self.parts()
            .iter()
            .enumerate()
            .map(|(k, part)| {
                let energy = f64::from(self.gram.row(k)[k]) * part.squared_norm;
                FeatureStatistics {
                    energy_share: share(energy),
                    // ‖R + y z‖² − ‖R‖² = 2⟨R, y z⟩ + ‖y z‖² with ⟨R, y z⟩ = inner − overlap.
                    explained_share: share(2.0 * (part.inner - part.overlap) + energy),
                    active_share: active[k] as f64 / coefficients.rows.max(1) as f64,
                    max_coefficient: largest[k],
                    norm: part.squared_norm.sqrt(),
                    nonzeros: self.features.row(k).iter().filter(|z| **z != 0.0).count() as u32,
                }
            })
            .collect()
    }

    fn parts(&self) -> Vec<Part> {
        let sparse: Vec<Vec<(usize, f64)>> = (0..self.features.rows)
            .map(|k| self.features.row(k).iter().enumerate().filter(|(_, z)| **z != 0.0))
            .map(|row| row.map(|(j, &z)| (j, f64::from(z))).collect())
            .collect();
        (0..self.features.rows)
            .into_par_iter()
            .map(|k| {
                let feature = self.features.row(k);
                let dot = |other: &[(usize, f64)]| other.iter().map(|&(j, z)| z * f64::from(feature[j])).sum::<f64>();
                Part {
                    inner: sparse[k].iter().map(|&(j, z)| z * f64::from(self.cross.row(k)[j])).sum(),
                    overlap: self.gram.row(k).iter().zip(&sparse).map(|(&c, z)| f64::from(c) * dot(z)).sum(),
                    squared_norm: dot(&sparse[k]),
                }
            })
            .collect()
    }
}

/// A feature's share of the Gram identity.
struct Part {
    /// ⟨y_k z_k, X⟩.
    inner: f64,
    /// ⟨y_k z_k, YZ⟩.
    overlap: f64,
    /// ‖z_k‖².
    squared_norm: f64,
}
