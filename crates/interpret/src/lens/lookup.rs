//! Finds tensors by their names, and says what is wrong with them.

use std::collections::HashSet;

use unmix_data::Weights;

use super::{LensError, Role};

/// The name of the bias that goes with these weights, if there is one.
pub(super) fn bias_of(weights: &Weights, name: &str) -> Option<String> {
    let bias = bias_name(name);
    weights.shape(&bias).is_some().then_some(bias)
}

/// The name of the bias that would go with these weights.
pub(super) fn bias_name(name: &str) -> String {
    format!("{}.bias", name.strip_suffix(".weight").unwrap_or(name))
}

/// The first of `names` that the weights have.
pub(super) fn first(role: Role, weights: &Weights, mut names: Vec<String>) -> Result<String, LensError> {
    if let Some(name) = names.iter().find(|name| weights.shape(name).is_some()) {
        return Ok(name.clone());
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Err(not_found(role, weights, &names))
}

pub(super) fn not_found(role: Role, weights: &Weights, looked: &[String]) -> LensError {
    LensError::NotFound {
        role,
        files: files(weights),
        looked: list(looked.iter().cloned()),
        held: list(weights.names().map(|name| match weights.shape(name) {
            Some(shape) => format!("{name} {shape:?}"),
            None => name.to_owned(),
        })),
    }
}

pub(super) fn wrong_size(role: Role, weights: &Weights, name: &str, expected: String) -> LensError {
    LensError::WrongSize {
        role,
        path: weights.path(name).unwrap_or("".as_ref()).to_owned(),
        tensor: name.to_owned(),
        shape: weights.shape(name).unwrap_or_default().to_vec(),
        expected,
    }
}

/// The files in words: the first one, and how many there are.
pub(super) fn files(weights: &Weights) -> String {
    let mut paths = weights.paths();
    let first = paths.next().map_or_else(String::new, |path| path.display().to_string());
    if paths.len() == 0 { first } else { format!("{first} and {} more files", paths.len()) }
}

/// Different numbers in words, in order.
pub(super) fn numbers(numbers: impl Iterator<Item = u32>) -> String {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() { "none".to_owned() } else { list(numbers.iter().map(ToString::to_string)) }
}

/// Names in words, cut if there are many.
pub(super) fn list(names: impl Iterator<Item = String>) -> String {
    const MOST: usize = 8;
    let names: Vec<String> = names.collect();
    let shown = names[..names.len().min(MOST)].join(", ");
    if names.len() > MOST { format!("{shown} and {} more", names.len() - MOST) } else { shown }
}

/// A vector with an entry for each dimension of the residual stream.
pub(super) fn vector_of_width(weights: &Weights, name: &str, role: Role, width: usize) -> Result<Vec<f32>, LensError> {
    vector_of_length(weights, name, role, width, format!("{width} entries, the width of the residual stream"))
}

/// A vector of that many entries. `expected` says in words how many, and why.
pub(super) fn vector_of_length(
    weights: &Weights,
    name: &str,
    role: Role,
    length: usize,
    expected: String,
) -> Result<Vec<f32>, LensError> {
    let values = weights.vector(name)?;
    if values.len() == length { Ok(values) } else { Err(wrong_size(role, weights, name, expected)) }
}
