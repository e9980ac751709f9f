//! What can be said of the factors from the sums alone, in f64.

use std::cmp::Ordering;

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
        let rank = self.features.len();
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
                    nonzeros: self.features[k].len() as u32,
                }
            })
            .collect()
    }

    fn parts(&self) -> Vec<Part> {
        self.features
            .par_iter()
            .enumerate()
            .map(|(k, feature)| Part {
                inner: feature.iter().map(|e| f64::from(e.value) * f64::from(e.cross)).sum(),
                overlap: self
                    .gram
                    .row(k)
                    .iter()
                    .zip(&self.features)
                    .map(|(&c, l)| f64::from(c) * dot(feature, l))
                    .sum(),
                squared_norm: dot(feature, feature),
            })
            .collect()
    }
}

/// ⟨z, z'⟩ of two features.
fn dot(a: &[Entry], b: &[Entry]) -> f64 {
    let mut sum = 0.0;
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.neuron.cmp(&y.neuron) {
            Ordering::Less => _ = a.next(),
            Ordering::Greater => _ = b.next(),
            Ordering::Equal => {
                sum += f64::from(x.value) * f64::from(y.value);
                a.next();
                b.next();
            }
        }
    }
    sum
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
