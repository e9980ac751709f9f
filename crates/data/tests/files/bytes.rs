//! Builds files byte by byte, independently of the crate's own writer.

use std::path::PathBuf;

use half::{bf16, f16};
use tempfile::TempDir;
use unmix::ActivationSource;
use unmix_data::{ActivationFile, ActivationSet, Error, OpenOptions};

/// A folder with one file in it.
pub struct Scratch {
    _folder: TempDir,
    pub path: PathBuf,
}

pub fn scratch(name: &str, content: &[u8]) -> Scratch {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("written");
    Scratch { _folder: folder, path }
}

pub fn open(name: &str, content: &[u8], tensor: Option<&str>) -> Result<ActivationFile, Error> {
    // Mappings outlive the names of their files.
    ActivationFile::open(&scratch(name, content).path, &OpenOptions { tensor: tensor.map(str::to_owned) })
}

/// As [`open`], as a set of one file.
pub fn open_set(name: &str, content: &[u8], tensor: Option<&str>) -> Result<ActivationSet, Error> {
    let scratch = scratch(name, content);
    ActivationSet::open(std::slice::from_ref(&scratch.path), &OpenOptions { tensor: tensor.map(str::to_owned) })
}

pub fn refused(name: &str, content: &[u8], tensor: Option<&str>) -> String {
    let error = open(name, content, tensor).expect_err("must be refused");
    assert!(error.is_usage(), "{error}");
    let text = error.to_string();
    assert!(text.contains(name), "the file is not named: {text}");
    text
}

/// A safetensors file whose header is `header` and whose data are `data`.
pub fn raw_safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A safetensors file of (name, dtype, shape, data), in this order and without padding, so data may be unaligned.
pub fn safetensors(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (String::from("{\"__metadata__\":{\"model\":\"tiny\"}"), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend(bytes);
        header.push_str(&format!(
            ",\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{}]}}",
            data.len()
        ));
    }
    header.push('}');
    raw_safetensors(&header, &data)
}

pub fn npy(version: u8, descr: &str, fortran: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sides = shape.iter().map(|s| format!("{s},")).collect::<String>();
    let order = if fortran { "True" } else { "False" };
    raw_npy(version, &format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sides}), }}"), data)
}

pub fn raw_npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut text = header.as_bytes().to_vec();
    text.push(b'\n');
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    if version == 1 {
        bytes.extend((text.len() as u16).to_le_bytes());
    } else {
        bytes.extend((text.len() as u32).to_le_bytes());
    }
    bytes.extend(text);
    bytes.extend(data);
    bytes
}

pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn f16s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
}

pub fn bf16s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()
}

pub fn i32s(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// All of a source, read in rows of `step`, as f32.
pub fn values(source: &dyn ActivationSource, step: u64) -> Vec<f32> {
    let (tokens, width) = (source.tokens(), source.neurons() as usize * source.element().bytes());
    let mut bytes = Vec::new();
    let mut start = 0;
    while start < tokens {
        let end = (start + step).min(tokens);
        let mut panel = vec![0u8; (end - start) as usize * width];
        source.read_rows(start..end, &mut panel).expect("read");
        bytes.extend(panel);
        start = end;
    }
    if let Some(shared) = source.shared_rows(0..tokens) {
        assert_eq!(&shared[..], &bytes[..], "shared bytes differ from rows read");
    }
    let mut values = vec![0f32; bytes.len() / source.element().bytes()];
    source.element().decode(&bytes, &mut values);
    values
}

/// Swaps every element of `size` bytes to big-endian.
pub fn swapped(data: &[u8], size: usize) -> Vec<u8> {
    data.chunks(size).flat_map(|c| c.iter().rev().copied()).collect()
}

/// Row-major values in column-major order.
pub fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| values[r * columns + c]).collect()
}
