//! A mapped file of tensors, whatever its format.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;

use crate::mapped_file::MappedFile;
use crate::number::Number;
use crate::texts::{cut_name, quoted_name};
use crate::{Error, RUN_FILE, npy, regular_file, safetensors_header, tensor_choice};

/// File formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The safetensors format of Hugging Face: many named tensors in C order.
    Safetensors,
    /// NumPy's npy, versions 1 to 3: one nameless array in C or Fortran order.
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
    /// Its name; empty in an npy file.
    pub name: String,
    /// Its type in words, e.g. `f16`, `f64 (big-endian)`.
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

/// A tensor and where it lies in the file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub info: TensorInfo,
    /// Absent for types that cannot be read.
    pub number: Option<Number>,
    pub big_endian: bool,
    pub fortran: bool,
    /// Bytes of the file; exactly as many as type and shape need if `number` is present.
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

/// A mapped file and what its header says.
#[derive(Clone, Debug)]
pub(crate) struct TensorFile {
    pub path: PathBuf,
    pub format: Format,
    pub file: MappedFile,
    /// In the order of the file.
    pub tensors: Vec<Tensor>,
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    pub(crate) fn open(path: &Path) -> Result<TensorFile, Error> {
        let file = map(path)?;
        match detect(path, &file.bytes)? {
            Format::Safetensors => safetensors_header::parse(path, file),
            Format::Npy => npy::parse(path, file),
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|t| t.info.name == name)
    }

    /// All tensors for a message, cut where there are many.
    pub(crate) fn list(&self) -> String {
        list(self.tensors.iter())
    }

    pub(crate) fn data(&self, tensor: &Tensor) -> Bytes {
        self.file.bytes.slice(tensor.range.clone())
    }

    /// The matrix of floating-point numbers that is meant: the one named, or the only plausible one.
    pub(crate) fn matrix(&self, name: Option<&str>) -> Result<&Tensor, Error> {
        let path = || self.path.clone();
        let Some(name) = name else {
            // An npy file's only array is meant whatever it is: what is wrong with it makes the better error.
            if let (Format::Npy, [only]) = (self.format, self.tensors.as_slice()) {
                return self.checked_matrix(only);
            }
            return self.checked_matrix(tensor_choice::only_plausible(self)?);
        };
        if self.format == Format::Npy {
            return Err(Error::NamelessArray { path: path(), tensor: name.to_owned() });
        }
        match self.tensor(name) {
            Some(tensor) => self.checked_matrix(tensor),
            None => Err(Error::NoSuchTensor { path: path(), tensor: name.to_owned(), held: self.list() }),
        }
    }

    fn checked_matrix<'a>(&self, tensor: &'a Tensor) -> Result<&'a Tensor, Error> {
        if !tensor.is_float() {
            return Err(Error::DataType {
                path: self.path.clone(),
                tensor: tensor.label(),
                found: tensor.info.dtype.clone(),
                expected: "f32, f16, bf16 or f64 numbers; convert it to one of these",
            });
        }
        let expected = match tensor.info.shape.as_slice() {
            [0, _] | [_, 0] => "at least one row (token) and one column (neuron)",
            [_, _] => return Ok(tensor),
            [_] => "two dimensions, tokens × neurons; reshape it",
            _ => "two dimensions, tokens × neurons; merge the leading dimensions (e.g. batch and position) into one",
        };
        Err(Error::Shape {
            path: self.path.clone(),
            tensor: tensor.label(),
            shape: shape_text(&tensor.info.shape),
            expected: expected.to_owned(),
        })
    }
}

/// `[3, 4]`, cut where there are more sides than a tensor can sensibly have.
pub(crate) fn shape_text(shape: &[u64]) -> String {
    const MOST: usize = 16;
    match shape.get(..MOST) {
        Some(start) if shape.len() > MOST => format!("{start:?} and {} further sides", shape.len() - MOST),
        _ => format!("{shape:?}"),
    }
}

