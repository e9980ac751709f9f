//! Semi-nonnegative matrix factorization of neural-network activations, on any wgpu GPU and on the CPU.
//!
//! X ≈ Y Z: activations X [n tokens, d neurons] become coefficients Y ≥ 0 [n, K] and features Z [K, d], each feature sparse
//! in neurons (Shafran, Geiger and Geva, "Constructing Interpretable Features from Compositional Neuron Groups", ACL 2026,
//! <https://aclanthology.org/2026.acl-long.1959>; preprint arXiv 2506.10920).
//!
//! An [`Engine`] keeps the activations resident ([`Engine::load`]) or streams them ([`Engine::stream`]). [`SemiNmf`] is the builder of a
//! fit, and a [`Factorization`] is its result. An [`Encoder`] finds the coefficients of other activations for the same features. Nothing is
//! printed. Messages go to the `log` crate. See [`SemiNmf`] for an example.
//!
//! # The files
//!
//! Each file has one job. No files use each other in a circle.
//!
//! | what | files |
//! |---|---|
//! | what a caller sets and gets | `semi_nmf`, `options`, `defaults`, `option_checks`, `encode`, `host_activations`, `dense_matrix`, `factorization`, `progress`, `error` |
//! | a fit from begin to end | `run`: opens (`fit`), measures (`measuring`), starts (`start`), iterates (`iterations`), and makes the result (`result`) |
//! | memory | `buffers` plans every buffer; `fit_plan` says what a fit will need, `iteration_plan` what an iteration does; `session_io` reads and writes buffers, `gather` and `token_rows` rows of single tokens, `kept_entries` the sparse form of features |
//! | panels | `panels`, samples of their rows (`sample`), and the `pass` over them, which alone knows what accumulates |
//! | an iteration | `steps`: recordings of a features update, a pass and the loss; a `solver` is an update of `features_update` and one of `coefficients_update` |
//! | starts | `kmeans`, `svd`, `warm_up` with its `widths` |
//! | between iterations | what they said (`report`, `course`), `revival`, and the callback (`watch`) |
//! | checkpoints | `checkpoint` is what a caller's writer and reader see, `checkpoint_clock` says when one is due, `checkpoint_header` whose it is; `checkpoints` takes those of a fit, which `iteration_state` and `saved_buffers` hold, and `consensus_checkpoints` those of a consensus; `checkpoint_handles`, `float_bits` |
//! | several processes | a `distribution` says which tokens each has (`token_share`), a `communicator` connects them; `reduction` adds sums in the `segment_tree` where `prepared_steps` has one, `gathering` brings coefficients together, `same_features` keeps ranks with different engines in step |
//! | several fits at once | `batch` is what a caller sees, `lockstep` iterates fits that share a session, `allocation` has the buffers of all |
//! | between fits | `feature_cosines`, `matching` |
//! | the consensus of runs | `consensus` is what a caller sees, `consensus_plan` says what it needs; `consensus_groups` computes the runs in groups, `consensus_runs` starts and iterates those of a group through their `run_parts`, `agreement` finds what they agree on, from the features in a `pool` and their `clusters`, `refit` fits that to all tokens |
//! | the result | `best_iterate`, `shrinkage`, `debias`, `factors_in_place`, `verification`, `residuals`, `statistics`, `outlier_tokens` |

mod agreement;
mod allocation;
mod batch;
mod best_iterate;
mod buffers;
mod checkpoint;
mod checkpoint_clock;
mod checkpoint_handles;
mod checkpoint_header;
mod checkpoints;
mod clusters;
mod coefficients_update;
mod communicator;
mod consensus;
mod consensus_checkpoints;
mod consensus_groups;
mod consensus_plan;
mod consensus_runs;
mod course;
mod debias;
mod defaults;
mod dense_matrix;
mod distribution;
mod encode;
mod error;
mod factorization;
mod factors_in_place;
mod feature_cosines;
mod features_update;
mod fit;
mod fit_plan;
mod float_bits;
mod gather;
mod gathering;
mod host_activations;
mod iteration_plan;
mod iteration_state;
mod iterations;
mod kept_entries;
mod kmeans;
mod likeness;
mod lockstep;
mod matching;
mod measuring;
mod option_checks;
mod options;
mod outlier_tokens;
mod panels;
mod pass;
mod pool;
mod prepared_steps;
mod progress;
mod reduction;
mod refit;
mod report;
mod residuals;
mod result;
mod revival;
mod run;
mod run_parts;
mod same_features;
mod sample;
mod saved_buffers;
mod segment_tree;
mod semi_nmf;
mod session_io;
mod shrinkage;
mod solver;
mod sparse_features;
mod start;
mod statistics;
mod steps;
mod svd;
mod token_rows;
mod token_share;
mod verification;
mod warm_up;
mod watch;
mod widths;

pub use batch::Batch;
pub use checkpoint::{CheckpointBuffer, CheckpointReader, CheckpointRuns, CheckpointSummary, CheckpointWriter};
pub use communicator::{Alone, Communicator};
pub use consensus::{Consensus, ConsensusFit};
pub use dense_matrix::DenseMatrix;
pub use distribution::Distribution;
pub use encode::{Encoder, Encoding};
pub use error::Error;
pub use factorization::{ConsensusSummary, Factorization, FeatureStatistics, FitSummary, FitWarning, Optimality};
pub use feature_cosines::{feature_cosines, unit_features};
pub use fit_plan::{FitPlan, MemoryLimits, Placement, Streaming};
pub use host_activations::HostActivations;
pub use iteration_plan::Iteration;
pub use matching::{MatchedPair, Matching, match_features, match_similarities};
pub use options::{Init, Options, Solver, StopReason};
pub use outlier_tokens::OutlierTokens;
pub use progress::{Progress, Stage};
pub use semi_nmf::SemiNmf;
pub use token_share::TokenShare;
pub use unmix_kernels::ElementType;
/// Errors of the engines, within [`Error::Runtime`].
pub use unmix_runtime::Error as RuntimeError;
pub use unmix_runtime::{
    ActivationSource, Activations, AdapterChoice, AdapterSummary, CpuEngine, DeviceMemory, Engine, EngineKind,
    EngineLimits, PanelLayout, StreamOptions, WgpuEngine, adapters,
};
