//! The weights of a model, from its own files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::json::read_json;
use crate::regular_file::MOST_MODEL_JSON;
use crate::tensor::shape_text;
use crate::weight_file::{MemoryTensor, StoredTensor, WeightFile};
use crate::weight_matrix::WeightMatrix;
use crate::{Error, Format, index_of_shards, tensor_opening};

/// The file with the weights of a model that is not in shards.
const SINGLE: &str = "model.safetensors";
/// Names of indexes of shards end with this.
const INDEX: &str = ".safetensors.index.json";
/// The file that [`config`](Weights::config) reads.
const CONFIG: &str = "config.json";

/// The tensors of a model, in safetensors files or in memory. Files are memory-mapped, and opening them reads only their headers.
///
/// The files must not be changed or shortened while this value or a matrix of it lives. Otherwise numbers change in the
/// middle of a computation, and reading beyond the new end stops the process.
#[derive(Clone, Debug)]
pub struct Weights {
    files: Vec<WeightFile>,
    /// The file of each tensor, and its place in that file.
    places: BTreeMap<String, (usize, usize)>,
    config: Option<Value>,
}

impl Weights {
    /// Weights that are in memory already, with what the model's `config.json` would hold. Errors call them `name`. No
    /// number is copied.
    ///
    /// # Errors
    /// If there are no tensors, if two have the same name, or if a tensor does not have the bytes that its shape needs.
    pub fn from_memory(name: &str, tensors: Vec<MemoryTensor>, config: Option<Value>) -> Result<Weights, Error> {
        if tensors.is_empty() {
            return Err(Error::NoWeights { path: name.into(), found: "it has no tensors".to_owned() });
        }
        let mut weights = Weights { files: Vec::new(), places: BTreeMap::new(), config };
        let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        weights.files.push(WeightFile::of_memory(name.into(), tensors)?);
        names.into_iter().enumerate().try_for_each(|(tensor, name)| weights.place(name, tensor))?;
        Ok(weights)
    }

    /// Maps the files of a model. Each path is a safetensors file, an index of shards (`*.safetensors.index.json`), or
    /// a folder. A folder stands for its `model.safetensors`, else for its index with the shards, else for every
    /// safetensors file in it.
    ///
    /// # Errors
    /// If no path is given, or one does not exist, holds no weights or is damaged. If an index names a shard that is
    /// missing, or a tensor that its shard does not have. If two files hold a tensor of the same name.
    pub fn open(paths: &[PathBuf]) -> Result<Weights, Error> {
        let mut weights = Weights { files: Vec::new(), places: BTreeMap::new(), config: None };
        for path in paths {
            weights.add(path)?;
        }
        if weights.files.is_empty() {
            return Err(Error::NoWeights { path: "(none)".into(), found: "no path was given".to_owned() });
        }
        Ok(weights)
    }

