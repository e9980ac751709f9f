//! What can go wrong when weights are looked for and used.

use std::fmt;
use std::path::PathBuf;

/// What a tensor is to the logit lens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// From neurons to the residual stream, W_out.
    DownProjection,
    /// From the residual stream to a logit for each token.
    Unembedding,
    /// The norm before the unembedding.
    FinalNorm,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::DownProjection => "down-projection",
            Role::Unembedding => "unembedding",
            Role::FinalNorm => "final norm",
        })
    }
}

/// An error of the logit lens.
#[derive(Debug, thiserror::Error)]
pub enum LensError {
    /// A file of the weights.
    #[error(transparent)]
    Data(#[from] unmix_data::Error),
    /// No tensor has a name that is known for its role.
    #[error("{files}: no {role} found; looked for {looked}; the weights hold {held}")]
    NotFound {
        /// What was looked for.
        role: Role,
        /// The files.
        files: String,
        /// Names that were looked for, shortened.
        looked: String,
        /// Names of the tensors that are there, shortened.
        held: String,
    },
    /// Several tensors could be meant.
    #[error("{files}: several tensors could be the {role}: {candidates}; {advice}")]
    Ambiguous {
        /// What was looked for.
        role: Role,
        /// The files.
        files: String,
        /// Their names, shortened.
        candidates: String,
        /// What to do.
        advice: &'static str,
    },
    /// There is no such layer in the weights.
    #[error("{files}: no layer {layer}; the weights have the layers {layers}")]
    NoSuchLayer {
        /// The files.
        files: String,
        /// The layer that was asked for.
        layer: u32,
        /// The layers that are there.
        layers: String,
    },
    /// A tensor whose sizes do not go with those of the others.
    #[error("{}: tensor {tensor:?}, taken for the {role}, has shape {shape:?}; expected {expected}", path.display())]
    WrongSize {
        /// What it was taken for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// What was expected, and why.
        expected: String,
    },
    /// Rows of another width than the readout's.
    #[error("the {what} have {found} columns, but the weights {expected}; do both come from the same model and layer?")]
    Width {
        /// Which rows.
        what: &'static str,
        /// Their width.
        found: usize,
        /// Width that the weights need.
        expected: usize,
    },
    /// There is no such neuron.
    #[error("no neuron {neuron}; there are neurons 0 to {}", neurons.saturating_sub(1))]
    NoSuchNeuron {
        /// The number that was asked for.
        neuron: usize,
        /// How many there are.
        neurons: usize,
    },
    /// A norm's epsilon that is none.
    #[error("the epsilon of the final norm is {0}; expected a finite number of at least 0, such as 1e-5")]
    Epsilon(f64),
    /// A direction with a NaN or an infinity.
    #[error("direction {0} holds values that are not finite; are the features or the weights too large?")]
    NotFinite(usize),
}

impl LensError {
    /// Whether what was given is at fault rather than the system.
    pub fn is_usage(&self) -> bool {
        match self {
            LensError::Data(error) => error.is_usage(),
            _ => true,
        }
    }
}