/// Tensors for a message: name, type and shape, cut where it gets long.
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

/// Elements of a shape times `size`, if that many bytes can be addressed.
pub(crate) fn byte_size(shape: &[u64], size: usize) -> Option<usize> {
    let elements = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side))?;
    usize::try_from(elements).ok()?.checked_mul(size)
}

/// Maps a regular, nonempty file.
fn map(path: &Path) -> Result<MappedFile, Error> {
    let (file, size) = regular_file::open(path, || folder(path))?;
    if size == 0 {
        return Err(Error::Empty(path.to_owned()));
    }
    MappedFile::new(file, path)
}

/// The error of a folder: some formats consist of several files in one.
fn folder(path: &Path) -> Error {
    const ARRAYS: &str = "save the array with numpy.save or safetensors, and name that file";
    /// A file that only such folders hold, what they are, and what to do.
    const KNOWN: [(&str, &str, &str); 7] = [
        (".zarray", "a Zarr array (a folder of chunks)", ARRAYS),
        (".zgroup", "a Zarr group (a folder of arrays in chunks)", ARRAYS),
        ("zarr.json", "a Zarr array or group (a folder of chunks)", ARRAYS),
        ("attributes.json", "an N5 container (a folder of chunks)", ARRAYS),
        ("dataset_info.json", "a data set of the library datasets (a folder of Arrow files)", ARRAYS),
        ("saved_model.pb", "a model of TensorFlow (a folder)", ARRAYS),
        (RUN_FILE, "the folder of a fit", "name the file of activations; `unmix features` reads a fit"),
    ];
    let named = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zarr"));
    let (found, advice) = match KNOWN.iter().find(|(name, ..)| path.join(name).exists()) {
        Some(&(_, found, advice)) => (found, advice),
        None if named => (KNOWN[1].1, ARRAYS),
        None => ("a folder", "name one .safetensors or .npy file in it"),
    };
    Error::NotAFile { path: path.to_owned(), found, advice }
}

/// The format by content, then by name: files get renamed.
fn detect(path: &Path, bytes: &[u8]) -> Result<Format, Error> {
    if bytes.starts_with(npy::MAGIC) {
        return Ok(Format::Npy);
    }
    if bytes.get(8) == Some(&b'{') {
        return Ok(Format::Safetensors);
    }
    let foreign: [(&[u8], &str, &str); 6] = [
        (
            b"PK\x03\x04",
            "a zip archive (an npz file or a PyTorch checkpoint)",
            "Save the array with numpy.save or safetensors.",
        ),
        (b"\x80", "a Python pickle (an old PyTorch checkpoint?)", "Save the tensor with safetensors.torch.save_file."),
        (b"GGUF", "a GGUF file of model weights", "Save activations with safetensors."),
        (b"\x89HDF", "an HDF5 file", "Save the array with numpy.save or safetensors."),
        (b"PAR1", "a Parquet file", "Save the array with numpy.save or safetensors."),
        (b"\x1f\x8b", "a gzip-compressed file", "Decompress it first."),
    ];
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("safetensors") => return Ok(Format::Safetensors),
        Some("npy") => {
            return Err(Error::Damaged {
                path: path.to_owned(),
                format: "npy",
                problem: format!(
                    "it starts with {:?} instead of \"\\x93NUMPY\"",
                    bytes[..bytes.len().min(8)].escape_ascii().to_string()
                ),
            });
        }
        _ => {}
    }
    let (found, advice) = match foreign.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        Some((_, found, advice)) => (format!("this looks like {found}"), *advice),
        None if extension.as_deref() == Some("json") => {
            ("a JSON file".to_owned(), "Of a model in shards, name the one shard that holds the tensor.")
        }
        None => (
            format!("unknown content, starting with \"{}\"", bytes[..bytes.len().min(8)].escape_ascii()),
            "Save activations with safetensors or numpy.save.",
        ),
    };
    Err(Error::UnknownFormat { path: path.to_owned(), found, advice })
}
