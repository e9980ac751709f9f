//! The command line of `unmix bench`.

use clap::{Args, ValueEnum};
use unmix::{ElementType, SemiNmf};
use unmix_kernels::{Device, device_names};

use super::synthetic::Shape;
use crate::commands::fit::SolverOption;
use crate::failure::Failure;
use crate::number_args::{at_least_zero, share};

/// Measure the speed of an iteration on this machine
///
/// Fits synthetic activations, and compares the time of an iteration with the time of the one dense product in it
/// (coefficients transposed × activations). The product is computed in f32 by the library faer on all cores, which
/// makes it a yardstick that anyone can repeat.
///
/// With --roofline nothing is measured. The time is what the bytes and FLOPs of an iteration take on a device of that
/// bandwidth, peak and cache. With --stages every kernel is timed and compared with the roofline of the device at hand,
/// whose bandwidth and peak are measured.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  unmix bench --tokens 7500 --neurons 14336 --rank 100
  unmix bench --stages --tokens 4096 --json
  unmix bench --roofline h100
  unmix bench --roofline h100 --model --rank 400
  unmix bench --roofline bandwidth=3350,peak=67,cache=50 --solver hals")]
pub struct BenchArgs {
    #[command(flatten)]
    pub size: SizeArgs,

    /// Type of the activations
    #[arg(long, value_enum, default_value_t, value_name = "TYPE")]
    pub element: ElementOption,

    /// Iterations that are timed, after a first one that does not count
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub iterations: u32,

    /// The solver
    #[arg(long, value_enum, default_value_t, value_name = "SOLVER")]
    pub solver: SolverOption,

    /// Weight of the penalty on coefficients, for --solver hals [default: as `unmix fit`]
    #[arg(long, value_name = "ALPHA", value_parser = at_least_zero)]
    pub penalty: Option<f64>,

    /// Share of the neurons that each feature keeps [default: as `unmix fit`]
    #[arg(long, short = 'p', value_name = "SHARE", value_parser = share)]
    pub sparsity: Option<f64>,

    /// Seed of the activations
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,

    #[arg(long, value_name = "DEVICE", conflicts_with_all = ["stages", "iterations", "seed"], help = roofline_help())]
    pub roofline: Option<Device>,

    /// With --roofline, estimate the time of each kernel by a model of cores, launches and machine code as well
    #[arg(long, requires = "roofline")]
    pub model: bool,

    /// Rows of a panel for --roofline [default: as many as the wgpu engine would take]
    #[arg(long, value_name = "N", requires = "roofline", value_parser = clap::value_parser!(u32).range(1..))]
    pub panel_rows: Option<u32>,

    /// Time each kernel, and compare it with what the device's measured bandwidth and peak allow
    #[arg(long)]
    pub stages: bool,

    /// Last-level cache in MB for --stages, if unmix does not know that of the device
    #[arg(long, value_name = "MB", requires = "stages", conflicts_with = "roofline")]
    pub cache: Option<u32>,
}

fn roofline_help() -> String {
    format!(
        "Print what each kernel moves and computes in an iteration, and the least time for it on DEVICE: {}, or \
         bandwidth=GB/s,peak=TFLOP/s,cache=MB[,product-peak=TFLOP/s]. No device is opened",
        device_names()
    )
}

/// Sizes of the fit that is measured.
#[derive(Clone, Copy, Debug, Args)]
pub struct SizeArgs {
    /// Rows of the activations
    #[arg(long, default_value_t = 7500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub tokens: u32,

    /// Columns of the activations
    #[arg(long, default_value_t = 14336, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub neurons: u32,

    /// Number of features
    #[arg(long, short = 'k', default_value_t = 100, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub rank: u32,
}

/// Types of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ElementOption {
    /// Half precision
    #[default]
    F16,
    /// bfloat16
    Bf16,
    /// Single precision
    F32,
}

impl ElementOption {
    /// The element type.
    pub fn element(self) -> ElementType {
        match self {
            ElementOption::F16 => ElementType::F16,
            ElementOption::Bf16 => ElementType::Bf16,
            ElementOption::F32 => ElementType::F32,
        }
    }
}

impl BenchArgs {
    /// The activations for the measurement.
    pub fn shape(&self) -> Shape {
        Shape {
            tokens: self.size.tokens,
            neurons: self.size.neurons,
            rank: self.size.rank,
            element: self.element.element(),
            seed: self.seed,
        }
    }

    /// The fit that is measured.
    pub fn fit(&self) -> SemiNmf {
        let mut fit = SemiNmf::new(self.size.rank).solver(self.solver.solver());
        if let Some(share) = self.sparsity {
            fit = fit.sparsity(share);
        }
        if let Some(penalty) = self.penalty {
            fit = fit.penalty(penalty);
        }
        fit
    }

    /// The share of the neurons that each feature of that fit keeps.
    pub fn sparsity(&self) -> f64 {
        self.fit().options(self.size.neurons).sparsity
    }
}

impl SizeArgs {
    /// Refuses a rank that activations of this size cannot have.
    pub fn check(self) -> Result<(), Failure> {
        let SizeArgs { tokens, neurons, rank } = self;
        let most = tokens.min(neurons);
        if rank > most {
            return Err(Failure::Usage(format!(
                "--rank {rank}: {tokens} tokens × {neurons} neurons allow a rank from 1 to {most}"
            )));
        }
        Ok(())
    }
}
