//! Names of the files in the folder of a fit.

/// File with the features [K, d] f32, the coefficients [n, K] f32, and the token columns with n entries each.
pub const FACTORIZATION_FILE: &str = "factorization.safetensors";
/// File with the [`RunRecord`](crate::RunRecord).
pub const RUN_FILE: &str = "run.json";
