//! Files of a fit for other tools.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;
use unmix::ActivationSource;
use unmix_data::{Error, FitActivations, FitActivationsError, FitRecord};
use unmix_interpret::export::{
    AffineEncoder, DelphiOptions, Encoding, ExportOption, ExportParts, SCALE, ScaledFit, Site, Tool, affine_encoder,
    snippet, write_export,
};

use crate::activations::Activations;
use crate::errors::of_data;
use crate::interpret_errors::{of_activations, of_export, of_lens};
use crate::json::json as to_json;
use crate::text::Text;
use crate::weights::Weights;

/// What an export is made from.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Request {
    tool: String,
    path: PathBuf,
    force: bool,
    activations: Option<Py<Activations>>,
    architecture: Option<String>,
    splits: Option<usize>,
    padding: Option<i64>,
    model_name: Option<String>,
    layer: Option<u32>,
    hook: Option<String>,
    weights: Option<Py<Weights>>,
}

impl Request {
    fn tool(&self) -> PyResult<Tool> {
        Tool::ALL.into_iter().find(|tool| tool.name() == self.tool).ok_or_else(|| {
            let known = Tool::ALL.map(Tool::name).join(", ");
            PyValueError::new_err(format!("tool={:?}: it must be one of {known}", self.tool))
        })
    }

    fn encoding(&self) -> PyResult<Encoding> {
        match self.architecture.as_deref() {
            None | Some("standard") => Ok(Encoding::Standard),
            Some("matching-pursuit") => Ok(Encoding::MatchingPursuit),
            Some(other) => Err(PyValueError::new_err(format!(
                "architecture={other:?}: it must be \"standard\" or \"matching-pursuit\""
            ))),
        }
    }

    /// Refuses options that the tool has no use for, because they are mistakes.
    fn refuse_strangers(&self, tool: Tool, encoding: Encoding) -> PyResult<()> {
        let options = [
            ("activations", self.activations.is_some(), ExportOption::Activations),
            ("architecture", self.architecture.is_some(), ExportOption::Encoding),
            ("model", self.weights.is_some(), ExportOption::Model),
            ("splits", self.splits.is_some(), ExportOption::Splits),
            ("padding", self.padding.is_some(), ExportOption::Padding),
        ];
        match options.iter().find(|(_, given, option)| *given && !option.is_for(tool, encoding)) {
            Some((name, _, option)) => {
                Err(PyValueError::new_err(format!("{name}: of use for {} alone; leave it out", option.tools())))
            }
            None => Ok(()),
        }
    }

    /// An encoder that is fitted to the activations, or the reason why it is not.
    fn encoder(
        &self,
        py: Python<'_>,
        record: &FitRecord,
        fit: &ScaledFit,
    ) -> PyResult<(AffineEncoder, Option<String>)> {
        let fitted = |source: &dyn ActivationSource| affine_encoder(fit, Some(source)).map_err(of_export);
        if let Some(activations) = &self.activations {
            let input = activations.get().input.clone();
            let columns = input.token_columns().clone();
            return py.detach(|| {
                let found = FitActivations::of(record, input, columns).map_err(of_activations)?;
                if !found.fitted {
                    return Err(PyValueError::new_err(
                        "activations: these are not the activations of the fit (their fingerprint differs); give those that were \
                         fitted, or leave the option out",
                    ));
                }
                Ok((fitted(&found.source)?, None))
            });
        }
        py.detach(|| match FitActivations::reopen(record) {
            Ok(found) => {
                let encoder = fitted(&found.source)?;
                found.source.check_untouched().map_err(of_data)?;
                Ok((encoder, None))
            }
            Err(FitActivationsError::Data(error)) => Err(of_data(error)),
            Err(problem) => Ok((affine_encoder(fit, None).map_err(of_export)?, Some(problem.to_string()))),
        })
    }
}

/// Writes a folder for a tool. What was written, as JSON.
#[pyfunction]
fn export(py: Python<'_>, text: Py<Text>, request: Request) -> PyResult<String> {
    let text = text.get();
    let (tool, encoding) = (request.tool()?, request.encoding()?);
    request.refuse_strangers(tool, encoding)?;
    let Request { path, force, .. } = &request;
    if !force && path.exists() {
        return Err(of_data(Error::Exists(path.clone())));
    }
    if tool == Tool::Neuronpedia && !text.has_words() {
        return Err(PyValueError::new_err(
            "neuronpedia: needs the text of the tokens; fit.with_tokenizer(tokenizer) gives it if the fit has token ids",
        ));
    }
    // An encoder is fitted row by row; all else is about prompts.
    let encodes = tool.fits_encoder(encoding);
    let record = if encodes { &text.as_fitted } else { &text.fit };
    let site = Site { model: request.model_name.clone(), layer: request.layer, hook: request.hook.clone() };
    let site = site.for_tool(tool, &record.run.input.origin).map_err(of_export)?;
    let fit = py.detach(|| ScaledFit::new(record)).map_err(of_export)?;
    let encoder = if encodes { Some(request.encoder(py, record, &fit)?) } else { None };
    let weights = request.weights.as_ref().map(Py::get);
    let readout = match weights {
        Some(weights) if tool == Tool::Neuronpedia => Some(weights.readout(fit.neurons(), &text.words)?),
        _ => None,
    };
    let logits = py.detach(|| readout.map(|r| r.promoted_and_suppressed(&record.features, &text.words)).transpose());
    let logits = logits.map_err(of_lens)?;
    let (mut layer, mut directions) = (request.layer, None);
    if let (Tool::Steering, Some(weights)) = (tool, weights) {
        let down_projection = weights.down_projection(fit.neurons())?;
        layer = down_projection.layer();
        let written = py.detach(|| {
            let units = down_projection.written_norms(&fit.features, &fit.largest_coefficients())?;
            Ok((down_projection.directions(&fit.features)?, units))
        });
        directions = Some(written.map_err(of_lens)?);
    }
    let default = DelphiOptions::default();
    let parts = ExportParts {
        fit: &fit,
        site: &site,
        encoding,
        encoder: encoder.as_ref().map(|(encoder, _)| encoder),
        delphi: DelphiOptions { splits: request.splits.unwrap_or(default.splits), padding: request.padding },
        text: Some(&text.found.text),
        logits: logits.as_deref(),
        directions: directions.as_ref().map(|(directions, units)| (directions, units.as_slice())),
    };
    let files = py.detach(|| write_export(tool, path, &parts, *force)).map_err(of_export)?;
    to_json(&json!({
        "tool": tool.name(),
        "path": path.to_string_lossy(),
        "model": site.model,
        "layer": layer,
        "scale": SCALE,
        "files": files,
        "encoder": encoder.as_ref().map(|(encoder, _)| &encoder.report),
        "without_activations": encoder.as_ref().and_then(|(_, problem)| problem.as_ref()),
        "usage": snippet(tool, path, layer),
    }))
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(export, module)?)
}
