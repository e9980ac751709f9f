//! Where the work of `unmix` runs: devices and limits, resident activations, buffers, and two engines, wgpu and CPU, that
//! execute the same [`Recording`](unmix_kernels::Recording).

mod activations;
mod cpu;
mod engine;
mod error;
mod host_memory;
mod wgpu_engine;

pub use activations::{ActivationSource, Activations, PanelLayout};
pub use cpu::CpuEngine;
pub use engine::{Engine, EngineKind, EngineLimits, Pending, Prepared, Session, block_on};
pub use error::Error;
pub use wgpu_engine::{AdapterChoice, AdapterSummary, Preference, WgpuEngine, adapters};
