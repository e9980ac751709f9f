//! The options of a fit as the estimator gives them.

use std::time::Duration;

use numpy::PyReadonlyArray2;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use unmix::{Consensus, Init, Solver, Streaming};
use unmix_fitting::{
    Device, DeviceKind, FitOptions, MemoryAllowance, Preset, Request, SolverOptions, check_runs, parse_size, parse_time,
};

use crate::computing::is_forked;
use crate::errors::{DeviceError, IN_ARGUMENTS};
use crate::numbers::matrix_of;

/// The options of a fit, in a dictionary with all of these keys. None stands for the default.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options<'py> {
    n_components: u32,
    sparsity: Option<f64>,
    solver: Option<String>,
    init: Option<String>,
    init_coefficients: Option<PyReadonlyArray2<'py, f32>>,
    penalty: Option<f64>,
    max_iter: Option<u32>,
    tol: Option<f64>,
    patience: Option<u32>,
    ridge: Option<f64>,
    sweeps: Option<u32>,
    relaxation: Option<f64>,
    warm_up: Option<u32>,
    unshrink: bool,
    debias: bool,
    revive: bool,
    seed: u64,
    preset: Option<String>,
    runs: Option<u32>,
    memory: Option<MemorySize>,
    stream: Option<bool>,
}

impl Options<'_> {
    /// The options as a fit takes them.
    ///
    /// # Errors
    /// If there is no choice of a name, or options contradict each other.
    pub fn fit_options(&self) -> PyResult<FitOptions> {
        let solver = SolverOptions {
            preset: choice("preset", self.preset.as_deref(), &Preset::ALL.map(|preset| (preset.name(), preset)))?,
            solver: choice("solver", self.solver.as_deref(), &Solver::ALL.map(|solver| (solver.name(), solver)))?,
            init: choice("init", self.init.as_deref(), &STARTS.map(|init| (init.name(), init)))?,
            penalty: self.penalty,
            seed: self.seed,
            max_iterations: self.max_iter,
            tolerance: self.tol,
            patience: self.patience,
            ridge: self.ridge,
            sweeps: self.sweeps,
            relaxation: self.relaxation,
            warm_up: self.warm_up,
            unshrink: self.unshrink,
            debias: self.debias,
            no_revive: !self.revive,
        };
        solver.check(self.init_coefficients.is_some(), &IN_ARGUMENTS).map_err(PyValueError::new_err)?;
        check_runs(self.runs.unwrap_or(1), &solver, self.init_coefficients.is_some(), &IN_ARGUMENTS)
            .map_err(PyValueError::new_err)?;
        let init_coefficients = self.init_coefficients.as_ref().map(matrix_of);
        let (rank, sparsity, runs) = (self.n_components, self.sparsity, self.runs);
        Ok(FitOptions { rank, sparsity, init_coefficients, solver, runs, keep_runs: false })
    }

    /// The number of features.
    pub fn rank(&self) -> u32 {
        self.n_components
    }

    /// The memory that the fit may take.
    ///
    /// # Errors
    /// If the size cannot be read.
    pub fn allowance(&self) -> PyResult<MemoryAllowance> {
        let streaming = match self.stream {
            None => Streaming::Auto,
            Some(true) => Streaming::Always,
            Some(false) => Streaming::Never,
        };
        Ok(MemoryAllowance { memory: self.memory.as_ref().map(MemorySize::bytes).transpose()?, streaming })
    }
}

/// An amount of memory.
#[derive(FromPyObject)]
enum MemorySize {
    /// In bytes.
    Bytes(u64),
    /// With its unit, such as `8GiB`.
    Text(String),
}

impl MemorySize {
    fn bytes(&self) -> PyResult<u64> {
        match self {
            MemorySize::Bytes(bytes) => Ok(*bytes),
            MemorySize::Text(text) => {
                parse_size(text).map_err(|needed| PyValueError::new_err(format!("memory={text:?}: {needed}")))
            }
        }
    }
}

