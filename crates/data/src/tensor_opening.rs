//! Opens a file of tensors, whatever its format is.

use std::path::Path;

use crate::fit_files::RUN_FILE;
use crate::mapped_file::MappedFile;
use crate::tensor::Format;
use crate::tensor_file::TensorFile;
use crate::{Error, npy, regular_file, safetensors_header};

/// Maps the file and reads its header.
pub(crate) fn open(path: &Path) -> Result<TensorFile, Error> {
    let file = map(path)?;
    match detect(path, &file.bytes)? {
        Format::Safetensors => safetensors_header::parse(path, file),
        Format::Npy => npy::parse(path, file),
    }
}

/// Maps a regular, nonempty file.
fn map(path: &Path) -> Result<MappedFile, Error> {
    let (file, size) = regular_file::open(path, || folder(path))?;
    if size == 0 {
        return Err(Error::Empty(path.to_owned()));
    }
    MappedFile::new(file, path)
}

/// The error of a folder. Some formats consist of several files in a folder.
fn folder(path: &Path) -> Error {
    let (found, advice) = known_folder(path).unwrap_or(("a folder", "name one .safetensors or .npy file in it"));
    Error::NotAFile { path: path.to_owned(), found, advice }
}

/// If a folder consists of files of one of those formats: what it is, and what to do.
pub(crate) fn known_folder(path: &Path) -> Option<(&'static str, &'static str)> {
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
    match KNOWN.iter().find(|(name, ..)| path.join(name).exists()) {
        Some(&(_, found, advice)) => Some((found, advice)),
        None => named.then_some((KNOWN[1].1, ARRAYS)),
    }
}

/// The format, by content first and then by name, because files get renamed.
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
