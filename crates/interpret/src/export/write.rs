//! Writes a fit for any of the tools.

use std::path::Path;

use unmix::DenseMatrix;

use super::{
    AffineEncoder, Architecture, DelphiOptions, Encoding, ExportError, NeuronpediaOptions, ScaledFit, Site, Tool,
    WrittenFile, affine_encoder, delphi, neuronpedia, saedashboard, saelens, sparsify, steering,
};
use crate::{LensWords, Text};

/// What an export is made from. A tool uses those of the parts that it has a use for.
#[derive(Clone, Debug)]
pub struct ExportParts<'a> {
    /// The fit.
    pub fit: &'a ScaledFit,
    /// Where the activations are from.
    pub site: &'a Site,
    /// How SAELens encodes.
    pub encoding: Encoding,
    /// The encoder that was fitted to the activations. Without it, the encoder is the pseudo-inverse of the features.
    pub encoder: Option<&'a AffineEncoder>,
    /// How delphi's cache is laid out.
    pub delphi: DelphiOptions,
    /// The text of the tokens.
    pub text: Option<&'a Text>,
    /// The tokens that each feature promotes and suppresses, K of them.
    pub logits: Option<&'a [LensWords]>,
    /// What each feature writes into the residual stream [K, d_model], and how much of it where it is strongest, K.
    pub directions: Option<(&'a DenseMatrix, &'a [f32])>,
}

/// Writes the folder `dir` for a tool.
///
/// # Errors
/// If a part is missing that the tool needs, or the folder cannot be written. Nothing is left behind in that case.
pub fn write_export(
    tool: Tool,
    dir: &Path,
    parts: &ExportParts<'_>,
    force: bool,
) -> Result<Vec<WrittenFile>, ExportError> {
    let ExportParts { fit, site, .. } = parts;
    let encoder = || parts.encoder.map_or_else(|| affine_encoder(fit, None), |encoder| Ok(encoder.clone()));
    let missing = |target, missing: &str, advice: &str| ExportError::Missing {
        target,
        missing: missing.to_owned(),
        advice: advice.to_owned(),
    };
    match tool {
        Tool::Saelens if parts.encoding == Encoding::MatchingPursuit => {
            saelens(dir, fit, Architecture::MatchingPursuit, site, force)
        }
        Tool::Saelens => saelens(dir, fit, Architecture::Standard(&encoder()?), site, force),
        Tool::Sparsify => sparsify(dir, fit, &encoder()?, force),
        Tool::Delphi => delphi(dir, fit, site, &parts.delphi, force),
        Tool::Saedashboard => saedashboard(dir, fit, site, force),
        Tool::Neuronpedia => {
            let text =
                parts.text.ok_or_else(|| missing("neuronpedia", "the text of the tokens is not known", "give it"))?;
            neuronpedia(dir, fit, text, parts.logits, site, &NeuronpediaOptions::default(), force)
        }
        Tool::Steering => {
            let (directions, units) = parts
                .directions
                .ok_or_else(|| missing("steering", "the weights of the model are not known", "give the model"))?;
            steering(dir, fit, directions, units, force)
        }
    }
}
