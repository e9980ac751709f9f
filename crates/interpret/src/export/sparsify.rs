//! EleutherAI's sparsify: a folder that `SparseCoder.load_from_disk` opens (checked with sparsify 1.3.3).

use std::path::Path;

use serde_json::json;

use super::saelens::{provenance, write_f32};
use super::written::{begin, write_json};
use super::{AffineEncoder, ExportError, ScaledFit, WrittenFile};

const WEIGHTS: &str = "sae.safetensors";
const CONFIG: &str = "cfg.json";

/// Writes the folder `dir`: `sae.safetensors` (encoder.weight [K, d], encoder.bias \[K\], W_dec [K, d] with rows of unit
/// norm, b_dec \[d\], all f32) and `cfg.json`.
///
/// sparsify keeps the k largest of relu(x W + b). k is the largest number of features that the encoder has above zero
/// at any token, so that none is lost. If that number is not known, k is K.
///
/// # Errors
/// If the folder cannot be written.
pub fn sparsify(
    dir: &Path,
    fit: &ScaledFit,
    encoder: &AffineEncoder,
    force: bool,
) -> Result<Vec<WrittenFile>, ExportError> {
    let folder = begin(dir, force, |name| name == Path::new(WEIGHTS) || name == Path::new(CONFIG))?;
    let (rank, neurons) = (fit.rank(), fit.neurons());
    let transposed: Vec<f32> = (0..rank).flat_map(|k| (0..neurons).map(move |j| encoder.weights.row(j)[k])).collect();
    let zeros = vec![0f32; neurons];
    let weights = write_f32(
        &folder,
        WEIGHTS,
        &[
            ("W_dec", vec![rank, neurons], &fit.features.values),
            ("b_dec", vec![neurons], &zeros),
            ("encoder.bias", vec![rank], &encoder.bias),
            ("encoder.weight", vec![rank, neurons], &transposed),
        ],
    )?;
    let config = json!({
        "activation": "topk",
        "expansion_factor": 1,
        "normalize_decoder": true,
        "num_latents": rank,
        "k": encoder.report.most_active.unwrap_or(rank).clamp(1, rank),
        "multi_topk": false,
        "skip_connection": false,
        "transcode": false,
        "d_in": neurons,
        "unmix": provenance(fit, Some(&encoder.report)),
    });
    let config = write_json(&folder, CONFIG, &config)?;
    folder.finish()?;
    Ok(vec![weights, config])
}