/// A time between two checkpoints.
#[derive(FromPyObject)]
pub enum Interval {
    /// In seconds.
    Seconds(f64),
    /// With its unit, such as `5m`.
    Text(String),
}

impl Interval {
    /// The time, or that of the command if none is given.
    ///
    /// # Errors
    /// If it is no time.
    pub fn or_default(given: Option<&Interval>) -> PyResult<Duration> {
        let refused = |given: &str, needed: &str| PyValueError::new_err(format!("checkpoint_every={given}: {needed}"));
        match given {
            None => Ok(Request::CHECKPOINT_EVERY),
            Some(Interval::Seconds(seconds)) => Duration::try_from_secs_f64(*seconds)
                .map_err(|_| refused(&seconds.to_string(), "a number of seconds of at least 0 is needed")),
            Some(Interval::Text(text)) => parse_time(text).map_err(|needed| refused(&format!("{text:?}"), &needed)),
        }
    }
}

/// Starts that are asked for by name.
const STARTS: [Init; 3] = [Init::Kmeans, Init::Random, Init::Svd];

/// The choice of that name, if one is given.
fn choice<T: Copy>(option: &str, given: Option<&str>, choices: &[(&str, T)]) -> PyResult<Option<T>> {
    let Some(given) = given else { return Ok(None) };
    let found = choices.iter().find(|(name, _)| *name == given).map(|&(_, choice)| choice);
    found.map(Some).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        PyValueError::new_err(format!("{option}={given:?}: one of {} is needed", names.join(", ")))
    })
}

/// The device of that name: `auto`, `cpu`, `gpu`, or text of an adapter's name. The drivers of GPUs do not survive a fork, so a forked process
/// computes on the CPU.
///
/// # Errors
/// If a forked process asks for a GPU.
pub fn device(name: &str) -> PyResult<Device> {
    let of = |kind| Device { kind, ..Device::default() };
    let device = match name {
        "auto" if is_forked() => of(DeviceKind::Cpu),
        "auto" => of(DeviceKind::Auto),
        "cpu" => of(DeviceKind::Cpu),
        "gpu" => of(DeviceKind::Gpu),
        adapter => Device { kind: DeviceKind::Gpu, adapter: Some(adapter.to_owned()), number: 0 },
    };
    if device.kind == DeviceKind::Gpu && is_forked() {
        return Err(DeviceError::new_err(format!(
            "device={name:?}: a process that was forked from one that computed cannot use a GPU; start it by \"spawn\", or compute on \
             device=\"cpu\""
        )));
    }
    Ok(device)
}

/// The options of a fit of activations with `neurons` neurons, with the defaults in place of those that are not given, and the number of
/// runs of a consensus: the object `options` of `run.json`.
#[pyfunction]
fn complete_options<'py>(py: Python<'py>, options: Options<'py>, neurons: u32) -> PyResult<Bound<'py, PyDict>> {
    let found = options.fit_options()?.fitting().options(neurons);
    let dict = PyDict::new(py);
    dict.set_item("n_components", found.rank)?;
    dict.set_item("sparsity", found.sparsity)?;
    dict.set_item("solver", found.solver.name())?;
    dict.set_item("init", found.init.name())?;
    dict.set_item("penalty", found.penalty)?;
    dict.set_item("max_iter", found.max_iterations)?;
    dict.set_item("tol", found.tolerance)?;
    dict.set_item("patience", found.patience)?;
    dict.set_item("ridge", found.ridge)?;
    dict.set_item("sweeps", found.sweeps)?;
    dict.set_item("relaxation", found.relaxation)?;
    dict.set_item("warm_up", found.warm_up)?;
    dict.set_item("unshrink", found.unshrink)?;
    dict.set_item("debias", found.debias)?;
    dict.set_item("revive", found.revive)?;
    Ok(dict)
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("DEFAULT_RUNS", Consensus::RUNS)?;
    module.add_function(wrap_pyfunction!(complete_options, module)?)
}
