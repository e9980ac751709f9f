//! Fits, which may be saved in a folder and go on there.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use unmix::{ActivationSource, StopReason};
use unmix_data::{CheckpointFolder, FitRecord, write_fit};
use unmix_fitting::{
    AskedFit, FitFailure, FitInput, Fitting, PlannedFit, Request, SavedFit, check_rank, going_on, size_text,
};

use crate::activations::Activations;
use crate::computing::computing;
use crate::errors::{IN_ARGUMENTS, of_computation, of_fit};
use crate::fit::Fit;
use crate::options::{Interval, Options, device};
use crate::progress::Watch;

/// Fits activations. `callback` is told about the progress. The fit is saved in the folder `out`, if it is given, and goes on with what is
/// there. Returns the fit, and what the callback or a signal raised to stop it.
#[pyfunction]
fn fit(
    py: Python<'_>,
    activations: &Activations,
    options: Options<'_>,
    device_name: &str,
    out: Option<PathBuf>,
    checkpoint_every: Option<Interval>,
    callback: Option<Py<PyAny>>,
) -> PyResult<(Fit, Option<PyErr>)> {
    let input = activations.input.clone();
    check_rank(options.rank(), &input).map_err(of_fit)?;
    let fit_options = options.fit_options()?;
    let request = Request {
        device: device(device_name)?,
        memory: options.allowance()?,
        checkpoint_every: Interval::or_default(checkpoint_every.as_ref())?,
        init_coefficients: fit_options.fingerprint_of_start(),
        keep_runs: false,
        command_line: None,
    };
    drop(options);
    let mut watch = Watch::new(callback);
    let fitting = fit_options.fitting();
    let record = computing(py, || compute(input, fitting, request, out, &mut watch))?;
    Ok((Fit { record: Arc::new(record) }, watch.into_error()))
}

/// Computes a fit, or what is missing of it.
fn compute(
    input: FitInput,
    mut fitting: Fitting,
    mut request: Request,
    out: Option<PathBuf>,
    watch: &mut Watch,
) -> PyResult<FitRecord> {
    let (mut replace, mut begun) = (false, None);
    // Another thread may change the working directory while the fit runs.
    let out = out.map(std::path::absolute).transpose()?;
    if let Some(out) = &out {
        let asked = AskedFit { fitting: &fitting, input: &input, request: &request, wording: &IN_ARGUMENTS };
        match SavedFit::find(out, asked).map_err(of_fit)? {
            SavedFit::Complete(fit) => {
                log::info!("{}: the fit is complete", out.display());
                return Ok(*fit);
            }
            SavedFit::Unfinished(unfinished) => {
                log::info!("{}: {}", out.display(), going_on(&unfinished.checkpoint));
                (fitting, replace) = (unfinished.fitting, true);
                request.command_line = unfinished.begun.request.command_line;
                begun = Some((unfinished.folder, unfinished.begun.input.fingerprint));
            }
            SavedFit::Nothing { replace: interrupted } => replace = interrupted,
        }
    }
    let opened = request.device.open().map_err(|error| of_computation(&error))?;
    log::info!("engine: {} · {}", opened.engine.kind().name(), opened.engine.adapter());
    let engine = opened.engine.as_ref();
    let fit = || -> Result<FitRecord, FitFailure> {
        let fit = PlannedFit::new(engine, input, fitting, &request.memory)?;
        let (planned, source) = (fit.planned(), fit.source());
        log::info!(
            "{} tokens × {} neurons, {}, {}; the fit takes about {} of memory",
            source.tokens(),
            source.neurons(),
            source.element().name(),
            if planned.is_streamed() { "streamed" } else { "resident" },
            size_text(planned.host_bytes().saturating_add(planned.device_bytes()))
        );
        let Some(out) = out else {
            return Ok(fit.place()?.fit(|told| watch.told(told))?.into_records().0);
        };
        let (folder, began_with) = match begun {
            Some((folder, fingerprint)) => (folder, Some(fingerprint)),
            None => (fit.new_checkpoints(&out, false, request.clone())?, None),
        };
        let fit = fit.place()?;
        if let Some(began_with) = began_with {
            fit.check_began_with(&began_with, &out)?;
        }
        // The fit holds the folder of checkpoints, and lets go of it at its end.
        let records = fit.checkpointed(request.checkpoint_every, folder).fit(|told| watch.told(told))?;
        let record = records.command_line(request.command_line).into_records().0;
        write_fit(&out, &record, replace)?;
        if record.run.summary.stop_reason != StopReason::Interrupted {
            CheckpointFolder::discard(&out)?;
        }
        Ok(record)
    };
    fit().map_err(of_fit)
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(fit, module)?)
}
