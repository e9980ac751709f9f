//! Where activations come from.

use std::ops::Range;
use std::sync::Arc;

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

    /// Number of rows of every panel but the last, if the source must be cut in a certain way. Otherwise the engine chooses. Sums are
    /// taken panel by panel, so a share of a matrix must have the panels of the whole matrix.
    fn panel_rows(&self) -> Option<u32> {
        None
    }

    /// Writes the little-endian elements of `rows` to `out`, row after row without padding. A session over streamed activations
    /// calls it from a thread of its own, one call at a time, for the panels in the order in which they are visited.
    ///
    /// # Errors
    /// If there are no such rows, if `out` has another size than they need, or if they cannot be read.
    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()>;

    /// Checks that the rows exist and that `out` has their size. [`read_rows`](Self::read_rows) must do this first.
    ///
    /// # Errors
    /// An error of kind `InvalidInput` if the rows do not exist, or if `out` has another size than they need.
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

    /// The bytes that [`read_rows`](Self::read_rows) would write, without a copy, if they lie in memory in that form. The caller may keep
    /// them for any time. `None` if they do not lie in memory like this, or if there are no such rows.
    fn shared_rows(&self, _rows: Range<u64>) -> Option<Bytes> {
        None
    }
}

impl<S: ActivationSource + Send + ?Sized> ActivationSource for Arc<S> {
    fn tokens(&self) -> u64 {
        (**self).tokens()
    }

    fn neurons(&self) -> u64 {
        (**self).neurons()
    }

    fn element(&self) -> ElementType {
        (**self).element()
    }

    fn panel_rows(&self) -> Option<u32> {
        (**self).panel_rows()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        (**self).read_rows(rows, out)
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        (**self).shared_rows(rows)
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
