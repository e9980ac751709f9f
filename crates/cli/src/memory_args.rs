//! The options that say how much memory a fit may take.

use clap::{Args, ValueEnum};
use unmix::Streaming;
use unmix_fitting::{MemoryAllowance, parse_size};

/// Memory of a fit.
#[derive(Clone, Debug, Args)]
pub struct MemoryArgs {
    /// Most memory that the fit takes, e.g. 2GiB or 500MB. If the activations do not fit, they are read again in every pass [default:
    /// 80% of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Memory")]
    pub memory: Option<u64>,

    /// Whether the activations are read again in every pass, which takes little memory; the result is the same
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", help_heading = "Memory")]
    pub stream: StreamOption,
}

impl MemoryArgs {
    /// The memory that a fit may take.
    pub fn allowance(&self) -> MemoryAllowance {
        MemoryAllowance { memory: self.memory, streaming: self.stream.streaming() }
    }
}

/// When activations are streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StreamOption {
    /// If they do not fit in memory with everything else
    #[default]
    Auto,
    /// Always
    Always,
    /// Never; a fit that does not fit is refused
    Never,
}

impl StreamOption {
    /// As the library calls it.
    fn streaming(self) -> Streaming {
        match self {
            StreamOption::Auto => Streaming::Auto,
            StreamOption::Always => Streaming::Always,
            StreamOption::Never => Streaming::Never,
        }
    }
}
