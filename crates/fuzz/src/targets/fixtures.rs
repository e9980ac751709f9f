//! Builds valid files.

use std::collections::BTreeMap;

use unmix_data::{TensorEntry, write_tensors};

/// A safetensors file of tensors with these names, types and shapes, with numbers as data.
pub fn safetensors(tensors: &[(&str, &'static str, &[usize])]) -> Vec<u8> {
    let contents: Vec<Vec<u8>> =
        tensors.iter().map(|&(_, dtype, shape)| numbers(dtype, shape.iter().product())).collect();
    let entries: Vec<TensorEntry<'_>> = tensors
        .iter()
        .zip(&contents)
        .map(|(&(name, dtype, shape), bytes)| TensorEntry { name, dtype, shape: shape.to_vec(), bytes })
        .collect();
    let mut file = Vec::new();
    let metadata = BTreeMap::from([("format", "pt".to_owned())]);
    write_tensors(&mut file, &entries, &metadata).expect("written to memory");
    file
}

/// An npy file of this format version with elements of the type `descr`.
pub fn npy(version: u8, descr: &str, fortran: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let order = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sides}), }}\n");
    let length = (text.len() as u32).to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length };
    [&b"\x93NUMPY"[..], &[version, 0], length, text.as_bytes(), data].concat()
}

/// Little-endian numbers of a safetensors type. They are small, and have both signs if the type does.
pub fn numbers(dtype: &str, count: usize) -> Vec<u8> {
    let float = |i: usize| (i * 7 % 5) as f32 * 0.5 - 1.0;
    (0..count)
        .flat_map(|i| match dtype {
            "F64" => f64::from(float(i)).to_le_bytes().to_vec(),
            "F32" => float(i).to_le_bytes().to_vec(),
            // bf16 is the upper half of an f32. The f16 numbers are 0.5, 1, -1 and 0.
            "BF16" => float(i).to_le_bytes()[2..].to_vec(),
            "F16" => [0, [0x38, 0x3c, 0xbc, 0x00][i % 4]].to_vec(),
            "I64" | "U64" => (i as u64).to_le_bytes().to_vec(),
            "I32" | "U32" => (i as u32).to_le_bytes().to_vec(),
            "I16" | "U16" => (i as u16).to_le_bytes().to_vec(),
            _ => vec![i as u8],
        })
        .collect()
}
