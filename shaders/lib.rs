//! Compute shaders of unmix, as text.
//!
//! Each kernel is a WGSL file with the entry point `main`. Its formula and shapes are at the top of the file. A kernel
//! that reads activations imports `shared/elements.wgsl`, and has a variant for each storage type: the features `f32`,
//! `f16` and `bf16`, exactly one of which is set. Imports and conditions are written as in WESL. `unmix-kernels` reads
//! the part of WESL that its `compose/wesl.rs` names. A kernel that can be compiled in several ways has features for
//! that too, or further files. Unless a file's name or its top says otherwise, it needs nothing beyond portable WebGPU.

/// The modules: their paths within the package, and their text.
pub const SOURCES: &[(&str, &str)] = &[
    ("absolute_maximum", include_str!("absolute_maximum.wgsl")),
    ("cholesky", include_str!("cholesky.wgsl")),
    ("cholesky_step", include_str!("cholesky_step.wgsl")),
    ("cluster_means", include_str!("cluster_means.wgsl")),
    ("coherence_penalty", include_str!("coherence_penalty.wgsl")),
    ("copy_rows", include_str!("copy_rows.wgsl")),
    ("cross_product", include_str!("cross_product.wgsl")),
    ("cross_product_cooperative", include_str!("cross_product_cooperative.wgsl")),
    ("fixed_order_sum", include_str!("fixed_order_sum.wgsl")),
    ("gather_projection", include_str!("gather_projection.wgsl")),
    ("gather_rows", include_str!("gather_rows.wgsl")),
    ("hals_coefficients", include_str!("hals_coefficients.wgsl")),
    ("hals_features", include_str!("hals_features.wgsl")),
    ("hals_residuals", include_str!("hals_residuals.wgsl")),
    ("inner_product", include_str!("inner_product.wgsl")),
    ("keep_best", include_str!("keep_best.wgsl")),
    ("kmeans_assign", include_str!("kmeans_assign.wgsl")),
    ("least_squares_cut", include_str!("least_squares_cut.wgsl")),
    ("loss", include_str!("loss.wgsl")),
    ("multiplicative_update", include_str!("multiplicative_update.wgsl")),
    ("normalization", include_str!("normalization.wgsl")),
    ("normalize_coefficients", include_str!("normalize_coefficients.wgsl")),
    ("projection", include_str!("projection.wgsl")),
    ("sparse_projection", include_str!("sparse_projection.wgsl")),
    ("squared_norm", include_str!("squared_norm.wgsl")),
    ("squared_residual", include_str!("squared_residual.wgsl")),
    ("token_residuals", include_str!("token_residuals.wgsl")),
    ("triangular_solve", include_str!("triangular_solve.wgsl")),
    ("winner_take_all", include_str!("winner_take_all.wgsl")),
    ("shared::block_elimination", include_str!("shared/block_elimination.wgsl")),
    ("shared::compensated_sum", include_str!("shared/compensated_sum.wgsl")),
    ("shared::elements", include_str!("shared/elements.wgsl")),
    ("shared::register_tile", include_str!("shared/register_tile.wgsl")),
    ("shared::selection", include_str!("shared/selection.wgsl")),
    ("shared::short_list", include_str!("shared/short_list.wgsl")),
    ("shared::vote", include_str!("shared/vote.wgsl")),
];
