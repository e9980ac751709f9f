//! Writes safetensors files whose bytes depend only on their content.
//!
//! The crate `safetensors` keeps metadata in a hash map, so its headers differ from run to run.

use std::collections::BTreeMap;
use std::io::{self, Write};

use safetensors::tensor::Metadata;
use serde_json::{Map, Value, json};
use unmix::DenseMatrix;

use crate::safetensors_header::LONGEST_HEADER;

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

/// Writes a safetensors file of `entries`, in their order. Entries with wider elements must come first, so that all
/// stay aligned.
///
/// # Errors
/// If two tensors have the same name, or the type and shape of one do not go with its bytes. Nobody could read such a
/// file, so nothing is written. If `out` cannot be written to.
pub fn write_tensors(
    mut out: impl Write,
    entries: &[TensorEntry<'_>],
    metadata: &BTreeMap<&str, String>,
) -> io::Result<()> {
    let described = entries.iter().map(|TensorEntry { name, dtype, shape, bytes }| Described {
        name,
        dtype,
        shape,
        bytes: bytes.len(),
    });
    out.write_all(&beginning(described, metadata)?)?;
    for entry in entries {
        out.write_all(entry.bytes)?;
    }
    out.flush()
}

/// A tensor whose elements are written later.
pub(crate) struct Described<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Type of its elements as safetensors spells it.
    pub dtype: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Bytes of its elements.
    pub bytes: usize,
}

/// The bytes of a file before the elements of the tensors: the length of the header, and the header.
///
/// # Errors
/// As [`write_tensors`].
pub(crate) fn beginning<'a>(
    tensors: impl Iterator<Item = Described<'a>>,
    metadata: &BTreeMap<&str, String>,
) -> io::Result<Vec<u8>> {
    let mut header = header(tensors, metadata)?;
    // The header is padded with blanks so that the data start on a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut beginning = (header.len() as u64).to_le_bytes().to_vec();
    beginning.append(&mut header);
    Ok(beginning)
}

fn header<'a>(tensors: impl Iterator<Item = Described<'a>>, metadata: &BTreeMap<&str, String>) -> io::Result<Vec<u8>> {
    let refused = |problem: String| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut end = 0;
    for Described { name, dtype, shape, bytes } in tensors {
        let start = end;
        end += bytes;
        let info = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        // Readers are strict, so a tensor that they would refuse is not written.
        let alone = json!({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, bytes]}});
        if let Err(problem) = serde_json::from_value::<Metadata>(alone) {
            return refused(format!(
                "tensor {name:?} of type {dtype} and shape {shape:?} cannot be written from {bytes} bytes: {problem}"
            ));
        }
        if header.insert(name.to_owned(), info).is_some() {
            return refused(format!("two tensors cannot both be called {name:?}; give each a name of its own"));
        }
    }
    let header = serde_json::to_vec(&Value::Object(header))?;
    if header.len() as u64 > LONGEST_HEADER {
        return refused(format!("a header of {} bytes; the format allows {LONGEST_HEADER}", header.len()));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: &[TensorEntry<'_>]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        write_tensors(&mut bytes, entries, &BTreeMap::new()).map(|()| bytes)
    }

    #[test]
    fn what_no_reader_would_take_is_not_written() {
        let entry = |name, dtype, shape: &[usize]| TensorEntry { name, dtype, shape: shape.to_vec(), bytes: &[0; 4] };
        let good = || entry("a", "F32", &[1]);
        for (entries, word) in [
            (vec![entry("a", "F32", &[9, 9])], "[9, 9]"),
            (vec![entry("a", "F32", &[usize::MAX, 2])], "cannot be written"),
            (vec![entry("a", "Q\"7", &[1])], "Q\"7"),
            (vec![good(), good()], "\"a\""),
            (vec![entry("__metadata__", "F32", &[1])], "__metadata__"),
        ] {
            let refused = written(&entries).expect_err("refused");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
            assert!(refused.to_string().contains(word), "{refused}");
        }
        let bytes = written(&[good(), entry("scalar", "F32", &[])]).expect("written");
        assert_eq!(safetensors::SafeTensors::deserialize(&bytes).expect("a file").len(), 2);
    }
}
