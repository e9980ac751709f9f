//! Which token each row of activations belongs to.

use serde::Serialize;

use crate::Error;
use crate::row_shape::RowShape;
use crate::safetensors_writer::TensorEntry;
use crate::tensor::{Tensor, shape_text};
use crate::tensor_file::TensorFile;

/// Columns beside the activations, with one entry for each token. Each column may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenColumns {
    /// Index of the token in the model's vocabulary. Called `token_ids` in files, or `input_ids` beside a batch of
    /// sequences.
    pub token_ids: Option<Vec<i64>>,
    /// Number of the prompt that the token belongs to. Called `prompt_ids` or `sequence_ids` in files.
    pub prompt_ids: Option<Vec<i64>>,
    /// Position of the token in its prompt. Called `positions` in files, or `position_ids` beside a batch of sequences.
    pub positions: Option<Vec<i64>>,
    /// If tokens were left out: the row of the token in the files of activations, counted over all of them from 0.
    pub rows: Option<Vec<i64>>,
}

/// The columns of a fit or an encoding by their names.
const ROWS: &str = "rows";

impl TokenColumns {
    /// Names of the columns that are present.
    pub fn names(&self) -> Vec<&'static str> {
        self.present().map(|(name, _)| name).collect()
    }

    /// The columns that are present, by name.
    pub fn present(&self) -> impl Iterator<Item = (&'static str, &[i64])> {
        [
            ("token_ids", &self.token_ids),
            ("prompt_ids", &self.prompt_ids),
            ("positions", &self.positions),
            (ROWS, &self.rows),
        ]
        .into_iter()
        .filter_map(|(name, column)| Some((name, column.as_deref()?)))
    }

    /// All columns.
    pub(crate) fn all_mut(&mut self) -> [&mut Option<Vec<i64>>; 4] {
        [&mut self.token_ids, &mut self.prompt_ids, &mut self.positions, &mut self.rows]
    }
}

/// Whether a tensor of this name is a column of tokens, which is never taken for activations.
pub(crate) fn is_column(name: &str) -> bool {
    ["token_ids", "input_ids", "prompt_ids", "sequence_ids", "positions", "position_ids"].contains(&name)
}

/// The columns beside activations.
pub(crate) fn read(file: &TensorFile, rows: RowShape) -> Result<TokenColumns, Error> {
    // A captured batch has the names that its tokenizer gives. Beside tokens that follow one another, these names never
    // had a meaning.
    let names: [&[&str]; 3] = match rows {
        RowShape::Tokens(_) => [&["token_ids"], &["prompt_ids", "sequence_ids"], &["positions"]],
        RowShape::Batch { .. } => {
            [&["token_ids", "input_ids"], &["prompt_ids", "sequence_ids"], &["positions", "position_ids"]]
        }
    };
    let tensor = |names: &[&str]| names.iter().find_map(|name| file.tensor(name));
    let column = |names: &[&str]| tensor(names).map(|tensor| of_tokens(file, tensor, rows)).transpose();
    let prompt_ids = match (tensor(names[1]), rows) {
        (Some(tensor), RowShape::Batch { length, .. }) if rows.is_of_sequences(&tensor.info.shape) => {
            let of_sequences = integers(file, tensor)?.into_iter();
            Some(of_sequences.flat_map(|id| std::iter::repeat_n(id, length as usize)).collect())
        }
        _ => column(names[1])?,
    };
    Ok(TokenColumns { token_ids: column(names[0])?, prompt_ids, positions: column(names[2])?, rows: None })
}

/// The columns of a fit of `tokens` tokens.
pub(crate) fn read_of_fit(file: &TensorFile, tokens: u64) -> Result<TokenColumns, Error> {
    let rows = RowShape::Tokens(tokens);
    let kept = file.tensor(ROWS).map(|tensor| of_tokens(file, tensor, rows)).transpose()?;
    Ok(TokenColumns { rows: kept, ..read(file, rows)? })
}

/// The whole numbers of a tensor with an entry for each token.
fn of_tokens(file: &TensorFile, tensor: &Tensor, rows: RowShape) -> Result<Vec<i64>, Error> {
    check_type(file, tensor)?;
    check_length(file, tensor, rows)?;
    integers(file, tensor)
}

/// Refuses a tensor that does not have an entry for each token.
pub(crate) fn check_length(file: &TensorFile, tensor: &Tensor, rows: RowShape) -> Result<(), Error> {
    if rows.is_of_tokens(&tensor.info.shape) {
        return Ok(());
    }
    if let (&[found], RowShape::Tokens(tokens)) = (tensor.info.shape.as_slice(), rows) {
        return Err(Error::ColumnLength { path: file.path.clone(), column: tensor.info.name.clone(), found, tokens });
    }
    let advice = match rows {
        RowShape::Tokens(_) => "flatten it, or rename it if it is something else",
        RowShape::Batch { .. } => "as the activations have it; rename it if it is something else",
    };
    Err(Error::Shape {
        path: file.path.clone(),
        tensor: tensor.label(),
        shape: shape_text(&tensor.info.shape),
        expected: format!("{}, an entry a token; {advice}", rows.expected()),
    })
}

fn check_type(file: &TensorFile, tensor: &Tensor) -> Result<(), Error> {
    if tensor.number.is_some_and(|number| !number.is_float()) {
        return Ok(());
    }
    Err(Error::DataType {
        path: file.path.clone(),
        tensor: tensor.label(),
        found: tensor.info.dtype.clone(),
        expected: "whole numbers (i8 to i64, u8 to u64); convert it, or rename it if it is something else",
    })
}

/// All whole numbers of a tensor, whatever its shape is.
fn integers(file: &TensorFile, tensor: &Tensor) -> Result<Vec<i64>, Error> {
    check_type(file, tensor)?;
    let Some(number) = tensor.number else { unreachable!("checked above") };
    file.file.bytes[tensor.range.clone()]
        .chunks_exact(number.bytes())
        .enumerate()
        .map(|(row, bytes)| {
            number.integer(bytes, tensor.big_endian).map_err(|value| Error::IntegerRange {
                path: file.path.clone(),
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

    /// The tensor `name`, if its elements have 8 bytes.
    pub(crate) fn wide<'b>(&'b self, name: &'b str) -> Option<TensorEntry<'b>> {
        let Integers::Wide(values) = self else { return None };
        Some(TensorEntry { name, dtype: "I64", shape: vec![values.len()], bytes: bytemuck::cast_slice(values) })
    }

    /// The tensor `name`, if its elements have 4 bytes.
    pub(crate) fn narrow<'b>(&'b self, name: &'b str) -> Option<TensorEntry<'b>> {
        let Integers::Narrow(values) = self else { return None };
        Some(TensorEntry { name, dtype: "I32", shape: vec![values.len()], bytes: bytemuck::cast_slice(values) })
    }
}
