//! What the engine computes: the metadata, parameter struct, wrapper and CPU twin of every kernel, and the
//! [`Recording`], which is a list of calls of kernels. This crate knows no graphics API.
//!
//! Each kernel is a module here and a file of the same name in `shaders/`. Its wrapper is a function that records it.
//! Its twin computes the same on the CPU. If you have read one of them, you know the other two.

mod absolute_maximum;
mod cholesky;
mod cholesky_step;
mod cluster_means;
mod coherence_penalty;
mod compose;
mod copy_rows;
mod cpu;
mod cross_product;
mod cycle_model;
mod element_type;
mod features;
mod fixed_order_sum;
mod gather_projection;
mod gather_rows;
mod hals_coefficients;
mod hals_features;
mod hals_residuals;
mod inner_product;
mod keep_best;
mod kernel;
mod kmeans_assign;
mod least_squares_cut;
mod listing;
mod loss;
mod multiplicative_update;
mod normalization;
mod normalize_coefficients;
mod offer;
mod projection;
mod promise;
mod recording;
mod reduction;
mod roofline;
mod sparse_projection;
mod squared_norm;
mod squared_residual;
mod token_residuals;
mod traffic;
mod trial;
mod triangular_solve;
mod variant;
mod winner_take_all;
mod workgroups;

pub use absolute_maximum::{ABSOLUTE_MAXIMUM, PARTIALS as MAXIMUM_PARTIALS, absolute_maximum};
pub use cholesky::{CHOLESKY, CholeskyFactor, Ridge, STATUS_WORDS, cholesky};
pub use cholesky_step::CHOLESKY_STEP;
pub use cluster_means::{CLUSTER_MEANS, cluster_means};
pub use coherence_penalty::{COHERENCE_PENALTY, Coherence, coherence_penalty};
pub use compose::{ComposeError, compose};
pub use copy_rows::{COPY_ROWS, copy_rows};
pub use cpu::{ProductInstructions, VECTORS_VARIABLE, Vectors, product_instructions};
pub use cross_product::{CROSS_PRODUCT, Split, Summation, cross_product, cross_product_parts};
pub use cycle_model::{Estimate, Machine};
pub use element_type::ElementType;
pub use features::{
    Features, LeastSquares, coefficient_gram, feature_gram, hals_sweep, is_sparse, least_squares, project,
    project_with_gram,
};
pub use fixed_order_sum::{FIXED_ORDER_SUM, FIXED_ORDER_SUM_PAIR, PendingSum, fixed_order_sum, fixed_order_sums};
pub use gather_projection::{GATHER_PROJECTION, gather_projection};
pub use gather_rows::{GATHER_ROWS, gather_rows};
pub use hals_coefficients::{DESCENT_SUM_WORDS, HALS_COEFFICIENTS, HalsOperands, InnerSum, Sweeps, hals_coefficients};
pub use hals_features::{HALS_FEATURES, hals_features};
pub use hals_residuals::{HALS_RESIDUALS, hals_residuals};
pub use inner_product::{INNER_PRODUCT, PARTIAL_WORDS, inner_product, sum_partials};
pub use keep_best::{KEEP_BEST, KEEP_BEST_PAIR, keep_best, keep_best_pair};
pub use kernel::{Access, BoundDispatch, Call, CpuTwin, Kernel, Memory};
pub use kmeans_assign::{Assignment, KMEANS_ASSIGN, kmeans_assign};
pub use least_squares_cut::{Cut, LEAST_SQUARES_CUT, least_squares_cut};
pub use loss::{LOSS, LossTerms, Report, STATE_WORDS, loss, report_words};
pub use multiplicative_update::{MULTIPLICATIVE_UPDATE, multiplicative_update};
pub use normalization::{NORMALIZATION, normalization};
pub use normalize_coefficients::{NORMALIZE_COEFFICIENTS, normalize_coefficients};
pub use offer::Offer;
pub use projection::{PROJECTION, projection};
pub use promise::{Precision, Promise};
pub use recording::{
    BufferId, BufferSpec, Chain, Command, Cost, Dispatch, Matrix, Moved, Recording, Resource, Workspace,
};
pub use reduction::{ReducedSum, Reduction, SumKind};
pub use roofline::{Bound, DEVICES, Device, DeviceError, Stage, device_names, stages};
pub use sparse_projection::{
    SPARSE_PROJECTION, SPARSE_PROJECTION_WITH_GRAM, sparse_projection, sparse_projection_with_gram,
};
pub use squared_norm::{SQUARED_NORM, squared_norm};
pub use squared_residual::{SQUARED_RESIDUAL, squared_residual};
pub use token_residuals::{TOKEN_RESIDUALS, token_residuals};
pub use traffic::{CacheModel, OperandTraffic, Traffic};
pub use trial::Trial;
pub use triangular_solve::{TRIANGULAR_SOLVE, triangular_solve};
pub use variant::{Needs, PORTABLE, Variant};
pub use winner_take_all::{WINNER_TAKE_ALL, winner_take_all};

use workgroups::workgroups;

/// All kernels.
pub static KERNELS: &[&Kernel] = &[
    &ABSOLUTE_MAXIMUM,
    &CHOLESKY,
    &CHOLESKY_STEP,
    &CLUSTER_MEANS,
    &COHERENCE_PENALTY,
    &COPY_ROWS,
    &CROSS_PRODUCT,
    &FIXED_ORDER_SUM,
    &FIXED_ORDER_SUM_PAIR,
    &GATHER_PROJECTION,
    &GATHER_ROWS,
    &HALS_COEFFICIENTS,
    &HALS_FEATURES,
    &HALS_RESIDUALS,
    &INNER_PRODUCT,
    &KEEP_BEST,
    &KEEP_BEST_PAIR,
    &KMEANS_ASSIGN,
    &LEAST_SQUARES_CUT,
    &LOSS,
    &MULTIPLICATIVE_UPDATE,
    &NORMALIZATION,
    &NORMALIZE_COEFFICIENTS,
    &PROJECTION,
    &SPARSE_PROJECTION,
    &SPARSE_PROJECTION_WITH_GRAM,
    &SQUARED_NORM,
    &SQUARED_RESIDUAL,
    &TOKEN_RESIDUALS,
    &TRIANGULAR_SOLVE,
    &WINNER_TAKE_ALL,
];
