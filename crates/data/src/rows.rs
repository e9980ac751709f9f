//! Rows of a stored matrix, converted to native order and type.

use std::path::Path;

use crate::Error;
use crate::number::Number;

/// Rows of a tile that is transposed at a time.
const TILE_ROWS: usize = 64;
/// Columns of a tile: 64 × 32 elements keep reads and writes within the first-level cache.
const TILE_COLUMNS: usize = 32;

/// A stored matrix.
pub(crate) struct Stored<'a> {
    pub bytes: &'a [u8],
    pub rows: usize,
    pub columns: usize,
    pub number: Number,
    pub big_endian: bool,
    pub fortran: bool,
}

/// An f64 value that f32 cannot hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OutOfRange {
    pub row: usize,
    pub column: usize,
    pub value: f64,
}

impl OutOfRange {
    /// The error for a tensor of a file. `tensor` is the tensor in words.
    pub fn of_file(self, path: &Path, tensor: String) -> Error {
        let OutOfRange { row, column, value } = self;
        let (path, row, column) = (path.to_owned(), row as u64, column as u64);
        if value.abs() < 1.0 {
            Error::Underflow { path, tensor, row, column, value }
        } else {
            Error::Overflow { path, tensor, row, column, value }
        }
    }
}

impl Stored<'_> {
    /// Writes rows `first..first + out.len() / row` to `out`, little-endian, with f64 as f32.
    ///
    /// # Errors
    /// If an f64 value is beyond the largest f32. If a row is not zero, and all of its f64 values are below the smallest f32 with all
    /// digits: it would become zeros, or lose digits. Single values that small are nothing beside the others of their row.
    ///
    /// # Panics
    /// If there are no such rows, or the type is not a float.
    pub(crate) fn read(&self, first: usize, out: &mut [u8]) -> Result<(), OutOfRange> {
        match (self.number, self.big_endian) {
            (Number::F64, big) => return self.read_f64(first, out, big),
            (Number::F32, true) => self.gather::<4, 4>(first, out, reversed),
            (Number::F16 | Number::Bf16, true) => self.gather::<2, 2>(first, out, reversed),
            (Number::F32, false) if self.fortran => self.gather::<4, 4>(first, out, |b| b),
            (Number::F16 | Number::Bf16, false) if self.fortran => self.gather::<2, 2>(first, out, |b| b),
            (Number::F32 | Number::F16 | Number::Bf16, false) => {
                let start = first * self.columns * self.number.bytes();
                out.copy_from_slice(&self.bytes[start..start + out.len()]);
            }
            (other, _) => unreachable!("{other} is no float"),
        }
        Ok(())
    }

    fn read_f64(&self, first: usize, out: &mut [u8], big: bool) -> Result<(), OutOfRange> {
        let value = |bytes: [u8; 8]| if big { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) };
        // An overflow is noted during the conversion, and its place is searched only afterwards, so that the loop stays
        // simple.
        let overflows = std::cell::Cell::new(false);
        self.gather::<8, 4>(first, out, |bytes| {
            let wide = value(bytes);
            let narrow = wide as f32;
            if narrow.is_infinite() && wide.is_finite() {
                overflows.set(true);
            }
            narrow.to_le_bytes()
        });
        let (narrow, _) = out.as_chunks::<4>();
        for (row, narrow) in (first..).zip(narrow.chunks_exact(self.columns)) {
            let wide = (0..self.columns).map(|column| {
                let element = if self.fortran { column * self.rows + row } else { row * self.columns + column };
                (column, value(self.bytes[element * 8..element * 8 + 8].try_into().expect("eight bytes")))
            });
            let lost = if overflows.get() {
                wide.clone().find(|(_, wide)| (*wide as f32).is_infinite() && wide.is_finite())
            } else if narrow.iter().all(|&bytes| f32::from_le_bytes(bytes).abs() < f32::MIN_POSITIVE) {
                wide.max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs())).filter(|(_, largest)| *largest != 0.0)
            } else {
                None
            };
            if let Some((column, value)) = lost {
                return Err(OutOfRange { row, column, value });
            }
        }
        Ok(())
    }

    /// Converts elements of `I` stored bytes to `O` bytes, and transposes if needed.
    fn gather<const I: usize, const O: usize>(
        &self,
        first: usize,
        out: &mut [u8],
        convert: impl Fn([u8; I]) -> [u8; O],
    ) {
        let (out, _) = out.as_chunks_mut::<O>();
        let (stored, _) = self.bytes.as_chunks::<I>();
        if !self.fortran {
            let start = first * self.columns;
            for (to, from) in out.iter_mut().zip(&stored[start..]) {
                *to = convert(*from);
            }
            return;
        }
        let rows = out.len() / self.columns;
        for row in (0..rows).step_by(TILE_ROWS) {
            let height = TILE_ROWS.min(rows - row);
            for column in (0..self.columns).step_by(TILE_COLUMNS) {
                for c in column..(column + TILE_COLUMNS).min(self.columns) {
                    let start = c * self.rows + first + row;
                    for (r, from) in stored[start..start + height].iter().enumerate() {
                        out[(row + r) * self.columns + c] = convert(*from);
                    }
                }
            }
        }
    }
}

fn reversed<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes.reverse();
    bytes
}
