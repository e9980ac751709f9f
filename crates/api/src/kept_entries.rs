//! The kept entries of features as plain rows of words.

use unmix_kernels::{BufferId, ElementType, Features, Matrix};

/// The kept entries of all features, each list as one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptEntries {
    /// Kept neurons of feature after feature, m of each.
    pub indices: Matrix,
    /// Their values.
    pub values: Matrix,
}

impl KeptEntries {
    /// Those of `features`.
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
