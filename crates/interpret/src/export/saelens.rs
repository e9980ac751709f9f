//! SAELens: a folder that `SAE.load_from_disk` opens (checked with SAELens 6.54).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use unmix::DenseMatrix;
use unmix_data::{ResultFolder, TensorEntry, write_tensors};

use super::written::{begin, write_json};
use super::{AffineEncoder, EncoderReport, ExportError, SCALE, ScaledFit, Site, WrittenFile};

/// Version of the configuration's layout, as SAELens spells it.
const LAYOUT: &str = "6.54.12";
const WEIGHTS: &str = "sae_weights.safetensors";
const CONFIG: &str = "cfg.json";

/// How SAELens encodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Architecture<'a> {
    /// `standard`: relu(x W_enc + b_enc), one matrix product.
    Standard(&'a AffineEncoder),
    /// `matching_pursuit`: picks the feature with the largest projection again and again. It needs no activations and
    /// comes as close, but it takes one matrix product for each iteration.
    MatchingPursuit,
}

/// Writes the folder `dir` with two files. `sae_weights.safetensors` has W_dec [K, d] with rows of unit norm, b_dec
/// and, for [`Architecture::Standard`], W_enc [d, K] and b_enc \[K\], all f32. The metadata in `cfg.json` state the
/// scale and the errors.
///
/// # Errors
/// If the folder cannot be written.
pub fn saelens(
    dir: &Path,
    fit: &ScaledFit,
    architecture: Architecture<'_>,
    site: &Site,
    force: bool,
) -> Result<Vec<WrittenFile>, ExportError> {
    let folder = begin(dir, force, |name| name == Path::new(WEIGHTS) || name == Path::new(CONFIG))?;
    let files = vec![
        write_weights(&folder, fit, architecture)?,
        write_json(&folder, CONFIG, &config(fit, architecture, site))?,
    ];
    folder.finish()?;
    Ok(files)
}

fn config(fit: &ScaledFit, architecture: Architecture<'_>, site: &Site) -> Value {
    let mut metadata = Map::new();
    metadata.insert("sae_lens_version".to_owned(), json!(LAYOUT));
    if let Some(model) = &site.model {
        metadata.insert("model_name".to_owned(), json!(model));
    }
    if let Some(hook) = site.hook_name() {
        metadata.insert("hook_name".to_owned(), json!(hook));
    }
    if let Some(layer) = site.layer {
        metadata.insert("hook_layer".to_owned(), json!(layer));
    }
    let report = match architecture {
        Architecture::Standard(encoder) => Some(&encoder.report),
        Architecture::MatchingPursuit => None,
    };
    metadata.insert("unmix".to_owned(), provenance(fit, report));
    let mut config = json!({
        "d_in": fit.neurons(),
        "d_sae": fit.rank(),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": false,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": metadata,
        "architecture": "standard",
    });
    if architecture == Architecture::MatchingPursuit {
        config["architecture"] = json!("matching_pursuit");
        // Pursuit must not stop when a feature is picked twice in a row. It must not stop at any length of the residual
        // either, because features are not meant to explain everything.
        config["stop_on_duplicate_support"] = json!(false);
        config["residual_threshold"] = json!(0.0);
        config["max_iterations"] = json!(iterations(fit));
    }
    config
}

/// Twice as many as the features that a token uses. Measured on two layers of a small model, pursuit then comes as
/// close to the activations as the affine encoder does, and more iterations gain little.
fn iterations(fit: &ScaledFit) -> u64 {
    ((2.0 * fit.mean_active()).ceil() as u64).max(8)
}

/// What every configuration says about where its numbers come from.
pub(super) fn provenance(fit: &ScaledFit, report: Option<&EncoderReport>) -> Value {
    let mut value = json!({
        "unmix_version": fit.unmix_version,
        "scale": SCALE,
        "tokens": fit.tokens(),
        "fit_relative_error": fit.relative_error,
    });
    if let Some(reproducibility) = &fit.reproducibility {
        value["reproducibility"] = json!(reproducibility);
    }
    if let Some(report) = report {
        value["encoder"] = json!(report);
    }
    value
}

fn write_weights(
    folder: &ResultFolder,
    fit: &ScaledFit,
    architecture: Architecture<'_>,
) -> Result<WrittenFile, ExportError> {
    let zeros = vec![0f32; fit.neurons()];
    let features = ("W_dec", vec![fit.rank(), fit.neurons()], fit.features.values.as_slice());
    let mut tensors = vec![features, ("b_dec", vec![fit.neurons()], &zeros)];
    if let Architecture::Standard(AffineEncoder { weights: DenseMatrix { rows, columns, values }, bias, .. }) =
        architecture
    {
        tensors.extend([("W_enc", vec![*rows, *columns], values.as_slice()), ("b_enc", vec![bias.len()], bias)]);
    }
    write_f32(folder, WEIGHTS, &tensors)
}

/// Writes a safetensors file of f32 tensors. Each has a name, a shape and values.
pub(super) fn write_f32(
    folder: &ResultFolder,
    name: &str,
    tensors: &[(&str, Vec<usize>, &[f32])],
) -> Result<WrittenFile, ExportError> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let entries: Vec<TensorEntry<'_>> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| TensorEntry { name, dtype: "F32", shape: shape.clone(), bytes })
        .collect();
    // PyTorch's loaders look for this key.
    let metadata = BTreeMap::from([("format", "pt".to_owned()), ("scale", SCALE.to_owned())]);
    let bytes = folder.write(name, |out| write_tensors(out, &entries, &metadata))?;
    Ok(WrittenFile { name: PathBuf::from(name), bytes })
}
