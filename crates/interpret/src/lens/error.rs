//! What can go wrong when weights are searched and used.

use std::fmt;
use std::path::PathBuf;

/// The role of a tensor in the logit lens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// From neurons to the residual stream, W_out.
    DownProjection,
    /// From the residual stream to a logit for each token.
    Unembedding,
    /// The unembedding's bias.
    UnembeddingBias,
    /// The norm before the unembedding.
    FinalNorm,
    /// The bias of the norm before the unembedding.
    FinalNormBias,
    /// A norm between down-projection and residual stream.
    PostNorm,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::DownProjection => "down-projection",
            Role::Unembedding => "unembedding",
            Role::UnembeddingBias => "bias of the unembedding",
            Role::FinalNorm => "final norm",
            Role::FinalNormBias => "bias of the final norm",
            Role::PostNorm => "norm behind the down-projection",
        })
    }
}

/// An error of the logit lens.
#[derive(Debug, thiserror::Error)]
pub enum LensError {
    /// A file of the weights.
    #[error(transparent)]
    Data(#[from] unmix_data::Error),
    /// No tensor has a name that is known for this role.
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
    /// Several tensors could have this role.
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
    /// The weights do not have this layer.
    #[error("{files}: no layer {layer}; the weights have the layers {layers}")]
    NoSuchLayer {
        /// The files.
        files: String,
        /// The layer that was asked for.
        layer: u32,
        /// The layers that are there.
        layers: String,
    },
    /// The layer does not have this expert.
    #[error("{files}: no expert {expert}; the layer has these experts: {experts}")]
    NoSuchExpert {
        /// The files.
        files: String,
        /// The expert that was asked for.
        expert: u32,
        /// The experts that are there.
        experts: String,
    },
    /// A tensor was named that belongs to another layer or expert than the one that was asked for.
    #[error("tensor {tensor:?} is of {found}, but {asked} was asked for; leave one of the two out")]
    Elsewhere {
        /// The tensor.
        tensor: String,
        /// What its name says.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// A type of model that is not in the table.
    #[error(
        "{files}: models of the type {model_type:?} are not known, so nothing tells their norms, scales and caps; name {missing}, \
         or say which of these types it is like: {known}"
    )]
    UnknownModel {
        /// The files.
        files: String,
        /// The type in the configuration.
        model_type: String,
        /// What to name in order to do without the type.
        missing: String,
        /// Types that are known.
        known: String,
    },
    /// The caller asked for a type that is not in the table.
    #[error("models of the type {model_type:?} are not known; known types are {known}")]
    NoSuchType {
        /// The type.
        model_type: String,
        /// Types that are known.
        known: String,
    },
    /// Nothing says which kind a norm is.
    #[error(
        "{files}: nothing tells of which kind the norm {norm:?} is: there is no config.json with a `model_type` beside the \
         weights; put it there, or say the type of the model or the kind of its norm"
    )]
    UnknownNorm {
        /// The files.
        files: String,
        /// The norm's weights.
        norm: String,
    },
    /// Nothing says which side of a square down-projection the neurons are on.
    #[error(
        "{files}: the down-projection {tensor:?} is square, so its shape does not tell on which side the neurons are, and there \
         is no config.json with a `model_type` beside the weights; put it there, or say the type of the model"
    )]
    Square {
        /// The files.
        files: String,
        /// The down-projection.
        tensor: String,
    },
    /// An entry of the model's configuration has the wrong kind of value.
    #[error("config.json: {key} is {found}; expected {expected}")]
    Config {
        /// The entry.
        key: &'static str,
        /// Its value.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// An entry in the metadata of a file has the wrong kind of value.
    #[error("{}: the metadata have {key} = {found:?}; expected {expected}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: &'static str,
        /// Its value.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The sizes of a tensor do not go with those of the others.
    #[error("{}: tensor {tensor:?}, taken for the {role}, has shape {shape:?}; expected {expected}", path.display())]
    WrongSize {
        /// The role that it was taken for.
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
    /// Rows of another width than the weights need.
    #[error("the {what} have {found} columns, but the weights {expected}; do both come from the same model and layer?")]
    Width {
        /// Which rows.
        what: &'static str,
        /// Their width.
        found: usize,
        /// Width that the weights need.
        expected: usize,
    },
    /// A vocabulary that cannot belong to the unembedding.
    #[error(
        "{}: {entries} entries, {known} of them among the {tokens} tokens of the unembedding; give the vocabulary of the same \
         model",
        path.display()
    )]
    Vocabulary {
        /// The vocabulary.
        path: PathBuf,
        /// Its entries.
        entries: u64,
        /// Those of the entries that have a row of the unembedding.
        known: u64,
        /// Rows of the unembedding.
        tokens: u64,
    },
    /// There is no neuron of this number.
    #[error("no neuron {neuron}; there are neurons 0 to {}", neurons.saturating_sub(1))]
    NoSuchNeuron {
        /// The number that was asked for.
        neuron: usize,
        /// How many there are.
        neurons: usize,
    },
    /// An epsilon of a norm that is not a finite number of at least 0.
    #[error("the epsilon of the final norm is {0}; expected a finite number of at least 0, such as 1e-5")]
    Epsilon(f64),
    /// A direction with a value that is NaN or infinite.
    #[error("direction {0} holds values that are not finite; are the features or the weights too large?")]
    NotFinite(usize),
}

impl LensError {
    /// Whether the input is at fault rather than the system.
    pub fn is_usage(&self) -> bool {
        match self {
            LensError::Data(error) => error.is_usage(),
            _ => true,
        }
    }
}
