//! Dense matrices of f64 with known content.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unmix::{ElementType, HostActivations};

/// A matrix of f64, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Values, row after row.
    pub values: Vec<f64>,
}

impl Dense {
    /// A matrix from a function of row and column.
    pub fn from_fn(rows: usize, columns: usize, mut f: impl FnMut(usize, usize) -> f64) -> Self {
        let values = (0..rows * columns).map(|i| f(i / columns, i % columns)).collect();
        Dense { rows, columns, values }
    }

    /// Standard normal values, rounded to `element` so that all engines start from the same numbers.
    pub fn random(seed: u64, rows: usize, columns: usize, element: ElementType) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self::from_fn(rows, columns, |_, _| {
            // The sum of twelve uniforms is close enough to normal here.
            let value = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            round(value, element)
        })
    }

    /// Random values of at least 0, about a third of them exactly 0.
    pub fn random_coefficients(seed: u64, rows: usize, columns: usize) -> Self {
        let mut dense = Self::random(seed, rows, columns, ElementType::F32);
        dense.values.iter_mut().for_each(|v| *v = (*v + 0.4).max(0.0));
        dense
    }

    /// The value at a place.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.columns + column]
    }

    /// The matrix with rows and columns exchanged.
    pub fn transposed(&self) -> Self {
        Self::from_fn(self.columns, self.rows, |i, j| self.at(j, i))
    }

    /// The values as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }

    /// As activations stored in `element`.
    ///
    /// # Panics
    /// Never: the sizes fit.
    pub fn to_activations(&self, element: ElementType) -> HostActivations {
        let (n, d) = (self.rows as u64, self.columns as u64);
        let values = self.values.iter().copied();
        match element {
            ElementType::F32 => HostActivations::from_f32(values.map(|v| v as f32).collect(), n, d),
            ElementType::F16 => HostActivations::from_f16(values.map(half::f16::from_f64).collect(), n, d),
            ElementType::Bf16 => HostActivations::from_bf16(values.map(half::bf16::from_f64).collect(), n, d),
        }
        .expect("sizes fit")
    }
}

/// The value that `element` holds after rounding.
pub(crate) fn round(value: f64, element: ElementType) -> f64 {
    match element {
        ElementType::F32 => f64::from(value as f32),
        ElementType::F16 => half::f16::from_f64(value).to_f64(),
        ElementType::Bf16 => half::bf16::from_f64(value).to_f64(),
    }
}
