//! Directions for steering: what the features write into the residual stream, and a script that adds them there.

use std::path::{Path, PathBuf};

use unmix::{DenseMatrix, unit_features};

use super::saelens::write_f32;
use super::written::begin;
use super::{ExportError, ScaledFit, WrittenFile};
use crate::norms;

const TENSORS: &str = "steering.safetensors";
const SCRIPT: &str = "steer.py";

/// Writes the folder `dir` with `steer.py`, which adds directions to the output of a layer in PyTorch, and
/// `steering.safetensors`, which holds these f32 tensors:
///
/// - `directions` [K, d_model]: what a feature of unit norm adds to the residual stream,
///   [`DownProjection::directions`](crate::DownProjection::directions).
/// - `unit_directions` [K, d_model]: the same with unit norm. Zeros stay zeros.
/// - `direction_norms` \[K\].
/// - `max_activations` \[K\]: the largest coefficients.
/// - `strength_units` \[K\], from `units`: the norm of what strength 1 adds.
/// - `features` [K, d].
///
/// A unit is what the layer writes where the fit saw the feature strongest, if the feature alone is active. It is
/// [`DownProjection::written_norms`](crate::DownProjection::written_norms) of the largest coefficients. In models
/// without a norm after the down-projection, this is `max_activations * direction_norms`.
///
/// # Errors
/// If there are not K `directions` or not K `units`, or the folder cannot be written.
pub fn steering(
    dir: &Path,
    fit: &ScaledFit,
    directions: &DenseMatrix,
    units: &[f32],
    force: bool,
) -> Result<Vec<WrittenFile>, ExportError> {
    let (rank, width) = (fit.rank(), directions.columns);
    if directions.rows != rank {
        return Err(ExportError::Mismatch {
            what: "the matrix of directions",
            found: format!("{} × {width}", directions.rows),
            expected: format!("the fit has {rank} features; give a row each"),
        });
    }
    if units.len() != rank {
        return Err(ExportError::Mismatch {
            what: "the list of units",
            found: units.len().to_string(),
            expected: format!("the fit has {rank} features; give one each"),
        });
    }
    let norms: Vec<f32> = norms(directions).into_iter().map(|norm| norm as f32).collect();
    let unit = unit_features(directions).values;
    let largest = fit.largest_coefficients();
    let folder = begin(dir, force, |name| name == Path::new(TENSORS) || name == Path::new(SCRIPT))?;
    let tensors = write_f32(
        &folder,
        TENSORS,
        &[
            ("direction_norms", vec![rank], &norms),
            ("directions", vec![rank, width], &directions.values),
            ("features", vec![rank, fit.neurons()], &fit.features.values),
            ("max_activations", vec![rank], &largest),
            ("strength_units", vec![rank], units),
            ("unit_directions", vec![rank, width], &unit),
        ],
    )?;
    let bytes = folder.write(SCRIPT, |out| out.write_all(include_bytes!("steer.py")))?;
    folder.finish()?;
    Ok(vec![tensors, WrittenFile { name: PathBuf::from(SCRIPT), bytes }])
}
