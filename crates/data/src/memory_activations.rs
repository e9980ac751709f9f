//! Activations in memory, with the columns of their tokens.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use unmix::{ActivationSource, ElementType, HostActivations};

use crate::{Error, TokenColumns};

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

    /// Checks that the activations still are what they were when they had `fingerprint`.
    ///
    /// # Errors
    /// [`Error::ChangedInMemory`] if they are not.
    pub fn check_unchanged(&self, fingerprint: &str) -> Result<(), Error> {
        if crate::fingerprint(self)? == fingerprint { Ok(()) } else { Err(Error::ChangedInMemory) }
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
    fn another_fingerprint_means_a_change() {
        let values = HostActivations::from_f32(vec![1.0; 6], 3, 2).expect("activations");
        let activations = MemoryActivations::new(values, TokenColumns::default()).expect("activations");
        let fingerprint = crate::fingerprint(&activations).expect("read");
        activations.check_unchanged(&fingerprint).expect("unchanged");
        assert!(matches!(activations.check_unchanged("blake3:0"), Err(Error::ChangedInMemory)));
    }
}
