//! EleutherAI's delphi: a cache of activations that `LatentDataset` opens (checked with delphi 0.1.3).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use half::f16;
use serde_json::json;
use unmix_data::{ResultFolder, TensorEntry, write_tensors};

use super::saelens::provenance;
use super::written::{begin, write_json};
use super::{ExportError, ScaledFit, Site, WrittenFile};
use crate::Prompts;

/// delphi cuts rows into examples of 32 tokens by default, and needs rows whose length is a multiple of that.
const EXAMPLE: usize = 32;
/// Most token ids of a cache, including padding. Each split holds all of them, in memory and in its file.
const MOST_TOKENS: usize = 1 << 28;

/// What only the caller can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelphiOptions {
    /// Number of files over which the features are spread. delphi's own caches have 5. No more files are written than
    /// there are features.
    pub splits: usize,
    /// Token id that fills rows after the end of their prompt. It also stands in for ids that no tokenizer has, such as
    /// -100. Without it, 0 fills rows, and such ids are refused.
    pub padding: Option<i64>,
}

impl Default for DelphiOptions {
    fn default() -> Self {
        DelphiOptions { splits: 5, padding: None }
    }
}

/// Whether delphi can decode a token id. The tokenizers that it uses take no others.
pub fn is_delphi_id(id: i64) -> bool {
    u32::try_from(id).is_ok()
}

/// Writes the folder `dir`. It has `config.json`, and a folder for the module (see [`Site`]) with a file
/// `{first}_{last}.safetensors` for each split of the features. Each file has `locations` [nnz, 3] (prompt, position,
/// feature minus `first`) u16 or u32, `activations` f16 \[nnz\] and `tokens` i64 [prompts, length].
///
/// Prompts are rows in their order. They are padded to the length of the longest, rounded up to a multiple of 32.
/// Activations are coefficients times a power of two, which `config.json` states as `activation_factor`. It is 1 unless
/// f16 could not hold the coefficients.
///
/// # Errors
/// If the fit has no token ids, or has some that delphi cannot decode while no padding stands in for them. If it is not
/// known where prompts begin. If there would be too many padded tokens. If the folder cannot be written.
pub fn delphi(
    dir: &Path,
    fit: &ScaledFit,
    site: &Site,
    options: &DelphiOptions,
    force: bool,
) -> Result<Vec<WrittenFile>, ExportError> {
    let missing = |missing: &str, advice: &str| ExportError::Missing {
        target: "delphi",
        missing: missing.to_owned(),
        advice: advice.to_owned(),
    };
    let Some(ids) = &fit.columns.token_ids else {
        return Err(missing("the fit has no token ids", "fit a file of activations with a column `token_ids`"));
    };
    let prompts = Prompts::of(fit.tokens(), &fit.columns);
    if !prompts.known {
        return Err(missing(
            "nothing tells where prompts begin",
            "fit a file of activations with a column `prompt_ids` or `positions`",
        ));
    }
    let rows: Vec<Range<usize>> = prompts.ranges().collect();
    let length = rows.iter().map(Range::len).max().unwrap_or(0).next_multiple_of(EXAMPLE);
    if rows.len().saturating_mul(length) > MOST_TOKENS {
        return Err(ExportError::Range(format!(
            "delphi: {} prompts padded to {length} tokens would be more than {MOST_TOKENS} token ids; cut long prompts into \
             several before the fit",
            rows.len()
        )));
    }
    if let Some(padding) = options.padding.filter(|&id| !is_delphi_id(id)) {
        return Err(ExportError::Range(format!("delphi: {padding} as padding is no token id; give one from 0 on")));
    }
    if let (Some(row), None) = (ids.iter().position(|&id| !is_delphi_id(id)), options.padding) {
        let count = ids.iter().filter(|&&id| !is_delphi_id(id)).count();
        return Err(missing(
            &format!("{count} token ids are none that a tokenizer can decode, the first in row {row}: {}", ids[row]),
            "give --padding ID, and that token stands in for them",
        ));
    }
    let padding = options.padding.unwrap_or(0);
    let mut tokens = vec![padding; rows.len() * length];
    for (row, prompt) in rows.iter().enumerate() {
        for (token, &id) in tokens[row * length..].iter_mut().zip(&ids[prompt.clone()]) {
            *token = if is_delphi_id(id) { id } else { padding };
        }
    }
    let cache = Cache { fit, rows, length, tokens, factor: factor(&fit.coefficients.values) };

    let module = PathBuf::from(site.module_name());
    if !matches!(module.components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
        return Err(missing(
            &format!("the module's name {:?} names no folder", site.module_name()),
            "give --hook NAME without slashes, such as layers.12.mlp",
        ));
    }
    let folder = begin(dir, force, is_ours)?;
    let splits = options.splits.clamp(1, fit.rank());
    let mut files = Vec::new();
    for split in 0..splits {
        let features = split * fit.rank() / splits..(split + 1) * fit.rank() / splits;
        files.push(cache.write_split(&folder, &module, features)?);
    }
    let mut about = provenance(fit, None);
    about["activation_factor"] = json!(cache.factor);
    about["padding"] = json!(padding);
    let config = json!({
        "dataset_repo": "",
        "dataset_split": "",
        "dataset_name": "",
        "dataset_column": "text",
        "batch_size": 1,
        "cache_ctx_len": length,
        "ctx_len": length,
        "n_tokens": cache.tokens.len(),
        "n_splits": splits,
        "model_name": site.model.as_deref().unwrap_or_default(),
        "unmix": about,
    });
    files.push(write_json(&folder, module.join("config.json"), &config)?);
    folder.finish()?;
    Ok(files)
}

