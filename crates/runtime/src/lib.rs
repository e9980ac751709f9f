//! Where the work of `unmix` runs: devices and limits, activations, resident or streamed, buffers, and two engines, wgpu and CPU, that
//! execute the same [`Recording`](unmix_kernels::Recording).

mod activations;
mod cpu_engine;
mod engine;
mod error;
mod host_memory;
mod lock;
mod read_ahead;
mod schedule;
mod stream;
mod wgpu_engine;

pub use activations::{ActivationSource, Activations, PanelLayout};
pub use cpu_engine::CpuEngine;
pub use engine::{Engine, EngineKind, EngineLimits, Pending, Prepared, Session, block_on};
pub use error::Error;
pub use stream::StreamOptions;
pub use wgpu_engine::{AdapterChoice, AdapterSummary, Preference, WgpuEngine, adapters};
