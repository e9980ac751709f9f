//! Reads safetensors headers, without trusting them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo as TensorEntry};
use serde::de::{Error as _, MapAccess, Visitor};

use crate::Error;
use crate::mapped_file::MappedFile;
use crate::number::Number;
use crate::tensor::{Format, Tensor, TensorInfo};
use crate::tensor_file::TensorFile;
use crate::texts::{quoted_name, told};

/// The format's own limit. A longer "header" is some other file.
pub(crate) const LONGEST_HEADER: u64 = 100_000_000;

/// The entry that is not a tensor.
const METADATA: &str = "__metadata__";

pub(crate) fn parse(path: &Path, file: MappedFile) -> Result<TensorFile, Error> {
    let bytes = &file.bytes;
    let damaged = |problem: String| Error::Damaged { path: path.to_owned(), format: "safetensors", problem };
    let Some(prefix) = bytes.first_chunk::<8>() else {
        return Err(damaged(format!(
            "{} bytes, shorter than the 8-byte header length it must start with",
            bytes.len()
        )));
    };
    let length = u64::from_le_bytes(*prefix);
    let rest = bytes.len() - 8;
    if length > LONGEST_HEADER {
        return Err(damaged(format!(
            "a header of {length} bytes is announced, more than the format's limit of {LONGEST_HEADER}; perhaps this is no safetensors file"
        )));
    }
    if length > rest as u64 {
        return Err(damaged(format!(
            "a header of {length} bytes is announced, but only {rest} bytes follow; the file is truncated"
        )));
    }
    let data_start = 8 + length as usize;
    let (header, metadata) = entries(&bytes[8..data_start])
        .map_err(|e| damaged(format!("its header cannot be understood: {}", told(&e))))?;
    let (announced, found) = (header.data_len(), bytes.len() - data_start);
    if announced != found {
        let why = if announced > found { "the file is truncated" } else { "there are bytes after the last tensor" };
        return Err(damaged(format!(
            "tensors of {announced} bytes are announced, but {found} bytes follow the header; {why}"
        )));
    }
    let tensors = header
        .offset_keys()
        .into_iter()
        .filter_map(|name| {
            let info = header.info(&name)?;
            let number = number(info.dtype);
            Some(Tensor {
                info: TensorInfo {
                    name,
                    dtype: number.map_or_else(|| info.dtype.to_string().to_ascii_lowercase(), |n| n.name().to_owned()),
                    shape: info.shape.iter().map(|&side| side as u64).collect(),
                },
                number,
                big_endian: false,
                fortran: false,
                range: data_start + info.data_offsets.0..data_start + info.data_offsets.1,
            })
        })
        .collect();
    Ok(TensorFile { path: path.to_owned(), format: Format::Safetensors, file, tensors, metadata })
}

/// The tensors of the header in `text`, and its other metadata. The tensors follow one another, and each has the bytes
/// that its type and shape need.
fn entries(text: &[u8]) -> serde_json::Result<(Metadata, BTreeMap<String, String>)> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let header = serde::Deserializer::deserialize_map(&mut parser, Entries)?;
    parser.end()?;
    Ok(header)
}

/// Reads a header entry by entry. The crate's own way keeps all of it as values first, which takes many times its size.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = (Metadata, BTreeMap<String, String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut header: A) -> Result<Self::Value, A::Error> {
        let twice = |name: &str| A::Error::custom(format!("there are two entries {}", quoted_name(name)));
        let mut metadata: Option<Option<BTreeMap<String, String>>> = None;
        let mut tensors: BTreeMap<String, TensorEntry> = BTreeMap::new();
        while let Some(name) = header.next_key::<String>()? {
            if name == METADATA {
                if metadata.replace(header.next_value()?).is_some() {
                    return Err(twice(METADATA));
                }
                continue;
            }
            match tensors.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(header.next_value()?);
                }
                Entry::Occupied(place) => return Err(twice(place.key())),
            }
        }
        let mut tensors: Vec<_> = tensors.into_iter().collect();
        tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
        let header = Metadata::new(None, tensors).map_err(A::Error::custom)?;
        Ok((header, metadata.flatten().unwrap_or_default()))
    }
}

fn number(dtype: Dtype) -> Option<Number> {
    Some(match dtype {
        Dtype::F64 => Number::F64,
        Dtype::F32 => Number::F32,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::I8 => Number::I8,
        Dtype::I16 => Number::I16,
        Dtype::I32 => Number::I32,
        Dtype::I64 => Number::I64,
        Dtype::U8 => Number::U8,
        Dtype::U16 => Number::U16,
        Dtype::U32 => Number::U32,
        Dtype::U64 => Number::U64,
        _ => return None,
    })
}
