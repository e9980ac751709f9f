//! The kept entries of the features, as plain rows of words.

use unmix_kernels::{BufferId, ElementType, Features, Matrix};

/// The kept entries of all features. Each of the two lists is a matrix of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptEntries {
    /// The kept neurons, m for each feature, feature after feature.
    pub indices: Matrix,
    /// The values at these neurons, in the same order.
    pub values: Matrix,
}

impl KeptEntries {
    /// The kept entries of `features`.
    pub fn of(features: &Features) -> Self {
        let count = features.dense.rows * features.kept;
        let row = |buffer: BufferId| Matrix {
            resource: buffer.into(),
            element: ElementType::F32,
            rows: 1,
            columns: count,
            stride: count.next_multiple_of(4),
            first: 0,
        };
        KeptEntries { indices: row(features.indices), values: row(features.values) }
    }
}
