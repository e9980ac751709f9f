//! One matrix of a model's weights.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use unmix::ElementType;

use crate::Error;
use crate::number::Number;
use crate::rows::Stored;
use crate::texts::quoted_name;
use crate::weight_file::StoredTensor;

/// A matrix [rows, columns] in a mapped file or in memory, read in blocks of rows as f32. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WeightMatrix {
    path: PathBuf,
    name: String,
    rows: usize,
    columns: usize,
    number: Number,
    bytes: Bytes,
}

impl WeightMatrix {
    /// # Errors
    /// If the tensor does not hold floating-point numbers.
    pub(crate) fn new(path: &Path, stored: &StoredTensor, rows: u64, columns: u64) -> Result<WeightMatrix, Error> {
        let tensor = &stored.tensor;
        match tensor.number {
            Some(number) if number.is_float() => Ok(WeightMatrix {
                path: path.to_owned(),
                name: tensor.info.name.clone(),
                // Both fit, because the tensor's bytes have been compared with the file's.
                rows: rows as usize,
                columns: columns as usize,
                number,
                bytes: stored.bytes.clone(),
            }),
            _ => Err(Error::DataType {
                path: path.to_owned(),
                tensor: tensor.label(),
                found: tensor.info.dtype.clone(),
                expected: "f32, f16, bf16 or f64 numbers; of a quantised model, give the weights that it was made from",
            }),
        }
    }

    /// Matrix number `at` of a stack of matrices.
    ///
    /// # Errors
    /// If the tensor does not hold floating-point numbers.
    pub(crate) fn of_stack(
        path: &Path,
        stored: &StoredTensor,
        at: usize,
        rows: u64,
        columns: u64,
    ) -> Result<WeightMatrix, Error> {
        let mut matrix = WeightMatrix::new(path, stored, rows, columns)?;
        let size = matrix.rows * matrix.columns * matrix.number.bytes();
        matrix.bytes = matrix.bytes.slice(at * size..(at + 1) * size);
        Ok(matrix)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the tensor.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Type of the numbers in the file: `f32`, `f16`, `bf16` or `f64`.
    pub fn dtype(&self) -> &'static str {
        self.number.name()
    }

    /// Writes rows to `out`, [rows.len(), columns].
    ///
    /// # Errors
    /// If there are no such rows, or `out` has another size. If a number is NaN or infinite, or an f64 number is beyond
    /// f32. If all f64 numbers of a row are below f32, and not all are zero.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) -> Result<(), Error> {
        if rows.start > rows.end || rows.end > self.rows || out.len() != rows.len() * self.columns {
            let problem = format!(
                "rows {rows:?} cannot be read to a buffer of {} numbers; there are {} rows of {} numbers",
                out.len(),
                self.rows,
                self.columns
            );
            return Err(Error::Rows { path: self.path.clone(), tensor: self.name.clone(), problem });
        }
        let width = self.columns * self.number.bytes();
        let bytes = &self.bytes[rows.start * width..rows.end * width];
        match self.number {
            Number::F16 => ElementType::F16.decode(bytes, out),
            Number::Bf16 => ElementType::Bf16.decode(bytes, out),
            Number::F32 => ElementType::F32.decode(bytes, out),
            number => {
                let (big_endian, fortran) = (false, false);
                let &WeightMatrix { rows: all, columns, .. } = self;
                let stored = Stored { bytes: &self.bytes, rows: all, columns, number, big_endian, fortran };
                let narrowed = stored.read(rows.start, bytemuck::cast_slice_mut(out));
                narrowed.map_err(|lost| lost.of_file(&self.path, self.label()))?;
                out.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
            }
        }
        match out.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(i) => {
                let (row, column) = (rows.start + i / self.columns, i % self.columns);
                let what = format!("{}: the numbers of {}", self.path.display(), self.label());
                Err(Error::NotFiniteMatrix { what, row, column, value: out[i] })
            }
        }
    }

    /// The tensor in words.
    fn label(&self) -> String {
        format!("tensor {}", quoted_name(&self.name))
    }
}
