//! The tools that files can be written for, and what each of them needs.

use std::path::Path;

/// A tool that files can be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// SAELens: a sparse autoencoder.
    Saelens,
    /// EleutherAI's sparsify: a sparse coder.
    Sparsify,
    /// EleutherAI's delphi: a cache of activations for automatic explanations.
    Delphi,
    /// SAEDashboard: a set of vectors.
    Saedashboard,
    /// Neuronpedia: batches of features with examples.
    Neuronpedia,
    /// PyTorch: directions in the residual stream, and a script that adds them there.
    Steering,
}

/// How SAELens encodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// An affine encoder with a relu, one matrix product.
    #[default]
    Standard,
    /// Matching pursuit: needs no activations, comes as close, but takes many matrix products.
    MatchingPursuit,
}

/// Something that only some tools have a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportOption {
    /// The activations, to which an encoder is fitted.
    Activations,
    /// How SAELens encodes.
    Encoding,
    /// The text of the tokens.
    Text,
    /// The weights of the model.
    Model,
    /// Number of files over which features are spread.
    Splits,
    /// Token that fills up rows.
    Padding,
}

impl Tool {
    /// All tools.
    pub const ALL: [Tool; 6] =
        [Tool::Saelens, Tool::Sparsify, Tool::Delphi, Tool::Saedashboard, Tool::Neuronpedia, Tool::Steering];

    /// The name: `saelens`, `sparsify`, `delphi`, `saedashboard`, `neuronpedia` or `steering`.
    pub const fn name(self) -> &'static str {
        match self {
            Tool::Saelens => "saelens",
            Tool::Sparsify => "sparsify",
            Tool::Delphi => "delphi",
            Tool::Saedashboard => "saedashboard",
            Tool::Neuronpedia => "neuronpedia",
            Tool::Steering => "steering",
        }
    }

    /// Whether the export names the hook, or the module, of the activations.
    pub const fn names_hook(self) -> bool {
        matches!(self, Tool::Saelens | Tool::Delphi | Tool::Saedashboard)
    }

    /// Whether the export must name the model and the layer.
    pub const fn needs_place(self) -> bool {
        matches!(self, Tool::Saedashboard | Tool::Neuronpedia)
    }

    /// Whether the tool knows a model by the name that files of activations have for it, which is that of transformers or TransformerLens.
    /// Neuronpedia has names of its own. A path is no name for others.
    pub fn knows_model(self, name: &str) -> bool {
        let is_path = Path::new(name).is_absolute() || name.starts_with('.');
        self.names_hook() && !is_path
    }

    /// Whether an encoder is fitted to the activations, row by row.
    pub fn fits_encoder(self, encoding: Encoding) -> bool {
        matches!(self, Tool::Saelens | Tool::Sparsify) && encoding == Encoding::Standard
    }
}

impl ExportOption {
    /// Whether the tool has a use for it.
    pub fn is_for(self, tool: Tool, encoding: Encoding) -> bool {
        match self {
            ExportOption::Activations => tool.fits_encoder(encoding),
            ExportOption::Encoding => tool == Tool::Saelens,
            ExportOption::Text => tool == Tool::Neuronpedia,
            ExportOption::Model => matches!(tool, Tool::Steering | Tool::Neuronpedia),
            ExportOption::Splits | ExportOption::Padding => tool == Tool::Delphi,
        }
    }

    /// The tools that have a use for it, in words.
    pub const fn tools(self) -> &'static str {
        match self {
            ExportOption::Activations => "saelens (standard) and sparsify",
            ExportOption::Encoding => "saelens",
            ExportOption::Text => "neuronpedia",
            ExportOption::Model => "steering and neuronpedia",
            ExportOption::Splits | ExportOption::Padding => "delphi",
        }
    }
}
