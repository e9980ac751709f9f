//! Semi-nonnegative matrix factorization of neural-network activations, on any wgpu GPU and on the CPU.
//!
//! X ≈ Y Z: activations X [n tokens, d neurons] become coefficients Y ≥ 0 [n, K] and features Z [K, d], each feature sparse
//! in neurons (Shafran, Geiger and Geva, "Constructing Interpretable Features from Compositional Neuron Groups", ACL 2026,
//! <https://aclanthology.org/2026.acl-long.1959>; preprint arXiv 2506.10920).
//!
//! An [`Engine`] keeps the activations resident ([`Engine::load`]) or streams them ([`Engine::stream`]); [`SemiNmf`] is the builder of a fit; a [`Factorization`]
//! is its result, and an [`Encoder`] finds coefficients of other activations for its features. Nothing is printed; messages
//! go to the `log` crate. See [`SemiNmf`] for an example.

mod best_iterate;
mod buffers;
mod debias;
mod encode;
mod error;
mod factorization;
mod fit;
mod host_activations;
mod init;
mod iteration;
mod kmeans;
mod options;
mod outlier_tokens;
mod progress;
mod residuals;
mod result;
mod revival;
mod semi_nmf;
mod solvers;
mod statistics;
mod svd;
mod verification;
mod warm_up;
mod watch;

pub use encode::{Encoder, Encoding};
pub use error::Error;
pub use factorization::{DenseMatrix, Factorization, FeatureStatistics, FitSummary, Optimality};
pub use host_activations::HostActivations;
pub use iteration::Iteration;
pub use options::{Init, Options, Solver, StopReason};
pub use outlier_tokens::OutlierTokens;
pub use progress::{Progress, Stage};
pub use semi_nmf::SemiNmf;
pub use unmix_kernels::ElementType;
/// Errors of the engines, within [`Error::Runtime`].
pub use unmix_runtime::Error as RuntimeError;
pub use unmix_runtime::{
    ActivationSource, Activations, AdapterChoice, AdapterSummary, CpuEngine, Engine, EngineKind, EngineLimits,
    PanelLayout, StreamOptions, WgpuEngine, adapters,
};
