//! The index of tensors that are spread over several files, in Hugging Face's format.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::Error;
use crate::json::{read_json, wrong};
use crate::regular_file::MOST_MODEL_JSON;
use crate::texts::{quoted_name, told};

/// The files that an index names, each with the tensors that it places there.
///
/// # Errors
/// If the file cannot be read, is something else, names no tensors, or names a file that is not beside it.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Vec<String>>, Error> {
    const EXPECTED: &str = "an index of shards: {\"weight_map\": {tensor: file, …}}, as Hugging Face writes it";
    let index: Value = read_json(path, MOST_MODEL_JSON, EXPECTED)?;
    let Some(map) = index.get("weight_map").and_then(Value::as_object) else {
        return Err(wrong(path, "there is no object \"weight_map\"".to_owned(), EXPECTED));
    };
    let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, shard) in map {
        // Shards are beside their index. A path could lead to files that nobody named.
        let Some(shard) = shard.as_str().filter(|s| Path::new(s).file_name().is_some_and(|name| name == *s)) else {
            let problem = format!("the entry {} is {} instead of the name of a file", quoted_name(tensor), told(shard));
            return Err(wrong(path, problem, EXPECTED));
        };
        shards.entry(shard.to_owned()).or_default().push(tensor.clone());
    }
    if shards.is_empty() {
        return Err(wrong(path, "\"weight_map\" names no tensors".to_owned(), EXPECTED));
    }
    Ok(shards)
}

/// The error of a shard that could not be opened, if the index names it and it is missing.
pub(crate) fn missing(error: Error, index: &Path) -> Error {
    match error {
        Error::NotFound(path) => Error::MissingShard { path, index: index.to_owned() },
        other => other,
    }
}