    /// Names of all tensors, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.find(name).map(|(_, tensor)| tensor.tensor.info.shape.as_slice())
    }

    /// The file that holds a tensor.
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.find(name).map(|(file, _)| file.path.as_path())
    }

    /// All files, in the order in which they were opened.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The key-value metadata of the file that holds a tensor.
    pub fn metadata(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.find(name).map(|(file, _)| &file.metadata)
    }

    /// The model's configuration: `config.json` beside the first weights that have one.
    pub fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }

    /// A handle on a matrix [rows, columns] of f32, f16, bf16 or f64 numbers. Nothing is read yet.
    ///
    /// # Errors
    /// If there is no such tensor, if it does not have two dimensions above zero, or if it has another type, as
    /// quantised weights do.
    pub fn matrix(&self, name: &str) -> Result<WeightMatrix, Error> {
        let (file, tensor) = self.known(name)?;
        match tensor.tensor.info.shape.as_slice() {
            &[rows, columns] if rows > 0 && columns > 0 => WeightMatrix::new(&file.path, tensor, rows, columns),
            _ => Err(wrong_shape(file, tensor, "two dimensions, none of them empty")),
        }
    }

    /// A handle on matrix number `at` of a stack [matrices, rows, columns], as [`matrix`](Weights::matrix) returns it
    /// for a tensor with two dimensions.
    ///
    /// # Errors
    /// If there is no such tensor, if it does not have three dimensions above zero, or if it has another type. If there
    /// is no matrix of that number.
    pub fn matrix_of_stack(&self, name: &str, at: usize) -> Result<WeightMatrix, Error> {
        let (file, tensor) = self.known(name)?;
        match tensor.tensor.info.shape.as_slice() {
            &[matrices, rows, columns] if (at as u64) < matrices && rows > 0 && columns > 0 => {
                WeightMatrix::of_stack(&file.path, tensor, at, rows, columns)
            }
            _ => Err(wrong_shape(file, tensor, &format!("three dimensions, none of them empty, with a matrix {at}"))),
        }
    }

    /// A vector of f32, f16, bf16 or f64 numbers, as f32.
    ///
    /// # Errors
    /// If there is no such tensor, if it does not have exactly one dimension, or if it is empty or has another type. If
    /// a number is not finite, or is beyond f32, or if all are below f32 and not all are zero.
    pub fn vector(&self, name: &str) -> Result<Vec<f32>, Error> {
        let (file, tensor) = self.known(name)?;
        match tensor.tensor.info.shape.as_slice() {
            &[length] if length > 0 => {
                let mut values = vec![0.0; length as usize];
                WeightMatrix::new(&file.path, tensor, 1, length)?.read_rows(0..1, &mut values)?;
                Ok(values)
            }
            _ => Err(wrong_shape(file, tensor, "one dimension that is not empty")),
        }
    }

    fn find(&self, name: &str) -> Option<(&WeightFile, &StoredTensor)> {
        let &(file, tensor) = self.places.get(name)?;
        Some((&self.files[file], &self.files[file].tensors[tensor]))
    }

    fn known(&self, name: &str) -> Result<(&WeightFile, &StoredTensor), Error> {
        self.find(name).ok_or_else(|| Error::NoSuchTensor {
            path: self.files[0].path.clone(),
            tensor: name.to_owned(),
            held: if self.files.len() == 1 {
                self.files[0].list()
            } else {
                format!("{}, with {} more files", self.files[0].list(), self.files.len() - 1)
            },
        })
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        let folder = if path.is_dir() {
            self.add_folder(path)?;
            path
        } else {
            match path.extension() {
                Some(extension) if extension.eq_ignore_ascii_case("json") => self.add_index(path)?,
                _ => self.add_file(path)?,
            }
            path.parent().unwrap_or(Path::new(""))
        };
        let config = folder.join(CONFIG);
        // A file of that name is read or refused, whatever it is. If it were ignored, defaults would be used without a
        // word.
        if self.config.is_none() && config.symlink_metadata().is_ok() {
            self.config = Some(read_json(&config, MOST_MODEL_JSON, "the configuration of a model")?);
        }
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<PathBuf> =
            entries.map_err(|e| Error::io(folder, "listing", e))?.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        let named = |end: &str| -> Vec<&PathBuf> {
            paths.iter().filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(end))).collect()
        };
        if let Some(single) = paths.iter().find(|path| path.file_name().is_some_and(|name| name == SINGLE)) {
            return self.add_file(single);
        }
        match named(INDEX).as_slice() {
            [] => {}
            [index] => return self.add_index(index),
            several => {
                return Err(Error::NoWeights {
                    path: folder.to_owned(),
                    found: format!(
                        "it holds {} indexes of shards, and any could be meant; name one of them",
                        several.len()
                    ),
                });
            }
        }
        let files = named(".safetensors");
        if files.is_empty() {
            let pickles = !named(".bin").is_empty() || !named(".pt").is_empty() || !named(".pth").is_empty();
            let found = if pickles {
                "it holds PyTorch checkpoints, but no .safetensors file; save the model with save_pretrained, which writes those"
            } else {
                "it holds no .safetensors file; name the folder that does"
            };
            return Err(Error::NoWeights { path: folder.to_owned(), found: found.to_owned() });
        }
        files.into_iter().try_for_each(|file| self.add_file(file))
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let file = open(path)?;
        let names: Vec<String> = file.tensors.iter().map(|tensor| tensor.tensor.info.name.clone()).collect();
        self.files.push(file);
        names.into_iter().enumerate().try_for_each(|(tensor, name)| self.place(name, tensor))
    }

    /// Adds the tensors of the shards that the index names.
    fn add_index(&mut self, path: &Path) -> Result<(), Error> {
        let shards = index_of_shards::read(path)?;
        for (shard, tensors) in shards {
            let file = open(&path.with_file_name(shard)).map_err(|error| index_of_shards::missing(error, path))?;
            let places: BTreeMap<&str, usize> = file
                .tensors
                .iter()
                .enumerate()
                .map(|(place, tensor)| (tensor.tensor.info.name.as_str(), place))
                .collect();
            let found: Result<Vec<(String, usize)>, Error> = tensors
                .into_iter()
                .map(|tensor| match places.get(tensor.as_str()) {
                    Some(&place) => Ok((tensor, place)),
                    None => Err(Error::NotInShard { path: file.path.clone(), tensor, index: path.to_owned() }),
                })
                .collect();
            let found = found?;
            self.files.push(file);
            found.into_iter().try_for_each(|(tensor, place)| self.place(tensor, place))?;
        }
        Ok(())
    }

    /// Notes where in the last added file a tensor is.
    fn place(&mut self, name: String, tensor: usize) -> Result<(), Error> {
        let file = self.files.len() - 1;
        match self.places.entry(name) {
            Entry::Vacant(place) => {
                place.insert((file, tensor));
                Ok(())
            }
            Entry::Occupied(place) => Err(Error::DuplicateTensor {
                path: self.files[file].path.clone(),
                tensor: place.key().clone(),
                other: self.files[place.get().0].path.clone(),
            }),
        }
    }
}

fn open(path: &Path) -> Result<WeightFile, Error> {
    let file = tensor_opening::open(path)?;
    match file.format {
        Format::Safetensors => Ok(WeightFile::of_file(&file)),
        Format::Npy => Err(Error::NoWeights {
            path: path.to_owned(),
            found: "this is a NumPy array, and weights need names; save them with safetensors".to_owned(),
        }),
    }
}

fn wrong_shape(file: &WeightFile, tensor: &StoredTensor, expected: &str) -> Error {
    Error::Shape {
        path: file.path.clone(),
        tensor: tensor.tensor.label(),
        shape: shape_text(&tensor.tensor.info.shape),
        expected: expected.to_owned(),
    }
}
