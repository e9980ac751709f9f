//! How the features of a fit nest.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmix::CpuEngine;
use unmix_data::FitRecord;
use unmix_interpret::{Hierarchy, HierarchyOptions, HierarchyWords, hierarchy};

use crate::errors::of_computation;
use crate::json::json as to_json;
use crate::text::Text;

/// Options of the levels.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Levels {
    ranks: Option<Vec<u32>>,
    threshold: f64,
    most_children: usize,
}

impl Levels {
    /// The options for a fit.
    pub fn options(&self, fit: &FitRecord) -> PyResult<HierarchyOptions> {
        let rank = fit.features.rows as u32;
        let default = HierarchyOptions::new(rank);
        let options = HierarchyOptions {
            ranks: self.ranks.clone().unwrap_or(default.ranks),
            threshold: self.threshold,
            most_children: self.most_children,
            seed: fit.run.seed,
        };
        options.check(rank).map_err(|error| of_computation(&error))?;
        Ok(options)
    }

    /// The tree of a fit, or nothing if it has too few features for levels above them.
    pub fn tree(&self, py: Python<'_>, fit: &FitRecord) -> PyResult<Option<(Hierarchy, HierarchyOptions)>> {
        let options = self.options(fit)?;
        if options.ranks.is_empty() {
            return Ok(None);
        }
        let kept = fit.run.summary.kept_per_feature;
        let tree = py.detach(|| hierarchy(&CpuEngine::new(), &fit.features, kept, &options));
        Ok(Some((tree.map_err(|error| of_computation(&error))?, options)))
    }
}

/// The levels above the features of a fit, with words. As JSON.
#[pyfunction]
fn tree(py: Python<'_>, text: Py<Text>, levels: Levels) -> PyResult<String> {
    let Text { fit, found, .. } = text.get();
    let Some((tree, options)) = levels.tree(py, fit)? else {
        let features = fit.features.rows;
        return Err(PyValueError::new_err(format!(
            "{features} features are too few for levels above them; say which with ranks="
        )));
    };
    let summary = py.detach(|| HierarchyWords::of(fit, &found.text, &tree).summary(fit, &tree, &options));
    to_json(&summary)
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(tree, module)?)
}
