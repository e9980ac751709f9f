//! Makes the data of a file as long as its header says, so that a changed header passes the first check.

use serde_json::{Value, json};

use super::parts::Parts;
use crate::Form;

/// Data never get longer than this.
const LONGEST: usize = 1 << 16;

impl Parts {
    /// Makes data and header agree if they can be understood. Otherwise it leaves them as they are.
    pub fn make_consistent(&mut self) {
        match self.form {
            Form::Text => {}
            Form::Safetensors => {
                if let Some((header, length)) = laid_out(&self.text) {
                    self.text = header.to_string().into_bytes();
                    resize(&mut self.data, length);
                }
            }
            Form::Npy => {
                if let Some(length) = array_bytes(&self.text) {
                    resize(&mut self.data, length);
                }
            }
        }
    }
}

/// A safetensors header with its tensors one after another, and the length of all of them.
fn laid_out(text: &[u8]) -> Option<(Value, usize)> {
    let mut header: Value = serde_json::from_slice(text).ok()?;
    let mut end = 0;
    for (name, tensor) in header.as_object_mut()? {
        if name == "__metadata__" {
            continue;
        }
        let sides = tensor.get("shape")?.as_array()?.iter().map(Value::as_u64);
        let width = match tensor.get("dtype")?.as_str()? {
            "F64" | "I64" | "U64" => 8,
            "F32" | "I32" | "U32" => 4,
            "F16" | "BF16" | "I16" | "U16" => 2,
            _ => 1,
        };
        let start = end;
        end += sized(sides, width)?;
        tensor.as_object_mut()?.insert("data_offsets".to_owned(), json!([start, end]));
    }
    (end <= LONGEST).then_some((header, end))
}

/// The length of the array that an npy header describes.
fn array_bytes(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, after) = text.split_once("'descr':")?;
    let (code, _) = after.split_once('\'')?.1.split_once('\'')?;
    let width = code.chars().find_map(|c| c.to_digit(10))?;
    let (_, shape) = text.split_once("'shape':")?.1.split_once('(')?;
    let (shape, _) = shape.split_once(')')?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    sized(sides.map(|side| side.parse().ok()), width as usize)
}

/// Bytes of an array, if all sides are known and the array is not too large.
fn sized(sides: impl Iterator<Item = Option<u64>>, width: usize) -> Option<usize> {
    let sides = sides.collect::<Option<Vec<u64>>>()?;
    let elements =
        sides.into_iter().try_fold(1usize, |product, side| product.checked_mul(usize::try_from(side).ok()?))?;
    elements.checked_mul(width).filter(|&bytes| bytes <= LONGEST)
}

/// Cuts the data, or continues them with a copy of their beginning.
fn resize(data: &mut Vec<u8>, length: usize) {
    if data.is_empty() {
        data.push(1);
    }
    *data = data.iter().copied().cycle().take(length).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_become_as_long_as_the_header_says() {
        let header = br#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,1]},"b":{"dtype":"I8","shape":[5],"data_offsets":[9,2]}}"#;
        let (laid_out, length) = laid_out(header).expect("understood");
        assert_eq!(
            (&laid_out["a"]["data_offsets"], &laid_out["b"]["data_offsets"]),
            (&json!([0, 24]), &json!([24, 29]))
        );
        assert_eq!(length, 29);
        assert_eq!(array_bytes(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4,), }"), Some(48));
        assert_eq!(array_bytes(b"{'descr': '|O', 'shape': (3,)}"), None);
        let mut data = vec![1, 2];
        resize(&mut data, 5);
        assert_eq!(data, [1, 2, 1, 2, 1]);
    }
}
