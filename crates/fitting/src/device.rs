//! Which engine computes.

use serde::{Deserialize, Serialize};
use unmix::{AdapterChoice, CpuEngine, Engine, Error, RuntimeError, WgpuEngine, adapters};

use crate::tuning;

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A GPU if there is one (software renderers do not count), else the CPU.
    #[default]
    Auto,
    /// All cores of the processor.
    Cpu,
    /// A GPU through wgpu, or a software renderer if there is no GPU.
    Gpu,
}

/// A device that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where to compute.
    pub kind: DeviceKind,
    /// Text that the name of the adapter contains, or its number or PCI address. Means nothing for the CPU.
    pub adapter: Option<String>,
    /// Which of several adapters that are alike, from 0; see [`AdapterChoice::number`].
    pub number: u32,
}

/// The engine of a device.
pub struct OpenDevice {
    /// The engine, set to the variants of kernels that were measured to be the fastest on its adapter.
    pub engine: Box<dyn Engine>,
    /// Why it was chosen, or nothing if that is clear.
    pub why: &'static str,
}

impl Device {
    /// Opens its engine.
    ///
    /// # Errors
    /// If there is no such adapter, or it cannot be used. A device that may be any falls back to the CPU.
    pub fn open(&self) -> Result<OpenDevice, Error> {
        let named = AdapterChoice { name: self.adapter.clone(), number: self.number, ..Default::default() };
        let opened = |engine, why| Ok(OpenDevice { engine, why });
        match (self.kind, &self.adapter) {
            (DeviceKind::Cpu, _) => opened(Box::new(CpuEngine::new()), ""),
            (DeviceKind::Gpu, _) | (DeviceKind::Auto, Some(_)) => opened(tuned(WgpuEngine::new(&named)?), ""),
            (DeviceKind::Auto, None) => {
                let hardware = AdapterChoice { software: false, ..named };
                if adapters(&hardware).is_empty() {
                    return opened(Box::new(CpuEngine::new()), "no GPU answers");
                }
                match WgpuEngine::new(&hardware) {
                    Ok(engine) => opened(tuned(engine), ""),
                    Err(error) => {
                        // A loss would come with advice for a fit that had begun.
                        match error {
                            RuntimeError::DeviceLost { adapter, reason } => {
                                log::warn!("the GPU {adapter} cannot be used: {reason}");
                            }
                            error => log::warn!("the GPU cannot be used: {error}"),
                        }
                        opened(Box::new(CpuEngine::new()), "the GPU cannot be used")
                    }
                }
            }
        }
    }
}

/// The engine, set to the variants that `unmix tune` found to be the fastest on its adapter.
fn tuned(engine: WgpuEngine) -> Box<dyn Engine> {
    tuning::apply(&engine);
    Box::new(engine)
}
