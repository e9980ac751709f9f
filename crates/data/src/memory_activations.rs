//! Activations in memory, with the columns of their tokens.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use unmix::{ActivationSource, ElementType, HostActivations};

use crate::{Error, TokenColumns};

/// Bytes of a cache line. Processors read a vector that crosses one at half the speed.
const LINE: usize = 64;

/// Activations that a caller has in memory, with the columns of their tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryActivations {
    values: HostActivations,
    columns: Arc<TokenColumns>,
}

impl MemoryActivations {
    /// Activations with columns that have an entry for each token.
    ///
    /// # Errors
    /// [`Error::ColumnOfMemory`] if a column has not.
    pub fn new(values: HostActivations, columns: TokenColumns) -> Result<Self, Error> {
        let tokens = values.tokens();
        if let Some((column, found)) = columns.present().find(|(_, column)| column.len() as u64 != tokens) {
            return Err(Error::ColumnOfMemory { column, found: found.len() as u64, tokens });
        }
        Ok(MemoryActivations { values, columns: Arc::new(columns) })
    }

    /// The columns of the tokens.
    pub fn token_columns(&self) -> &TokenColumns {
        &self.columns
    }

    /// Whether rows would begin on cache lines if the first one did, and it does not. Loads of vectors then cross the lines, and a fit takes
    /// up to a sixth longer.
    pub fn is_misaligned(&self) -> bool {
        let row = self.neurons() as usize * self.element().bytes();
        let first = self.values.shared_rows(0..1.min(self.tokens()));
        row.is_multiple_of(LINE) && first.is_some_and(|bytes| !(bytes.as_ptr() as usize).is_multiple_of(LINE))
    }

    /// A copy whose rows begin on cache lines, if they can.
    ///
    /// # Errors
    /// [`Error::Read`] if they cannot be read.
    pub fn aligned(&self) -> Result<MemoryActivations, Error> {
        let bytes = self.tokens() as usize * self.neurons() as usize * self.element().bytes();
        let mut lines = vec![Line([0; LINE]); bytes.div_ceil(LINE)];
        let copy = &mut bytemuck::cast_slice_mut(&mut lines)[..bytes];
        self.read_rows(0..self.tokens(), copy).map_err(Error::from_read)?;
        let copied = Bytes::from_owner(Lines(lines)).slice(..bytes);
        let values = HostActivations::from_bytes(copied, self.element(), self.tokens(), self.neurons())
            .map_err(|error| Error::Read(std::io::Error::other(error)))?;
        Ok(MemoryActivations { values, columns: Arc::clone(&self.columns) })
    }

    /// Checks that the activations still are what they were when they had `fingerprint`.
    ///
    /// # Errors
    /// [`Error::ChangedInMemory`] if they are not.
    pub fn check_unchanged(&self, fingerprint: &str) -> Result<(), Error> {
        if crate::fingerprint(self)? == fingerprint { Ok(()) } else { Err(Error::ChangedInMemory) }
    }
}

/// The bytes of a cache line, where one begins.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

struct Lines(Vec<Line>);

impl AsRef<[u8]> for Lines {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl ActivationSource for MemoryActivations {
    fn tokens(&self) -> u64 {
        self.values.tokens()
    }

    fn neurons(&self) -> u64 {
        self.values.neurons()
    }

    fn element(&self) -> ElementType {
        self.values.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.values.read_rows(rows, out)
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        self.values.shared_rows(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_another_length_are_refused() {
        let values = || HostActivations::from_f32(vec![1.0; 6], 3, 2).expect("activations");
        let columns = |ids: &[i64]| TokenColumns { token_ids: Some(ids.to_vec()), ..TokenColumns::default() };
        assert!(MemoryActivations::new(values(), columns(&[1, 2, 3])).is_ok());
        let refused = MemoryActivations::new(values(), columns(&[1, 2])).expect_err("refused");
        assert!(matches!(refused, Error::ColumnOfMemory { column: "token_ids", found: 2, tokens: 3 }));
    }

    #[test]
    fn rows_that_begin_between_cache_lines_are_told_and_their_copy_begins_on_one() {
        let bytes = Bytes::from_owner(Lines(vec![Line([7; LINE]); 5]));
        let of = |start: usize, neurons: u64| {
            let part = bytes.slice(start..start + 4 * 16 * 4);
            let values =
                HostActivations::from_bytes(part, ElementType::F32, 64 / neurons, neurons).expect("activations");
            MemoryActivations::new(values, TokenColumns::default()).expect("activations")
        };
        assert!(of(16, 16).is_misaligned() && !of(0, 16).is_misaligned() && !of(16, 8).is_misaligned());
        let copy = of(16, 16).aligned().expect("copied");
        assert!(!copy.is_misaligned());
        assert_eq!(copy.shared_rows(0..4), of(16, 16).shared_rows(0..4));
    }

    #[test]
    fn another_fingerprint_means_a_change() {
        let values = HostActivations::from_f32(vec![1.0; 6], 3, 2).expect("activations");
        let activations = MemoryActivations::new(values, TokenColumns::default()).expect("activations");
        let fingerprint = crate::fingerprint(&activations).expect("read");
        activations.check_unchanged(&fingerprint).expect("unchanged");
        assert!(matches!(activations.check_unchanged("blake3:0"), Err(Error::ChangedInMemory)));
    }
}
