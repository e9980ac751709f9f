//! Activations in a file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use unmix::{ActivationSource, ElementType};

use crate::number::Number;
use crate::rows::Stored;
use crate::tensor::Tensor;
use crate::tensor_file::TensorFile;
use crate::{Error, Format, TensorInfo, TokenColumns, columns, tensor_choice, tensor_opening};

/// What to read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Name of the tensor. Without it, the file's two-dimensional tensor of floating-point numbers is meant, if it is the only
    /// one, no mask by its name, and beside it is nothing that may be the activations as well, such as a tensor of more dimensions.
    pub tensor: Option<String>,
}

/// A matrix of activations, tokens × neurons, in a memory-mapped safetensors or npy file.
///
/// f32, f16 and bf16 numbers keep their type; f64 numbers become f32 as they are read. Big-endian and Fortran-order arrays are
/// rearranged as they are read; all else is used in place, without a copy ([`shared_rows`](ActivationSource::shared_rows)).
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ActivationFile {
    file: TensorFile,
    tensor: Tensor,
    number: Number,
    rows: usize,
    columns: usize,
}

impl ActivationFile {
    /// Maps a file, checks its header and picks the matrix. Nothing but the header is read yet.
    ///
    /// The file must not be changed or shortened while this value or bytes shared by it live: numbers would change under
    /// way, and reading beyond the new end stops the process, unless [`catch_bus_errors`](crate::catch_bus_errors) has been called.
    /// [`check_unchanged`](Self::check_unchanged) tells afterwards.
    ///
    /// # Errors
    /// If there is no such file, it is a folder, empty, of another format or damaged; if the tensor is missing, ambiguous, no
    /// matrix, without rows or columns, or of a type that cannot be read.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<ActivationFile, Error> {
        let file = tensor_opening::open(path.as_ref())?;
        let tensor = tensor_choice::matrix(&file, options.tensor.as_deref())?.clone();
        let (Some(number), &[rows, columns]) = (tensor.number, tensor.info.shape.as_slice()) else {
            unreachable!("only float matrices are picked");
        };
        // Both fit: the tensor's bytes have been compared with the file's.
        let (rows, columns) = (rows as usize, columns as usize);
        Ok(ActivationFile { file, tensor, number, rows, columns })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        self.file.format
    }

    /// Name of the tensor; npy arrays have none.
    pub fn tensor(&self) -> Option<&str> {
        Some(self.tensor.info.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Type of the numbers in the file, e.g. `f16`, `f64 (big-endian)`.
    pub fn stored_dtype(&self) -> &str {
        &self.tensor.info.dtype
    }

    /// Bytes of the matrix in the file. f64 numbers take half of it once they are read.
    pub fn stored_bytes(&self) -> u64 {
        self.tensor.range.len() as u64
    }

    /// Whether the file holds the matrix column after column.
    pub fn is_fortran_order(&self) -> bool {
        self.tensor.fortran
    }

    /// All tensors of the file in its order.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        self.file.tensors.iter().map(|t| t.info.clone()).collect()
    }

    /// The file's own key-value metadata; empty for npy.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.file.metadata
    }

    /// The columns `token_ids`, `prompt_ids` (or `sequence_ids`) and `positions`, as far as the file holds them.
    ///
    /// # Errors
    /// If one of them is not a one-dimensional tensor of whole numbers with an entry a token.
    pub fn token_columns(&self) -> Result<TokenColumns, Error> {
        columns::read(&self.file, self.rows as u64)
    }

    /// Whether the file still holds what it held when it was opened and had `fingerprint`, by its size, its times and, where those
    /// cannot tell, its content: numbers that are used in place may have been changed by a process that has them mapped, too.
    ///
    /// # Errors
    /// [`Error::Changed`] if it does not, [`Error::CutShort`] if it has lost bytes.
    pub fn check_unchanged(&self, fingerprint: &str) -> Result<(), Error> {
        if !self.file.file.is_touched()? && !self.in_place() {
            return Ok(());
        }
        let now = crate::fingerprint(self)?;
        // Bytes may have gone missing while they were read.
        self.check_whole()?;
        if now == fingerprint { Ok(()) } else { Err(Error::Changed(self.path().to_owned())) }
    }

    /// Whether the file has not been written to since it was opened, by its size and its times.
    ///
    /// # Errors
    /// [`Error::Changed`] if it has, [`Error::CutShort`] if it has lost bytes.
    pub fn check_untouched(&self) -> Result<(), Error> {
        if self.file.file.is_touched()? { Err(Error::Changed(self.path().to_owned())) } else { Ok(()) }
    }

    /// Whether the file still has all of its bytes. Cheap enough to ask again and again.
    ///
    /// # Errors
    /// [`Error::CutShort`] if it has not.
    pub fn check_whole(&self) -> Result<(), Error> {
        self.file.file.is_touched().map(|_| ())
    }

    /// The matrix as bytes in place, if they are what [`read_rows`](ActivationSource::read_rows) gives.
    fn in_place(&self) -> bool {
        !self.tensor.fortran && !self.tensor.big_endian && self.number != Number::F64
    }
}

impl ActivationSource for ActivationFile {
    fn tokens(&self) -> u64 {
        self.rows as u64
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
        let stored = Stored {
            bytes: &self.file.file.bytes[self.tensor.range.clone()],
            rows: self.rows,
            columns: self.columns,
            number: self.number,
            big_endian: self.tensor.big_endian,
            fortran: self.tensor.fortran,
        };
        stored.read(rows.start as usize, out).map_err(|o| {
            let (row, column) = (o.row as u64, o.column as u64);
            let error = Error::Overflow { path: self.file.path.clone(), row, column, value: o.value };
            std::io::Error::new(std::io::ErrorKind::InvalidData, error)
        })
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        if !self.in_place() || rows.start > rows.end || rows.end > self.tokens() {
            return None;
        }
        let row = self.columns * self.number.bytes();
        Some(self.file.data(&self.tensor).slice(rows.start as usize * row..rows.end as usize * row))
    }
}
