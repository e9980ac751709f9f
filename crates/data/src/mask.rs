//! Tensors that say which tokens count.

use unmix::ElementType;

use crate::Error;
use crate::columns::check_length;
use crate::number::Number;
use crate::row_shape::RowShape;
use crate::tensor::Tensor;
use crate::tensor_file::TensorFile;

/// Names of the mask that leaves out padding.
const ATTENTION_MASKS: [&str; 2] = ["attention_mask", "mask"];

/// Whether this is the name of a mask, which is never taken for activations.
pub(crate) fn is_mask_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("mask") || name.ends_with("masks")
}

/// Which tokens are not padding, according to the mask beside them, if there is one.
pub(crate) fn attention_mask(file: &TensorFile, rows: RowShape) -> Result<Option<Vec<bool>>, Error> {
    let mask = ATTENTION_MASKS.iter().find_map(|name| file.tensor(name));
    mask.map(|mask| truths(file, mask, rows)).transpose()
}

/// Which tokens the tensor `name` keeps.
pub(crate) fn named(file: &TensorFile, name: &str, rows: RowShape) -> Result<Vec<bool>, Error> {
    match file.tensor(name) {
        Some(tensor) => truths(file, tensor, rows),
        None => Err(Error::NoSuchTensor { path: file.path.clone(), tensor: name.to_owned(), held: file.list() }),
    }
}

/// An entry for each token, which is true if the token's number is not zero.
fn truths(file: &TensorFile, tensor: &Tensor, rows: RowShape) -> Result<Vec<bool>, Error> {
    const EXPECTED: &str = "a mask of bool or of numbers that are 0 for tokens to leave out and above 0 for others";
    let wrong = |found: String| {
        Err(Error::DataType { path: file.path.clone(), tensor: tensor.label(), found, expected: EXPECTED })
    };
    let bytes = &file.file.bytes[tensor.range.clone()];
    let is_bool = tensor.info.dtype == "bool";
    if tensor.number.is_none() && !is_bool {
        return wrong(tensor.info.dtype.clone());
    }
    check_length(file, tensor, rows)?;
    let Some(number) = tensor.number else { return Ok(bytes.iter().map(|&byte| byte != 0).collect()) };
    let value = |bytes: &[u8]| -> f64 {
        let mut little = [0u8; 8];
        little[..bytes.len()].copy_from_slice(bytes);
        if tensor.big_endian {
            little[..bytes.len()].reverse();
        }
        let element = match number {
            Number::F64 => return f64::from_le_bytes(little),
            Number::F32 => ElementType::F32,
            Number::F16 => ElementType::F16,
            Number::Bf16 => ElementType::Bf16,
            // A number beyond i64 is above zero.
            integer => return integer.integer(bytes, tensor.big_endian).map_or(f64::MAX, |value| value as f64),
        };
        let mut value = [0f32];
        element.decode(&little[..bytes.len()], &mut value);
        value[0].into()
    };
    let mut truths = Vec::with_capacity(bytes.len() / number.bytes());
    for bytes in bytes.chunks_exact(number.bytes()) {
        let value = value(bytes);
        // Masks that are added to scores have 0 where others have 1, and -inf where others have 0.
        if value.is_nan() || value < 0.0 {
            return wrong(format!("{value}"));
        }
        truths.push(value != 0.0);
    }
    Ok(truths)
}
