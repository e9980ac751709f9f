//! Reads the features in place and the sums of their coefficients.

use crate::Error;
use crate::fit::Fit;
use crate::kept_entries::KeptEntries;
use crate::session_io::rows_at_once;
use crate::sparse_features::SparseFeatures;
use crate::statistics::{Entry, Factors};

/// The features in place, with the cross product and the Gram matrix of their coefficients.
pub(crate) async fn factors(fit: &Fit<'_>) -> Result<Factors, Error> {
    Ok(Factors {
        features: entries(fit).await?,
        gram: fit.io.read_matrix(fit.buffers.sums.gram).await?,
        neurons: fit.neurons as usize,
        keep_unit_norm: fit.options.solver.updates().features.keeps_unit_norm(),
    })
}

/// The directions of the features in place.
///
/// # Errors
/// [`Error::Unsound`] if a value is not finite.
pub(crate) async fn sparse_features(fit: &Fit<'_>) -> Result<SparseFeatures, Error> {
    let (indices, values) = fit.io.read_entries(KeptEntries::of(&fit.buffers.features)).await?;
    SparseFeatures::of_entries(fit.neurons, fit.buffers.features.kept, &indices, &values)
}

/// The nonzeros of the features in place, each with its entry of the cross product.
async fn entries(fit: &Fit<'_>) -> Result<Vec<Vec<Entry>>, Error> {
    let (rank, kept) = (fit.options.rank as usize, fit.buffers.features.kept as usize);
    let cross = fit.buffers.sums.cross;
    let (indices, values) = fit.io.read_entries(KeptEntries::of(&fit.buffers.features)).await?;
    let at_once = rows_at_once(cross) * kept;
    let mut features = Vec::with_capacity(rank);
    for (indices, values) in indices.chunks(at_once).zip(values.chunks(at_once)) {
        let cross_rows = fit.io.read_rows(cross, features.len() as u32).await?;
        let rows = cross_rows.chunks_exact(cross.stride as usize);
        for ((row, indices), values) in rows.zip(indices.chunks_exact(kept)).zip(values.chunks_exact(kept)) {
            let entries = indices.iter().zip(values).filter(|(_, value)| **value != 0.0);
            let entry = |(&neuron, &value)| Entry { neuron, value, cross: row[neuron as usize] };
            features.push(entries.map(entry).collect());
        }
    }
    Ok(features)
}
