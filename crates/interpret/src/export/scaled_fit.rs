//! A fit with features of unit length.

use unmix::{DenseMatrix, unit_features};
use unmix_data::{FitRecord, TokenColumns};

use super::ExportError;
use crate::distribution::largest_coefficients;
use crate::norms;

/// Stated in every export, because factors can be scaled against each other without changing their product.
pub const SCALE: &str =
    "activations = coefficients * features; features have unit norm, coefficients carry the magnitude";

/// A fit in the scale of exports: Ŷ Ẑ = Y Z. The rows of Ẑ have unit norm, and the norms are in the columns of Ŷ.
#[derive(Clone, Debug)]
pub struct ScaledFit {
    /// Ẑ [K, d]. A feature that is all zero stays zero.
    pub features: DenseMatrix,
    /// Ŷ ≥ 0, [n, K].
    pub coefficients: DenseMatrix,
    /// ‖z_k‖ of the fit's own features, K of them.
    pub norms: Vec<f64>,
    /// Columns of the tokens.
    pub columns: TokenColumns,
    /// ‖X − YZ‖² / ‖X‖² as the fit recorded it.
    pub relative_error: f64,
    /// Version of unmix that made the fit.
    pub unmix_version: String,
    /// How well the runs of a consensus agree on each feature, K of them. `None` for a single run.
    pub reproducibility: Option<Vec<f64>>,
}

impl ScaledFit {
    /// The fit in the scale of exports.
    ///
    /// # Errors
    /// If a coefficient times its feature's norm is beyond f32.
    pub fn new(record: &FitRecord) -> Result<ScaledFit, ExportError> {
        let norms = norms(&record.features);
        let mut coefficients = record.coefficients.clone();
        for (token, row) in coefficients.values.chunks_exact_mut(coefficients.columns).enumerate() {
            for (k, (y, norm)) in row.iter_mut().zip(&norms).enumerate() {
                *y = (f64::from(*y) * norm) as f32;
                if !y.is_finite() {
                    return Err(ExportError::Range(format!(
                        "the coefficient of token {token}, feature {k} is beyond the range of f32 once the feature has unit \
                         norm; fit activations of a smaller scale"
                    )));
                }
            }
        }
        Ok(ScaledFit {
            features: unit_features(&record.features),
            coefficients,
            norms,
            columns: record.columns.clone(),
            relative_error: record.run.summary.relative_error,
            unmix_version: record.run.unmix_version.clone(),
            reproducibility: record.run.summary.feature_statistics.iter().map(|s| s.reproducibility).collect(),
        })
    }

    /// The largest coefficient of each feature, K of them.
    pub fn largest_coefficients(&self) -> Vec<f32> {
        largest_coefficients(&self.coefficients)
    }

    /// Number of features K.
    pub fn rank(&self) -> usize {
        self.features.rows
    }

    /// Number of neurons d.
    pub fn neurons(&self) -> usize {
        self.features.columns
    }

    /// Number of tokens n.
    pub fn tokens(&self) -> usize {
        self.coefficients.rows
    }

    /// Whether each feature is not all zero and some token uses it.
    pub(super) fn alive(&self) -> Vec<bool> {
        let mut used = vec![false; self.rank()];
        for row in self.coefficients.values.chunks_exact(self.rank()) {
            used.iter_mut().zip(row).for_each(|(used, &y)| *used |= y > 0.0);
        }
        used
    }

    /// Mean number of features that a token uses.
    pub(super) fn mean_active(&self) -> f64 {
        let active = self.coefficients.values.iter().filter(|&&y| y > 0.0).count();
        active as f64 / self.tokens().max(1) as f64
    }
}
