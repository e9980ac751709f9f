//! Where activations come from.

use std::ops::Range;

use bytes::Bytes;
use unmix_kernels::ElementType;

use crate::Error;

/// Where activations come from: memory, a mapped file, a caller's own type.
pub trait ActivationSource: Sync {
    /// Number of rows.
    fn tokens(&self) -> u64;

    /// Number of columns.
    fn neurons(&self) -> u64;

    /// Storage type of [`read_rows`](Self::read_rows)'s bytes.
    fn element(&self) -> ElementType;

    /// Writes the little-endian elements of `rows` to `out`, row after row without padding. A session over streamed activations
    /// calls it from a thread of its own, one call at a time, for the panels in the order in which they are visited.
    ///
    /// # Errors
    /// If there are no such rows, `out` is of another size, or they cannot be read.
    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()>;

    /// Refuses rows that there are not, and an `out` of another size than theirs: what [`read_rows`](Self::read_rows) must do
    /// first.
    ///
    /// # Errors
    /// If they are refused.
    fn check_rows(&self, rows: &Range<u64>, out: &[u8]) -> std::io::Result<()> {
        let refused = |problem: String| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, problem));
        if rows.start > rows.end || rows.end > self.tokens() {
            return refused(format!("rows {rows:?} of a matrix of {} rows", self.tokens()));
        }
        let bytes = u128::from(rows.end - rows.start) * u128::from(self.neurons()) * self.element().bytes() as u128;
        if out.len() as u128 != bytes {
            return refused(format!("rows {rows:?} take {bytes} bytes, not {}", out.len()));
        }
        Ok(())
    }

    /// The bytes that [`read_rows`](Self::read_rows) would write, without a copy, where they lie in memory like that. They may be
    /// kept as long as the caller likes. `None` for rows that there are not.
    fn shared_rows(&self, _rows: Range<u64>) -> Option<Bytes> {
        None
    }
}

/// Checks a source's shape before anything is read.
pub(crate) fn checked_shape(source: &dyn ActivationSource) -> Result<(u64, u32), Error> {
    let (tokens, neurons) = (source.tokens(), source.neurons());
    let problem = |problem: &str| Error::Activations { tokens, neurons, problem: problem.to_owned() };
    if tokens == 0 || neurons == 0 {
        return Err(problem("empty; at least one token and one neuron are needed"));
    }
    if neurons > 1 << 24 {
        return Err(problem("more than 2^24 neurons; is the matrix transposed?"));
    }
    Ok((tokens, neurons as u32))
}
