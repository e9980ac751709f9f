//! Which token each row of activations belongs to.

use serde::Serialize;

use crate::Error;
use crate::safetensors_writer::TensorEntry;
use crate::tensor::{Tensor, shape_text};
use crate::tensor_file::TensorFile;

/// Columns beside the activations, one entry a token; each may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenColumns {
    /// Index of the token in the model's vocabulary.
    pub token_ids: Option<Vec<i64>>,
    /// Number of the prompt that the token belongs to; `prompt_ids` or `sequence_ids` in files.
    pub prompt_ids: Option<Vec<i64>>,
    /// Position of the token in its prompt.
    pub positions: Option<Vec<i64>>,
}

impl TokenColumns {
    /// Names of the columns that are present.
    pub fn names(&self) -> Vec<&'static str> {
        self.present().map(|(name, _)| name).collect()
    }

    /// The columns that are present, by name.
    pub(crate) fn present(&self) -> impl Iterator<Item = (&'static str, &[i64])> {
        [("token_ids", &self.token_ids), ("prompt_ids", &self.prompt_ids), ("positions", &self.positions)]
            .into_iter()
            .filter_map(|(name, column)| Some((name, column.as_deref()?)))
    }
}

pub(crate) fn read(file: &TensorFile, tokens: u64) -> Result<TokenColumns, Error> {
    let column = |names: &[&str]| match names.iter().find_map(|name| file.tensor(name)) {
        Some(tensor) => integers(file, tensor, tokens).map(Some),
        None => Ok(None),
    };
    Ok(TokenColumns {
        token_ids: column(&["token_ids"])?,
        prompt_ids: column(&["prompt_ids", "sequence_ids"])?,
        positions: column(&["positions"])?,
    })
}

fn integers(file: &TensorFile, tensor: &Tensor, tokens: u64) -> Result<Vec<i64>, Error> {
    let path = || file.path.clone();
    let Some(number) = tensor.number.filter(|n| !n.is_float()) else {
        return Err(Error::DataType {
            path: path(),
            tensor: tensor.label(),
            found: tensor.info.dtype.clone(),
            expected: "whole numbers (i8 to i64, u8 to u64); convert it, or rename it if it is something else",
        });
    };
    let [length] = tensor.info.shape[..] else {
        return Err(Error::Shape {
            path: path(),
            tensor: tensor.label(),
            shape: shape_text(&tensor.info.shape),
            expected: format!(
                "one dimension of {tokens}, an entry a token; flatten it, or rename it if it is something else"
            ),
        });
    };
    if length != tokens {
        return Err(Error::ColumnLength { path: path(), column: tensor.info.name.clone(), found: length, tokens });
    }
    file.file.bytes[tensor.range.clone()]
        .chunks_exact(number.bytes())
        .enumerate()
        .map(|(row, bytes)| {
            number.integer(bytes, tensor.big_endian).map_err(|value| Error::IntegerRange {
                path: path(),
                tensor: tensor.label(),
                row: row as u64,
                value,
            })
        })
        .collect()
}

/// A column in the narrowest type that readers of token ids expect.
pub(crate) enum Integers<'a> {
    Narrow(Vec<i32>),
    Wide(&'a [i64]),
}

impl<'a> Integers<'a> {
    pub(crate) fn new(values: &'a [i64]) -> Self {
        match values.iter().map(|&v| i32::try_from(v)).collect() {
            Ok(narrow) => Integers::Narrow(narrow),
            Err(_) => Integers::Wide(values),
        }
    }

    /// The tensor `name`, if it has 8 bytes an element.
    pub(crate) fn wide<'b>(&'b self, name: &'b str) -> Option<TensorEntry<'b>> {
        let Integers::Wide(values) = self else { return None };
        Some(TensorEntry { name, dtype: "I64", shape: vec![values.len()], bytes: bytemuck::cast_slice(values) })
    }

    /// The tensor `name`, if it has 4 bytes an element.
    pub(crate) fn narrow<'b>(&'b self, name: &'b str) -> Option<TensorEntry<'b>> {
        let Integers::Narrow(values) = self else { return None };
        Some(TensorEntry { name, dtype: "I32", shape: vec![values.len()], bytes: bytemuck::cast_slice(values) })
    }
}
