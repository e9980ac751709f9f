//! Reads npy headers, without trusting them.

use std::collections::BTreeMap;
use std::path::Path;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use crate::Error;
use crate::mapped_file::MappedFile;
use crate::number::Number;
use crate::tensor::{Format, Tensor, TensorInfo, byte_size, shape_text};
use crate::tensor_file::TensorFile;
use crate::texts::told;

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy itself refuses longer headers by default, because parsing them can take long.
const LONGEST_HEADER: usize = 10_000;

pub(crate) fn parse(path: &Path, file: MappedFile) -> Result<TensorFile, Error> {
    let bytes = &file.bytes;
    let damaged = |problem: String| Error::Damaged { path: path.to_owned(), format: "npy", problem };
    let (text_start, length) = match **bytes {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        [_, _, _, _, _, _, major, minor, _, _, _, _, ..] => {
            return Err(damaged(format!("format version {major}.{minor} is unknown; versions 1.0 to 3.0 can be read")));
        }
        _ => return Err(damaged(format!("{} bytes end within the header; the file is truncated", bytes.len()))),
    };
    let rest = bytes.len() - text_start;
    if length > rest {
        return Err(damaged(format!(
            "a header of {length} bytes is announced, but only {rest} bytes follow; the file is truncated"
        )));
    }
    if length > LONGEST_HEADER {
        return Err(damaged(format!(
            "a header of {length} bytes is announced; NumPy reads at most {LONGEST_HEADER}, which no plain array needs"
        )));
    }
    let data_start = text_start + length;
    precheck(&bytes[text_start..data_start]).map_err(|problem| damaged(problem.to_owned()))?;
    let header = NpyHeader::from_reader(&bytes[..data_start])
        .map_err(|e| damaged(format!("its header cannot be understood: {}", told(&e))))?;

    let (number, big_endian, dtype) = element(&header.dtype());
    let shape = header.shape().to_vec();
    if let Some(number) = number {
        let found = bytes.len() - data_start;
        match byte_size(&shape, number.bytes()) {
            Some(needed) if needed == found => {}
            Some(needed) => {
                let why = if needed > found { "the file is truncated" } else { "there are bytes after the array" };
                return Err(damaged(format!(
                    "shape {} of {dtype} needs {needed} bytes, but {found} bytes follow the header; {why}",
                    shape_text(&shape)
                )));
            }
            None => return Err(damaged(format!("shape {} of {dtype} is larger than any memory", shape_text(&shape)))),
        }
    }
    let tensor = Tensor {
        info: TensorInfo { name: String::new(), dtype, shape },
        number,
        big_endian,
        fortran: header.order() == Order::Fortran,
        range: data_start..bytes.len(),
    };
    Ok(TensorFile {
        path: path.to_owned(),
        format: Format::Npy,
        file,
        tensors: vec![tensor],
        metadata: BTreeMap::new(),
    })
}

/// Refuses header texts on which a parser of Python literals would recurse deeply, take long or overflow.
fn precheck(text: &[u8]) -> Result<(), &'static str> {
    // A structured type needs depth 4: dictionary, list, tuple, shape.
    const DEEPEST: i32 = 6;
    let (mut depth, mut quote, mut run, mut product) = (0, None, 0u64, 1u64);
    for &byte in text.iter().chain(b" ") {
        if byte == b'\\' {
            return Err("its header holds a backslash");
        }
        match quote {
            Some(open) => {
                if byte == open {
                    quote = None;
                }
                continue;
            }
            None if matches!(byte, b'\'' | b'"') => quote = Some(byte),
            None => {}
        }
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth > DEEPEST {
            return Err("its header is nested too deeply");
        }
        if byte.is_ascii_digit() {
            run = run
                .checked_mul(10)
                .and_then(|r| r.checked_add(u64::from(byte - b'0')))
                .ok_or("its shape is larger than any memory")?;
        } else {
            product = product.checked_mul(run.max(1)).ok_or("its shape is larger than any memory")?;
            run = 0;
        }
    }
    Ok(())
}

/// The number type if it can be read, whether it is big-endian, and its name for people.
fn element(dtype: &DType) -> (Option<Number>, bool, String) {
    let DType::Plain(plain) = dtype else {
        return (None, false, format!("structured records {}", dtype.descr()));
    };
    let number = match (plain.type_char(), plain.size_field()) {
        (TypeChar::Float, 8) => Some(Number::F64),
        (TypeChar::Float, 4) => Some(Number::F32),
        (TypeChar::Float, 2) => Some(Number::F16),
        (TypeChar::Int, 1) => Some(Number::I8),
        (TypeChar::Int, 2) => Some(Number::I16),
        (TypeChar::Int, 4) => Some(Number::I32),
        (TypeChar::Int, 8) => Some(Number::I64),
        (TypeChar::Uint, 1) => Some(Number::U8),
        (TypeChar::Uint, 2) => Some(Number::U16),
        (TypeChar::Uint, 4) => Some(Number::U32),
        (TypeChar::Uint, 8) => Some(Number::U64),
        _ => None,
    };
    let big = plain.endianness() == Endianness::Big;
    let name = match (number, plain.type_char(), plain.size_field()) {
        (Some(number), ..) => format!("{number}{}", if big { " (big-endian)" } else { "" }),
        // NumPy writes this for ml_dtypes.bfloat16. The name of the type is lost.
        (None, TypeChar::RawData, 2) => {
            "raw 2-byte values (bfloat16? NumPy cannot store that; use safetensors)".to_owned()
        }
        (None, TypeChar::Object, _) => "pickled Python objects".to_owned(),
        _ => format!("NumPy type {plain}"),
    };
    (number, big, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_would_trouble_the_parser_are_refused() {
        assert!(precheck(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }").is_ok());
        assert!(precheck(b"((((((((((").is_err());
        assert!(precheck(b"'\\N{' ").is_err());
        assert!(precheck(b"99999999999999999999999999").is_err());
        assert!(precheck(b"(4294967296, 4294967296, 2)").is_err());
        assert!(precheck(b"(0, 4294967296, 4294967295)").is_ok());
    }
}
