//! Which number of features? A [`Sweep`] fits activations with several numbers of features K and several sparsities. For
//! each of them it measures the error on held-out tokens and neurons, and whether other seeds find the same features.
//! [`recommend`] chooses one of them and says why.
//!
//! ```
//! use std::sync::Arc;
//!
//! use unmix::{CpuEngine, HostActivations, SemiNmf};
//! use unmix_interpret::sweep::{Sweep, SweepData, recommend};
//!
//! // 200 tokens of 12 neurons. Each token is a multiple of one of three patterns.
//! let value = |i: usize, j: usize| if j % 3 == i % 3 { ((i * 7) % 5 + 1) as f32 * (j as f32 - 5.5) } else { 0.0 };
//! let values = (0..200).flat_map(|i| (0..12).map(move |j| value(i, j))).collect();
//! let source = Arc::new(HostActivations::from_f32(values, 200, 12)?);
//!
//! let engine = CpuEngine::new();
//! let sweep = Sweep::new(SemiNmf::new(1).sparsity(0.4), 12).ranks([1, 2, 3, 4]).seeds(2).folds(2);
//! let points = sweep.run(&SweepData::new(&engine, source, None))?;
//! assert_eq!(recommend(&points).expect("points").rank, 3);
//! # Ok::<(), unmix_interpret::FitError>(())
//! ```

mod agreement;
mod grid;
mod grid_point;
mod measure;
mod page;
mod point;
mod recommendation;
mod record;
mod sweep_options;

pub use grid::default_ranks;
pub use grid_point::GridPoint;
pub use measure::{SweepData, SweepObserver, SweepStep};
pub use page::render;
pub use point::SweepPoint;
pub use recommendation::{Edge, Recommendation, recommend};
pub use record::{KeptFit, LayerSweep, SWEEP_VERSION, SweepRecord};
pub use sweep_options::Sweep;
