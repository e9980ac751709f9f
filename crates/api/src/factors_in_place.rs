//! Reads the features in place and the sums of their coefficients.

use crate::fit::Fit;
use crate::kept_entries::KeptEntries;
use crate::session_io::rows_at_once;
use crate::statistics::{Entry, Factors};
use crate::{DenseMatrix, Error};

/// The features in place, with the cross product and the Gram matrix of their coefficients.
pub(crate) async fn factors(fit: &Fit<'_>) -> Result<Factors, Error> {
    Ok(Factors {
        features: entries(fit).await?,
        gram: fit.io.read_matrix(fit.buffers.sums.gram).await?,
        neurons: fit.neurons as usize,
        keep_unit_norm: fit.options.solver.updates().features.keeps_unit_norm(),
    })
}

/// The features in place, [K, d].
pub(crate) async fn features(fit: &Fit<'_>) -> Result<DenseMatrix, Error> {
    let kept = fit.buffers.features.kept as usize;
    let (rows, columns) = (fit.options.rank as usize, fit.neurons as usize);
    let (indices, values) = fit.io.read_entries(KeptEntries::of(&fit.buffers.features)).await?;
    let mut features = DenseMatrix { rows, columns, values: vec![0.0; rows * columns] };
    let entries = indices.chunks_exact(kept).zip(values.chunks_exact(kept));
    for (row, (indices, values)) in features.values.chunks_exact_mut(columns).zip(entries) {
        // Entries beyond those of a feature are zeros, at a neuron that may have a value already.
        for (&neuron, &value) in indices.iter().zip(values).filter(|(_, value)| **value != 0.0) {
            row[neuron as usize] = value;
        }
    }
    Ok(features)
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
