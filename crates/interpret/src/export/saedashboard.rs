//! SAEDashboard: a set of vectors that `VectorSet.load` opens (checked with SAEDashboard 0.8.0).

use std::path::Path;

use serde_json::{Value, json};

use super::saelens::provenance;
use super::written::{begin, numbers, write_numbers};
use super::{ExportError, ScaledFit, Site, Tool, WrittenFile};
use crate::Prompts;

const VECTORS: &str = "vectors.json";

/// Writes the folder `dir` with `vectors.json`: the features as K vectors of d numbers with unit norm, and a
/// configuration that names model, hook and layer. SAEDashboard encodes by inner products with the vectors, x Ẑᵀ.
///
/// # Errors
/// If model or layer are not given, or the folder cannot be written.
pub fn saedashboard(dir: &Path, fit: &ScaledFit, site: &Site, force: bool) -> Result<Vec<WrittenFile>, ExportError> {
    let (model, layer) = site.required(Tool::Saedashboard, None)?;
    let prompts = Prompts::of(fit.tokens(), &fit.columns);
    let longest = prompts.ranges().map(|rows| rows.len()).max().unwrap_or(0);
    let names: Vec<String> = (0..fit.rank()).map(|k| format!("feature_{k}")).collect();
    let vectors: Vec<Vec<Value>> = (0..fit.rank()).map(|k| numbers(fit.features.row(k).iter().copied())).collect();
    let value = json!({
        "vectors": vectors,
        "config": {
            "d_in": fit.neurons(),
            "d_vectors": fit.rank(),
            "vector_names": names,
            "model_name": model,
            "hook_name": site.hook_name(),
            "hook_layer": layer,
            "hook_head_index": null,
            "prepend_bos": true,
            "context_size": if prompts.known { longest.clamp(1, 128) } else { 128 },
            "dataset_path": "",
            "dtype": "float32",
            "device": "cpu",
            "model_from_pretrained_kwargs": {},
        },
        "unmix": provenance(fit, None),
    });
    let folder = begin(dir, force, |name| name == Path::new(VECTORS))?;
    let file = write_numbers(&folder, VECTORS, &value)?;
    folder.finish()?;
    Ok(vec![file])
}
