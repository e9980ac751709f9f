//! Which engine computes.

use clap::{Args, ValueEnum};
use unmix::{AdapterChoice, CpuEngine, Engine, WgpuEngine, adapters};

use crate::failure::Failure;
use crate::progress::Reporter;
use crate::tuning;

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

    /// Compute on the adapter whose name contains NAME (`unmix doctor` lists them)
    #[arg(long, global = true, value_name = "NAME", help_heading = "Common options")]
    pub adapter: Option<String>,
}

impl EngineArgs {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        self.engine == EngineOption::Auto && self.adapter.is_none()
    }
}

/// Opens the engine that the options ask for, and reports which one it is.
pub fn open(args: &EngineArgs, reporter: &mut Reporter) -> Result<Box<dyn Engine>, Failure> {
    let (engine, why) = choose(args)?;
    reporter.engine(engine.as_ref(), why);
    Ok(engine)
}

/// Opens the engine that the options ask for, and says why, if that is not clear.
pub fn choose(args: &EngineArgs) -> Result<(Box<dyn Engine>, &'static str), Failure> {
    let named = AdapterChoice { name: args.adapter.clone(), ..Default::default() };
    match (args.engine, &args.adapter) {
        (EngineOption::Cpu, Some(name)) => Err(Failure::Usage(format!(
            "--adapter {name}: an adapter cannot be chosen with --engine cpu; leave out one of them"
        ))),
        (EngineOption::Cpu, None) => Ok((Box::new(CpuEngine::new()), "")),
        (EngineOption::Gpu, _) | (EngineOption::Auto, Some(_)) => Ok((tuned(WgpuEngine::new(&named)?), "")),
        (EngineOption::Auto, None) => {
            let hardware = AdapterChoice { software: false, ..named };
            if adapters(&hardware).is_empty() {
                return Ok((Box::new(CpuEngine::new()), "no GPU answers"));
            }
            match WgpuEngine::new(&hardware) {
                Ok(engine) => Ok((tuned(engine), "")),
                Err(error) => {
                    log::warn!("the GPU cannot be used: {error}");
                    Ok((Box::new(CpuEngine::new()), "the GPU cannot be used"))
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
