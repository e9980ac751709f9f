//! The native class `Weights`: the tensors of a model, in files or in memory.

use std::path::PathBuf;

use numpy::PyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmix_data::MemoryTensor;
use unmix_interpret::{DownProjection, NormKind, Readout, ReadoutOptions, VocabularyWords};

use crate::errors::of_data;
use crate::interpret_errors::of_lens;
use crate::numbers::{bytes_of, element};

/// The tensors of a model.
#[pyclass(frozen, module = "unmix._unmix")]
pub struct Weights {
    weights: unmix_data::Weights,
    options: ReadoutOptions,
}

/// Which tensors are meant, and what their files do not say.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Choice {
    model_type: Option<String>,
    layer: Option<u32>,
    expert: Option<u32>,
    down_projection: Option<String>,
    unembedding: Option<String>,
    final_norm: Option<String>,
    norm: Option<String>,
    epsilon: Option<f64>,
}

/// A tensor: its name, its type, its shape and its bytes.
type Tensor<'py> = (String, String, Vec<u64>, Bound<'py, PyArray1<u8>>);

#[pymethods]
impl Weights {
    /// Maps the files of a model.
    #[staticmethod]
    fn from_files(paths: Vec<PathBuf>, choice: Choice) -> PyResult<Self> {
        Ok(Weights { weights: unmix_data::Weights::open(&paths).map_err(of_data)?, options: choice.options()? })
    }

    /// Borrows tensors in memory: name, type, shape and bytes of each. `config` is the content of the model's
    /// `config.json`.
    #[staticmethod]
    fn from_memory(name: &str, tensors: Vec<Tensor<'_>>, config: Option<&str>, choice: Choice) -> PyResult<Self> {
        let tensor = |(name, type_name, shape, bytes): Tensor<'_>| {
            Ok(MemoryTensor { name, element: element(&type_name)?, shape, bytes: bytes_of(&bytes)? })
        };
        let tensors = tensors.into_iter().map(tensor).collect::<PyResult<_>>()?;
        let config = config.map(serde_json::from_str).transpose();
        let config =
            config.map_err(|error| PyValueError::new_err(format!("the configuration of the model: {error}")))?;
        let weights = unmix_data::Weights::from_memory(name, tensors, config).map_err(of_data)?;
        Ok(Weights { weights, options: choice.options()? })
    }
}

impl Weights {
    /// The way from `neurons` neurons to the logits of the tokens that `words` know.
    pub fn readout(&self, neurons: usize, words: &VocabularyWords) -> PyResult<Readout> {
        let readout = Readout::open(&self.weights, neurons, &self.options);
        readout.and_then(|readout| readout.for_vocabulary(words)).map_err(of_lens)
    }

    /// The way from `neurons` neurons to the residual stream.
    pub fn down_projection(&self, neurons: usize) -> PyResult<DownProjection> {
        DownProjection::open(&self.weights, neurons, &self.options).map_err(of_lens)
    }
}

impl Choice {
    fn options(self) -> PyResult<ReadoutOptions> {
        let unknown = |name: &String| {
            let known = NormKind::ALL.map(NormKind::name).join(", ");
            PyValueError::new_err(format!("norm={name:?}: it must be one of {known}"))
        };
        let norm = self.norm.as_ref().map(|name| NormKind::named(name).ok_or_else(|| unknown(name))).transpose()?;
        Ok(ReadoutOptions {
            model_type: self.model_type,
            layer: self.layer,
            expert: self.expert,
            down_projection: self.down_projection,
            unembedding: self.unembedding,
            final_norm: self.final_norm,
            bias: None,
            norm,
            epsilon: self.epsilon,
        })
    }
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Weights>()
}
