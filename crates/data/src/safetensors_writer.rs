//! Writes safetensors files whose bytes depend on their content alone.
//!
//! The crate `safetensors` keeps metadata in a hash map, so its headers differ from run to run.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};
use unmix::DenseMatrix;

/// A tensor for [`write_tensors`].
#[derive(Clone, Debug)]
pub struct TensorEntry<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Type of its elements as safetensors spells it: `F64`, `F32`, `F16`, `U16`, `U32`, `I32` or `I64`.
    pub dtype: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Little-endian elements in C order.
    pub bytes: &'a [u8],
}

impl<'a> TensorEntry<'a> {
    /// A matrix [rows, columns] of f32.
    pub(crate) fn matrix(name: &'a str, matrix: &'a DenseMatrix) -> Self {
        let bytes = bytemuck::cast_slice(&matrix.values);
        TensorEntry { name, dtype: "F32", shape: vec![matrix.rows, matrix.columns], bytes }
    }
}

/// Writes a safetensors file of `entries` in their order; those of wider elements must come first to stay aligned.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write_tensors(
    mut out: impl Write,
    entries: &[TensorEntry<'_>],
    metadata: &BTreeMap<&str, String>,
) -> io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut end = 0;
    for entry in entries {
        let start = end;
        end += entry.bytes.len();
        header.insert(
            entry.name.to_owned(),
            json!({"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [start, end]}),
        );
    }
    let mut header = serde_json::to_vec(&Value::Object(header))?;
    // Padded with blanks so that the data start on a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for entry in entries {
        out.write_all(entry.bytes)?;
    }
    out.flush()
}
