//! Which engine computes.

use clap::{Args, ValueEnum};
use unmix::Engine;
use unmix_fitting::{Device, DeviceKind, OpenDevice};

use crate::failure::Failure;
use crate::progress::Reporter;

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineOption {
    /// A GPU if there is one (software renderers do not count), else the CPU
    #[default]
    Auto,
    /// All cores of the processor
    Cpu,
    /// A GPU through wgpu, or a software renderer if there is no GPU
    Gpu,
}

/// Options that choose the engine.
#[derive(Clone, Debug, Args)]
pub struct EngineArgs {
    /// Where to compute
    #[arg(long, global = true, value_enum, default_value_t, value_name = "ENGINE", help_heading = "Common options")]
    pub engine: EngineOption,

    /// Compute on the adapter whose name contains NAME, or that has this number or PCI address (`unmix doctor` lists them)
    #[arg(long, global = true, value_name = "NAME", help_heading = "Common options")]
    pub adapter: Option<String>,
}

impl EngineArgs {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        self.engine == EngineOption::Auto && self.adapter.is_none()
    }

    /// Refuses a GPU or an adapter for `what`, which needs none.
    pub fn refuse_gpu_for(&self, what: &str) -> Result<(), Failure> {
        let option = match self {
            EngineArgs { adapter: Some(_), .. } => "--adapter",
            EngineArgs { engine: EngineOption::Gpu, .. } => "--engine gpu",
            _ => return Ok(()),
        };
        Err(Failure::Usage(format!("{option}: {what} computes on the CPU alone; leave the option out")))
    }

    /// The device that is asked for.
    pub fn device(&self) -> Result<Device, Failure> {
        self.refuse_adapter_of_cpu()?;
        let kind = match self.engine {
            EngineOption::Auto => DeviceKind::Auto,
            EngineOption::Cpu => DeviceKind::Cpu,
            EngineOption::Gpu => DeviceKind::Gpu,
        };
        Ok(Device { kind, adapter: self.adapter.clone(), number: 0 })
    }

    /// Refuses an adapter for the CPU engine, which has none.
    pub fn refuse_adapter_of_cpu(&self) -> Result<(), Failure> {
        match (self.engine, &self.adapter) {
            (EngineOption::Cpu, Some(name)) => Err(Failure::Usage(format!(
                "--adapter {name}: an adapter cannot be chosen with --engine cpu; leave out one of them"
            ))),
            _ => Ok(()),
        }
    }
}

/// Opens the engine that the options ask for, and reports which one it is.
pub fn open(args: &EngineArgs, reporter: &mut Reporter) -> Result<Box<dyn Engine>, Failure> {
    open_device(&args.device()?, reporter)
}

/// Opens the engine of a device, and reports which one it is.
pub fn open_device(device: &Device, reporter: &mut Reporter) -> Result<Box<dyn Engine>, Failure> {
    let OpenDevice { engine, why } = device.open()?;
    reporter.engine(engine.as_ref(), why);
    Ok(engine)
}
