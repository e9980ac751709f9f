//! The rows of a tensor of activations: tokens that follow one another, or a batch of sequences.

use crate::tensor::shape_text;

/// How the tokens of a tensor are arranged, which decides what shapes the tensors beside it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowShape {
    /// [tokens, neurons].
    Tokens(u64),
    /// [batch, sequence, neurons]. The sequences follow one another.
    Batch { sequences: u64, length: u64 },
}

impl RowShape {
    /// Number of all rows. It fits, because the tensor's bytes have been compared with the file's.
    pub(crate) fn rows(self) -> u64 {
        match self {
            RowShape::Tokens(tokens) => tokens,
            RowShape::Batch { sequences, length } => sequences * length,
        }
    }

    /// Whether a tensor of this shape has an entry for each token, in the order of the rows.
    pub(crate) fn is_of_tokens(self, shape: &[u64]) -> bool {
        match (self, shape) {
            (_, &[length]) => length == self.rows(),
            (RowShape::Batch { sequences, length }, shape) => shape == [sequences, length],
            (RowShape::Tokens(_), _) => false,
        }
    }

    /// Whether a tensor of this shape has an entry for each sequence.
    pub(crate) fn is_of_sequences(self, shape: &[u64]) -> bool {
        matches!(self, RowShape::Batch { sequences, .. } if shape == [sequences])
    }

    /// The shape of a tensor with an entry for each token, in words.
    pub(crate) fn expected(self) -> String {
        match self {
            RowShape::Tokens(tokens) => format!("one dimension of {tokens}"),
            RowShape::Batch { sequences, length } => format!("shape {}", shape_text(&[sequences, length])),
        }
    }
}
