//! Directions for steering: what the features write into the residual stream, and a script that adds them there.

use std::path::{Path, PathBuf};

use unmix::DenseMatrix;

use super::saelens::write_f32;
use super::written::begin;
use super::{ExportError, ScaledFit, WrittenFile};
use crate::distribution::largest_coefficients;
use crate::{norms, unit_features};

const TENSORS: &str = "steering.safetensors";
const SCRIPT: &str = "steer.py";

/// Writes the folder `dir`: `steering.safetensors`, all f32, with `directions` [K, d_model] (what a feature of unit norm
/// adds to the residual stream, [`DownProjection::directions`](crate::DownProjection::directions)), `unit_directions` [K,
/// d_model] (the same with unit norm; zeros stay zeros), `direction_norms` \[K\], `max_activations` \[K\] (the largest
/// coefficient, so that `max_activations * direction_norms` is the most that the fit saw) and `features` [K, d]; and
/// `steer.py`, which adds a direction to the output of an MLP in PyTorch.
///
/// # Errors
/// If `directions` are not K, or the folder cannot be written.
pub fn steering(
    dir: &Path,
    fit: &ScaledFit,
    directions: &DenseMatrix,
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
    let norms: Vec<f32> = norms(directions).into_iter().map(|norm| norm as f32).collect();
    let unit = unit_features(directions).values;
    let largest = largest_coefficients(&fit.coefficients);
    let folder = begin(dir, force, |name| name == Path::new(TENSORS) || name == Path::new(SCRIPT))?;
    let tensors = write_f32(
        &folder,
        TENSORS,
        &[
            ("direction_norms", vec![rank], &norms),
            ("directions", vec![rank, width], &directions.values),
            ("features", vec![rank, fit.neurons()], &fit.features.values),
            ("max_activations", vec![rank], &largest),
            ("unit_directions", vec![rank, width], &unit),
        ],
    )?;
    let bytes = folder.write(SCRIPT, |out| out.write_all(include_bytes!("steer.py")))?;
    folder.finish()?;
    Ok(vec![tensors, WrittenFile { name: PathBuf::from(SCRIPT), bytes }])
}
