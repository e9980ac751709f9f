//! What Python is told while a fit runs, and how Python stops it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use unmix::{Progress, Stage};

/// Least time between two looks for signals. A look waits for whichever thread of Python runs.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// Tells a callback of Python about a fit, and looks for Ctrl-C.
pub struct Watch {
    callback: Option<Py<PyAny>>,
    looked: Instant,
    /// Why the fit is stopped, unless by `StopIteration`.
    stopped: Option<PyErr>,
}

impl Watch {
    /// A watch over a fit that is about to begin.
    pub fn new(callback: Option<Py<PyAny>>) -> Self {
        Watch { callback, looked: Instant::now(), stopped: None }
    }

    /// Whether the fit goes on. The calling thread must be detached from the interpreter.
    pub fn told(&mut self, progress: &Progress) -> ControlFlow<()> {
        if self.stopped.is_some() {
            return ControlFlow::Break(());
        }
        let is_due = self.looked.elapsed() >= SIGNALS_EVERY;
        if self.callback.is_none() && !is_due {
            return ControlFlow::Continue(());
        }
        self.looked = Instant::now();
        Python::attach(|py| {
            let told = py.check_signals().and_then(|()| match &self.callback {
                Some(callback) => callback.call1(py, (words(py, progress)?,)).map(drop),
                None => Ok(()),
            });
            match told {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    self.callback = None;
                    if !error.is_instance_of::<PyStopIteration>(py) {
                        self.stopped = Some(error);
                    }
                    ControlFlow::Break(())
                }
            }
        })
    }

    /// What stopped the fit, if Python raised something.
    pub fn into_error(self) -> Option<PyErr> {
        self.stopped
    }
}

/// The progress as a dictionary.
fn words<'py>(py: Python<'py>, progress: &Progress) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let (stage, place) = match progress.stage {
        Stage::Measure => ("measure", None),
        Stage::Start => ("start", None),
        Stage::WarmUp { iteration, of } => ("warm-up", Some((iteration, of))),
        Stage::StartRuns { first, last, of } => {
            dict.set_item("runs", (first, last, of))?;
            ("start-runs", None)
        }
        Stage::Runs { iteration, iterations, first, last, of } => {
            dict.set_item("runs", (first, last, of))?;
            ("runs", Some((iteration, iterations)))
        }
        Stage::Agree => ("agree", None),
        Stage::Iterate => ("iterate", Some((progress.iteration, progress.max_iterations))),
        Stage::Verify => ("verify", None),
        _ => ("other", None),
    };
    dict.set_item("stage", stage)?;
    dict.set_item("step", place.map(|(step, _)| step))?;
    dict.set_item("steps", place.map(|(_, steps)| steps))?;
    dict.set_item("iteration", progress.iteration)?;
    dict.set_item("max_iter", progress.max_iterations)?;
    dict.set_item("relative_error", progress.relative_error)?;
    dict.set_item("best_relative_error", progress.best_relative_error)?;
    dict.set_item("dead_features", progress.dead_features)?;
    dict.set_item("seconds", progress.seconds)?;
    Ok(dict)
}
