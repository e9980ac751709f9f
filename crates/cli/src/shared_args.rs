//! The options that all commands share.

use clap::Args;

use crate::engine::EngineArgs;
use crate::progress::ProgressMode;

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct SharedArgs {
    #[command(flatten)]
    pub engine: EngineArgs,

    /// How progress is shown on stderr; `auto` is a bar in a terminal and plain lines elsewhere
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW", help_heading = "Common options")]
    pub progress: ProgressMode,

    /// Print the result as JSON
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,

    /// Show neither progress nor warnings
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Common options")]
    pub quiet: bool,

    /// Log more; give it twice for even more. RUST_LOG has an effect as well
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Common options")]
    pub verbose: u8,
}
