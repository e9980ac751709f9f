//! The tools that `unmix export` writes for.

use clap::ValueEnum;
use unmix_interpret::export::Tool;

/// Tools that files can be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ToolOption {
    /// SAELens: a sparse autoencoder
    Saelens,
    /// EleutherAI's sparsify: a sparse coder
    Sparsify,
    /// EleutherAI's delphi: a cache of activations for automatic explanations
    Delphi,
    /// SAEDashboard: a set of vectors
    Saedashboard,
    /// Neuronpedia: batches of features with examples
    Neuronpedia,
    /// PyTorch: directions in the residual stream, and a script that adds them there
    Steering,
}

impl ToolOption {
    /// The tool.
    pub fn tool(self) -> Tool {
        match self {
            ToolOption::Saelens => Tool::Saelens,
            ToolOption::Sparsify => Tool::Sparsify,
            ToolOption::Delphi => Tool::Delphi,
            ToolOption::Saedashboard => Tool::Saedashboard,
            ToolOption::Neuronpedia => Tool::Neuronpedia,
            ToolOption::Steering => Tool::Steering,
        }
    }
}
