//! Sparse features on the device, and the steps that work on all of them.

use crate::cross_product::{Split, Summation, cross_product_parts};
use crate::fixed_order_sum::PendingSum;
use crate::{
    BufferId, Chain, CholeskyFactor, Matrix, Precision, Recording, Ridge, Workspace, cholesky, gather_projection,
    hals_features, hals_residuals, projection, sparse_projection, sparse_projection_with_gram, triangular_solve,
};

/// Features Z in two forms that always agree: dense with zeros, and the kept neurons with their values.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Z [K, d], with zeros for neurons that are not kept.
    pub dense: Matrix,
    /// Kept neurons [K, m], ascending in each row.
    pub indices: BufferId,
    /// Their values [K, m].
    pub values: BufferId,
    /// m, the number of neurons that each feature keeps.
    pub kept: u32,
}

impl Features {
    /// The features in `dense` [K, d], with new buffers in the workspace for their kept entries, `kept` for each
    /// feature.
    pub fn in_workspace(workspace: &mut Workspace, dense: Matrix, kept: u32) -> Self {
        let entries = u64::from(dense.rows) * u64::from(kept);
        Features {
            dense,
            indices: workspace.words("kept neurons of the features", entries),
            values: workspace.words("kept values of the features", entries),
            kept,
        }
    }

    /// Whether projecting by gathering the kept neurons is faster than the dense product.
    pub fn is_sparse(&self) -> bool {
        is_sparse(self.kept, self.dense.columns)
    }
}

/// What `shaders/shared/selection.wgsl` does one after the other for a feature. The row is read in every pass, as often as a thread has
/// vectors.
pub(crate) fn selection_chain(columns: u32) -> Chain {
    const NEURONS_AT_ONCE: u32 = 1024;
    const NEURONS_OF_CHUNK: u32 = 8192;
    let (digits, sum) = (4, 2);
    let chunks = u64::from(columns.div_ceil(NEURONS_OF_CHUNK));
    let barriers = digits * 5 + sum + chunks * (6 + sum);
    let loads = (digits + 3) * u64::from(columns.div_ceil(NEURONS_AT_ONCE));
    Chain { barriers, loads, cycles: 0 }
}

/// Whether projecting onto features that keep `kept` of `neurons` neurons is faster by gathering those than by the
/// dense product. A gathered multiply-add costs several times as much as one of a tiled product.
pub fn is_sparse(kept: u32, neurons: u32) -> bool {
    u64::from(kept) * 8 <= u64::from(neurons)
}

/// Up to this many tokens, one workgroup for each feature fills a device better, while one for 128 features reads
/// faster: it reads a row once, and not 32 bytes for each neuron that a feature keeps.
const FEW_TOKENS: u32 = 256;

/// Records P = scale · X Zᵀ [rows, K]. It touches only the kept neurons if that is cheaper.
pub fn project(recording: &mut Recording, activations: Matrix, features: &Features, projections: Matrix, scale: f32) {
    if features.is_sparse() {
        let Features { indices, values, kept, .. } = *features;
        let sparse = if activations.rows <= FEW_TOKENS { gather_projection } else { sparse_projection };
        sparse(recording, activations, indices, values, kept, projections, scale);
    } else {
        projection(recording, activations, features.dense, projections, scale);
    }
}

/// Records the feature Gram matrix Q = ZZᵀ [K, K]: the projections of the features onto themselves.
pub fn feature_gram(recording: &mut Recording, features: &Features, gram: Matrix) {
    project(recording, features.dense, features, gram, 1.0);
}

/// Records both. Of many tokens, one dispatch computes both if it touches only the kept neurons.
pub fn project_with_gram(
    recording: &mut Recording,
    activations: Matrix,
    features: &Features,
    projections: Matrix,
    scale: f32,
    gram: Matrix,
) {
    if features.is_sparse() && activations.rows > FEW_TOKENS {
        sparse_projection_with_gram(recording, activations, features, projections, scale, gram);
    } else {
        feature_gram(recording, features, gram);
        project(recording, activations, features, projections, scale);
    }
}

/// Records the coefficient Gram matrix C (+)= YᵀY [K, K]: the cross product of the coefficients with themselves. If the
/// sum is taken in parts, only the parts are recorded. [`fixed_order_sum`](crate::fixed_order_sum()) must follow then.
pub fn coefficient_gram(
    recording: &mut Recording,
    coefficients: Matrix,
    gram: Matrix,
    accumulate: bool,
    split: Option<Split>,
) -> Option<PendingSum> {
    let summation = Summation { precision: Precision::F32, split };
    cross_product_parts(recording, coefficients, coefficients, gram, 1.0, accumulate, summation)
}

/// Operands of [`least_squares`].
#[derive(Clone, Copy, Debug)]
pub struct LeastSquares {
    /// C = YᵀY [K, K].
    pub gram: Matrix,
    /// YᵀX [K, d]. It may be the memory of the dense features, which then replace it.
    pub cross: Matrix,
    /// Room for the Cholesky factor of C.
    pub factor: CholeskyFactor,
}

/// Records least squares: the dense features become (C + ridge·I)⁻¹ YᵀX, for all neurons (Shafran et al. 2026, the
/// update of Z). A cut must follow, such as [`least_squares_cut`](crate::least_squares_cut()).
pub fn least_squares(recording: &mut Recording, operands: &LeastSquares, features: &Features, ridge: Ridge) {
    cholesky(recording, operands.gram, operands.factor, ridge);
    recording.copy(operands.cross.buffer(), features.dense.buffer(), operands.cross.elements() * 4);
    triangular_solve(recording, operands.factor, features.dense);
}

/// Most ranges into which a sweep over the features is cut. A range costs two dispatches, and within a range features
/// correct one another one by one, which is the slower way.
const SWEEP_RANGES: u32 = 8;
/// Fewest features of a range.
const FEWEST_IN_RANGE: u32 = 16;

/// Records a sweep of coordinate descent (HALS; Cichocki and Phan 2009) over the features. One after the other, each
/// becomes the exact minimiser among vectors of norm 1 with m nonzeros, while the others are fixed. With C = YᵀY
/// the loss never rises. `cross` = YᵀX [K, d] is used up. C = `coefficient_gram` [K, K].
pub fn hals_sweep(recording: &mut Recording, cross: Matrix, coefficient_gram: Matrix, features: &Features) {
    let rank = features.dense.rows;
    let range = rank.div_ceil(SWEEP_RANGES).max(FEWEST_IN_RANGE);
    for first in (0..rank).step_by(range as usize) {
        let count = range.min(rank - first);
        hals_residuals(recording, cross, coefficient_gram, features, first, count);
        hals_features(recording, cross, coefficient_gram, features, first, count);
    }
}
