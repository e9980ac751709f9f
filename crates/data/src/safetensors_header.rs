//! Safetensors headers, distrusted.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::Error;
use crate::mapped_file::MappedFile;
use crate::number::Number;
use crate::tensor_file::{Format, Tensor, TensorFile, TensorInfo};

/// The format's own limit; a longer "header" is some other file.
pub(crate) const LONGEST_HEADER: u64 = 100_000_000;

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
    // Parsing also checks that tensors lie one after another and that each has the bytes that its type and shape need.
    let header: Metadata = serde_json::from_slice(&bytes[8..data_start])
        .map_err(|e| damaged(format!("its header cannot be understood: {e}")))?;
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
    let metadata: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(TensorFile { path: path.to_owned(), format: Format::Safetensors, file, tensors, metadata })
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
