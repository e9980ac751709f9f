//! A tensor of a file: its name, type and shape, and where it is in the file.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::number::Number;
use crate::texts::{cut_name, quoted_name};

/// File formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The safetensors format of Hugging Face: many named tensors in C order.
    Safetensors,
    /// NumPy's npy, versions 1 to 3: one array without a name, in C or Fortran order.
    Npy,
}

impl Format {
    /// `safetensors` or `npy`.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors",
            Format::Npy => "npy",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tensor as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Its name. Empty in an npy file.
    pub name: String,
    /// Its type in words, such as `f16` or `f64 (big-endian)`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "an array".to_owned() } else { cut_name(&self.name) };
        write!(f, "{name} {} {}", self.dtype, shape_text(&self.shape))
    }
}

/// A tensor, and where it is in the file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub info: TensorInfo,
    /// Absent for types that cannot be read.
    pub number: Option<Number>,
    pub big_endian: bool,
    pub fortran: bool,
    /// Bytes of the file. If `number` is present, there are exactly as many as type and shape need.
    pub range: Range<usize>,
}

impl Tensor {
    /// The tensor in words.
    pub(crate) fn label(&self) -> String {
        if self.info.name.is_empty() {
            "the array".to_owned()
        } else {
            format!("tensor {}", quoted_name(&self.info.name))
        }
    }

    pub(crate) fn is_float(&self) -> bool {
        self.number.is_some_and(Number::is_float)
    }
}

/// A shape as text, such as `[3, 4]`. It is cut if it has more sides than a tensor can sensibly have.
pub(crate) fn shape_text(shape: &[u64]) -> String {
    const MOST: usize = 16;
    match shape.get(..MOST) {
        Some(start) if shape.len() > MOST => format!("{start:?} and {} further sides", shape.len() - MOST),
        _ => format!("{shape:?}"),
    }
}

/// Tensors in words, for a message: name, type and shape of each. A long list is cut.
pub(crate) fn list<'a>(tensors: impl ExactSizeIterator<Item = &'a Tensor>) -> String {
    const MOST: usize = 12;
    let count = tensors.len();
    if count == 0 {
        return "no tensors".to_owned();
    }
    let mut text = tensors.take(MOST).map(|t| t.info.to_string()).collect::<Vec<_>>().join(", ");
    if count > MOST {
        text.push_str(&format!(" and {} more", count - MOST));
    }
    text
}

/// The number of elements of a shape times `size`, if that many bytes can be addressed.
pub(crate) fn byte_size(shape: &[u64], size: usize) -> Option<usize> {
    let elements = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side))?;
    usize::try_from(elements).ok()?.checked_mul(size)
}