fn is_ours(name: &Path) -> bool {
    let file = name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let numbers = file.strip_suffix(".safetensors").and_then(|stem| stem.split_once('_'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    file == "config.json" || numbers.is_some_and(|(first, last)| digits(first) && digits(last))
}

/// 1, or else the power of two that brings the largest coefficient to about 1, if f16 cannot hold the coefficients or
/// lacks precision for them.
fn factor(coefficients: &[f32]) -> f64 {
    let largest = f64::from(coefficients.iter().copied().fold(0f32, f32::max));
    if largest == 0.0 || (0.01..65_000.0).contains(&largest) { 1.0 } else { (-largest.log2().floor()).exp2() }
}

struct Cache<'a> {
    fit: &'a ScaledFit,
    /// Rows of the fit in each prompt.
    rows: Vec<Range<usize>>,
    /// Length of the padded prompts.
    length: usize,
    /// Token ids, [prompts, length].
    tokens: Vec<i64>,
    factor: f64,
}

impl Cache<'_> {
    fn write_split(
        &self,
        folder: &ResultFolder,
        module: &Path,
        features: Range<usize>,
    ) -> Result<WrittenFile, ExportError> {
        let (mut locations, mut activations) = (Vec::new(), Vec::new());
        for (prompt, rows) in self.rows.iter().enumerate() {
            for (position, row) in rows.clone().enumerate() {
                let coefficients = &self.fit.coefficients.row(row)[features.clone()];
                for (feature, &coefficient) in coefficients.iter().enumerate().filter(|(_, y)| **y > 0.0) {
                    let value = f16::from_f64(f64::from(coefficient) * self.factor);
                    // delphi also leaves out whatever is below 1e-5.
                    if value.to_f32() > 1e-5 {
                        locations.push([prompt as u32, position as u32, feature as u32]);
                        activations.extend(value.to_le_bytes());
                    }
                }
            }
        }
        let count = locations.len();
        let narrow = locations.as_flattened().iter().all(|&index| index < 1 << 16);
        let locations: Vec<u8> = if narrow {
            locations.as_flattened().iter().flat_map(|&index| (index as u16).to_le_bytes()).collect()
        } else {
            locations.as_flattened().iter().flat_map(|&index| index.to_le_bytes()).collect()
        };
        let tokens: Vec<u8> = self.tokens.iter().flat_map(|id| id.to_le_bytes()).collect();
        let shape = vec![self.rows.len(), self.length];
        let dtype = if narrow { "U16" } else { "U32" };
        let entries = [
            TensorEntry { name: "tokens", dtype: "I64", shape, bytes: &tokens },
            TensorEntry { name: "locations", dtype, shape: vec![count, 3], bytes: &locations },
            TensorEntry { name: "activations", dtype: "F16", shape: vec![count], bytes: &activations },
        ];
        let name = module.join(format!("{}_{}.safetensors", features.start, features.end - 1));
        let metadata = BTreeMap::from([("scale", super::SCALE.to_owned())]);
        let bytes = folder.write(&name, |out| write_tensors(out, &entries, &metadata))?;
        Ok(WrittenFile { name, bytes })
    }
}
