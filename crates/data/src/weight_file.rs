//! Where tensors of a model are: in a mapped file, or in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use unmix::ElementType;

use crate::Error;
use crate::number::Number;
use crate::tensor::{Tensor, TensorInfo, byte_size, list, shape_text};
use crate::tensor_file::TensorFile;

/// A tensor of a model that is in memory.
#[derive(Clone, Debug)]
pub struct MemoryTensor {
    /// Its name, as the model's files would have it.
    pub name: String,
    /// Type of its numbers.
    pub element: ElementType,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its numbers in C order.
    pub bytes: Bytes,
}

/// A tensor and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor {
    pub tensor: Tensor,
    pub bytes: Bytes,
}

/// Tensors that are in one place.
#[derive(Clone, Debug)]
pub(crate) struct WeightFile {
    /// The file, or what to call the memory.
    pub path: PathBuf,
    /// In the order of the file.
    pub tensors: Vec<StoredTensor>,
    pub metadata: BTreeMap<String, String>,
}

impl WeightFile {
    /// The tensors of a mapped file. Their bytes keep it mapped.
    pub fn of_file(file: &TensorFile) -> WeightFile {
        let stored = |tensor: &Tensor| StoredTensor { tensor: tensor.clone(), bytes: file.data(tensor) };
        WeightFile {
            path: file.path.clone(),
            tensors: file.tensors.iter().map(stored).collect(),
            metadata: file.metadata.clone(),
        }
    }

    /// Tensors in memory.
    ///
    /// # Errors
    /// If one does not have the bytes that its shape needs.
    pub fn of_memory(path: PathBuf, tensors: Vec<MemoryTensor>) -> Result<WeightFile, Error> {
        let stored = |MemoryTensor { name, element, shape, bytes }: MemoryTensor| {
            let number = match element {
                ElementType::F32 => Number::F32,
                ElementType::F16 => Number::F16,
                ElementType::Bf16 => Number::Bf16,
            };
            let range = 0..bytes.len();
            let info = TensorInfo { name, dtype: number.name().to_owned(), shape };
            let tensor = Tensor { info, number: Some(number), big_endian: false, fortran: false, range };
            if byte_size(&tensor.info.shape, number.bytes()) != Some(bytes.len()) {
                return Err(Error::Shape {
                    path: path.clone(),
                    tensor: tensor.label(),
                    shape: shape_text(&tensor.info.shape),
                    expected: format!("as many numbers as {} bytes hold", bytes.len()),
                });
            }
            Ok(StoredTensor { tensor, bytes })
        };
        let tensors = tensors.into_iter().map(stored).collect::<Result<_, Error>>()?;
        Ok(WeightFile { path, tensors, metadata: BTreeMap::new() })
    }

    /// All tensors in words, for a message. A long list is cut.
    pub fn list(&self) -> String {
        list(self.tensors.iter().map(|stored| &stored.tensor))
    }
}
