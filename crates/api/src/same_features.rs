//! Engines of different kinds round differently. So that all ranks go on with the same features, they take those of rank 0.

use crate::Error;
use crate::fit::Fit;

/// Gives every rank the features of rank 0, and the scales of the coefficients that belong to them, if the ranks have different engines.
pub(crate) async fn same_features(fit: &Fit<'_>) -> Result<(), Error> {
    if !fit.distribution.engines_differ() {
        return Ok(());
    }
    let (b, communicator) = (&fit.buffers, fit.distribution.communicator());
    let entries = u64::from(fit.options.rank) * u64::from(b.features.kept);
    let buffers = [
        (b.features.dense.buffer(), b.features.dense.elements()),
        (b.features.indices, entries),
        (b.features.values, entries),
        (b.scales, fit.options.rank.into()),
    ];
    for (buffer, words) in buffers {
        let own = if communicator.rank() == 0 { fit.io.read::<u32>(buffer, words).await? } else { Vec::new() };
        fit.io.write(buffer, &communicator.of_rank(0, own))?;
    }
    Ok(())
}
