//! A mapped file of tensors, whatever its format.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use crate::mapped_file::MappedFile;
use crate::tensor::{Format, Tensor, list};

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
    pub(crate) fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|t| t.info.name == name)
    }

    /// All tensors in words, for a message. A long list is cut.
    pub(crate) fn list(&self) -> String {
        list(self.tensors.iter())
    }

    pub(crate) fn data(&self, tensor: &Tensor) -> Bytes {
        self.file.bytes.slice(tensor.range.clone())
    }
}
