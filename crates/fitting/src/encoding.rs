//! Encodes activations in portions, so that they need not fit in memory.

use unmix::{ActivationSource, Encoder, Encoding, Engine, Error};
use unmix_data::RowRange;

/// Bytes of activations that are encoded at a time.
const PORTION_BYTES: u64 = 256 << 20;

/// Encodes all activations. `progress` is told before each portion but the first how many tokens are done. An error of it ends the work.
///
/// # Errors
/// As [`Encoder::encode`], if the activations cannot be read, and what `progress` returns.
pub fn encode<E: From<Error>>(
    encoder: &Encoder,
    engine: &dyn Engine,
    activations: &(impl ActivationSource + Clone),
    mut progress: impl FnMut(u64) -> Result<(), E>,
) -> Result<Encoding, E> {
    let row_bytes = activations.neurons() * activations.element().bytes() as u64;
    let (tokens, rows) = (activations.tokens(), (PORTION_BYTES / row_bytes.max(1)).max(1));
    let portion = |first: u64| {
        let rows = RowRange::new(activations.clone(), first..first + rows);
        encoder.encode(engine, &engine.load(&rows).map_err(Error::from)?)
    };
    let mut all = portion(0)?;
    for first in (rows..tokens).step_by(rows as usize) {
        progress(first)?;
        all.append(portion(first)?)?;
    }
    Ok(all)
}
