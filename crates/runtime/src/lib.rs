//! Where the work of `unmix` runs: devices and their limits, resident and streamed activations, buffers, and two engines, wgpu
//! and CPU, that execute the same [`Recording`](unmix_kernels::Recording).

mod activation_source;
mod activations;
mod cpu_engine;
mod device_memory;
mod engine;
mod error;
mod host_memory;
mod lock;
mod panel_layout;
mod read_ahead;
mod schedule;
mod stream;
mod wgpu_engine;

pub use activation_source::ActivationSource;
pub use activations::Activations;
pub use cpu_engine::CpuEngine;
pub use device_memory::DeviceMemory;
pub use engine::{Engine, EngineKind, EngineLimits, Pending, Prepared, Session, block_on};
pub use error::Error;
pub use panel_layout::PanelLayout;
pub use stream::StreamOptions;
pub use wgpu_engine::{AdapterChoice, AdapterSummary, Preference, WgpuEngine, adapters, missing_driver};
