//! What features make a model say: the logit lens.
//!
//! A feature z is a direction in neuron space. The MLP's down-projection turns it into a direction of the residual
//! stream, r = W_out z. The model's final norm and unembedding turn that into a logit for each token, as if nothing
//! else were in the stream. The feature promotes the tokens with the largest logits (Geva et al. 2022, "Transformer
//! Feed-Forward Layers Build Predictions by Promoting Concepts in the Vocabulary Space"; Shafran, Geiger and Geva
//! 2026).
//!
//! [`Readout`] finds the weights for this in a model's own files. A model is never in memory as a whole. What a model
//! does to its residual stream follows from its `model_type`, by the table in `family.rs`.

mod chance;
mod config;
mod down_projection;
mod error;
mod family;
mod head;
mod lookup;
mod model;
mod model_family;
mod names;
mod norm;
mod options;
mod place;
mod read;
mod readout;
mod words;

pub use chance::LensChance;
pub use down_projection::DownProjection;
pub use error::{LensError, Role};
pub use model_family::{ModelFamily, layer_prefixes};
pub use options::{NormKind, ReadoutNames, ReadoutOptions};
pub use read::{LensReading, TokenIdLogit};
pub use readout::Readout;
pub use words::{LensWords, NamedReading, NamedToken, TokenLogit};

use unmix::DenseMatrix;

/// Single neurons as features. For each of `neurons` there is a row [1, `width`] that is 1 at that neuron and 0
/// elsewhere.
///
/// # Errors
/// If there is no such neuron.
pub fn single_neurons(neurons: &[usize], width: usize) -> Result<DenseMatrix, LensError> {
    let mut values = vec![0.0; neurons.len() * width];
    for (row, &neuron) in neurons.iter().enumerate() {
        if neuron >= width {
            return Err(LensError::NoSuchNeuron { neuron, neurons: width });
        }
        values[row * width + neuron] = 1.0;
    }
    Ok(DenseMatrix { rows: neurons.len(), columns: width, values })
}
