//! Activations in a file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use unmix::{ActivationSource, ElementType};

use crate::number::Number;
use crate::row_shape::RowShape;
use crate::rows::Stored;
use crate::tensor::{Tensor, shape_text};
use crate::tensor_file::TensorFile;
use crate::{Error, Format, TensorInfo, TokenColumns, columns, mask, tensor_choice, tensor_opening};

/// What to read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Name of the tensor. Without it, the file's only tensor of floating-point numbers with two or three dimensions is
    /// meant. It must not have the name of a mask or of a column of tokens, and nothing else in the file may be the
    /// activations as well.
    pub tensor: Option<String>,
}

/// One tensor of activations in a memory-mapped safetensors or npy file, with every row that the file holds.
///
/// f32, f16 and bf16 numbers keep their type. f64 numbers become f32 as they are read. Big-endian and Fortran-order
/// arrays are rearranged as they are read. Everything else is used in place without a copy
/// ([`shared_rows`](ActivationSource::shared_rows)), or read by ordinary reads
/// ([`read_rows`](ActivationSource::read_rows)).
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ActivationFile {
    file: TensorFile,
    tensor: Tensor,
    number: Number,
    shape: RowShape,
    columns: usize,
}

impl ActivationFile {
    /// Maps a file, checks its header and picks the matrix, tokens × neurons. Only the header is read.
    /// [`ActivationSet`](crate::ActivationSet) reads several files, and batches of sequences.
    ///
    /// The file must not be changed or shortened while this value or bytes shared by it live. Otherwise numbers change
    /// in the middle of a computation, and reading beyond the new end stops the process, unless
    /// [`catch_bus_errors`](crate::catch_bus_errors) has been called.
    /// [`check_unchanged`](crate::ActivationSet::check_unchanged) finds such changes afterwards.
    ///
    /// # Errors
    /// If there is no such file, or it is a folder, empty, of another format or damaged. If the tensor is missing,
    /// ambiguous, not a matrix, without rows or columns, or of a type that cannot be read.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<ActivationFile, Error> {
        let opened = ActivationFile::open_any(path.as_ref(), options)?;
        match opened.shape {
            RowShape::Tokens(_) => Ok(opened),
            RowShape::Batch { .. } => Err(Error::Shape {
                path: opened.file.path.clone(),
                tensor: opened.tensor.label(),
                shape: shape_text(&opened.tensor.info.shape),
                expected: "two dimensions, rows × columns; merge the leading dimensions into one".to_owned(),
            }),
        }
    }

    /// As [`open`](Self::open), but it also takes a batch of sequences, [batch, sequence, neurons], as one sequence
    /// after another.
    pub(crate) fn open_any(path: &Path, options: &OpenOptions) -> Result<ActivationFile, Error> {
        let file = tensor_opening::open(path)?;
        let tensor = tensor_choice::activations(&file, options.tensor.as_deref())?.clone();
        let (shape, columns) = match (tensor.number, tensor.info.shape.as_slice()) {
            (Some(_), &[rows, columns]) => (RowShape::Tokens(rows), columns),
            (Some(_), &[sequences, length, columns]) => (RowShape::Batch { sequences, length }, columns),
            _ => unreachable!("only tensors of numbers with two or three dimensions are picked"),
        };
        let Some(number) = tensor.number else { unreachable!("only numbers are picked") };
        Ok(ActivationFile { file, tensor, number, shape, columns: columns as usize })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        self.file.format
    }

    /// Name of the tensor. npy arrays have none.
    pub fn tensor(&self) -> Option<&str> {
        Some(self.tensor.info.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Type of the numbers in the file, such as `f16` or `f64 (big-endian)`.
    pub fn stored_dtype(&self) -> &str {
        &self.tensor.info.dtype
    }

    /// Bytes of the matrix in the file. f64 numbers take half as many once they are read.
    pub fn stored_bytes(&self) -> u64 {
        self.tensor.range.len() as u64
    }

    /// Whether the file holds the matrix one column after the other.
    pub fn is_fortran_order(&self) -> bool {
        self.tensor.fortran
    }

    /// All tensors of the file, in its order.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        self.file.tensors.iter().map(|t| t.info.clone()).collect()
    }

    /// The file's own key-value metadata. Empty for npy.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.file.metadata
    }

    /// Number of sequences and their length, if the tensor is a batch of sequences, [batch, sequence, neurons].
    pub fn batch(&self) -> Option<[u64; 2]> {
        match self.shape {
            RowShape::Tokens(_) => None,
            RowShape::Batch { sequences, length } => Some([sequences, length]),
        }
    }

    /// The columns `token_ids`, `prompt_ids` (or `sequence_ids`) and `positions` that the file holds.
    ///
    /// # Errors
    /// If one of them is not a one-dimensional tensor of whole numbers with an entry for each token. Beside a batch of
    /// sequences, columns have the shape of its leading dimensions.
    pub fn token_columns(&self) -> Result<TokenColumns, Error> {
        columns::read(&self.file, self.shape)
    }

    /// The columns of the fit whose coefficients these are.
    pub(crate) fn columns_of_fit(&self) -> Result<TokenColumns, Error> {
        columns::read_of_fit(&self.file, self.tokens())
    }

    /// Which rows are not padding, if this is a batch of sequences with a mask beside it.
    pub(crate) fn attention_mask(&self) -> Result<Option<Vec<bool>>, Error> {
        mask::attention_mask(&self.file, self.shape)
    }

    /// Which rows the tensor `name` of the file keeps.
    pub(crate) fn mask(&self, name: &str) -> Result<Vec<bool>, Error> {
        mask::named(&self.file, name, self.shape)
    }

    /// Whether the file has been written to since it was opened, according to its size and its times.
    ///
    /// # Errors
    /// [`Error::CutShort`] if it has lost bytes.
    pub(crate) fn is_touched(&self) -> Result<bool, Error> {
        self.file.file.is_touched()
    }

    /// Whether another file is now in the place of this one.
    pub(crate) fn is_replaced(&self) -> bool {
        self.file.file.is_replaced()
    }

    /// Whether the bytes of the file are what [`read_rows`](ActivationSource::read_rows) gives.
    pub(crate) fn in_place(&self) -> bool {
        !self.tensor.fortran && !self.tensor.big_endian && self.number != Number::F64
    }
}

impl ActivationSource for ActivationFile {
    fn tokens(&self) -> u64 {
        self.shape.rows()
    }

    fn neurons(&self) -> u64 {
        self.columns as u64
    }

    fn element(&self) -> ElementType {
        match self.number {
            Number::F16 => ElementType::F16,
            Number::Bf16 => ElementType::Bf16,
            _ => ElementType::F32,
        }
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.check_rows(&rows, out)?;
        if self.in_place() {
            let row = (self.columns * self.number.bytes()) as u64;
            let start = self.tensor.range.start as u64 + rows.start * row;
            return self.file.file.read_at(start, out).map_err(Error::into_read);
        }
        let stored = Stored {
            bytes: &self.file.file.bytes[self.tensor.range.clone()],
            rows: self.shape.rows() as usize,
            columns: self.columns,
            number: self.number,
            big_endian: self.tensor.big_endian,
            fortran: self.tensor.fortran,
        };
        stored
            .read(rows.start as usize, out)
            .map_err(|lost| lost.of_file(&self.file.path, self.tensor.label()).into_read())
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        if !self.in_place() || rows.start > rows.end || rows.end > self.tokens() {
            return None;
        }
        let row = self.columns * self.number.bytes();
        Some(self.file.data(&self.tensor).slice(rows.start as usize * row..rows.end as usize * row))
    }
}
