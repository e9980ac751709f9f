//! Activations that are read rather than mapped.

use std::ops::Range;

use unmix::{ActivationSource, ElementType};

/// A source whose rows nobody gets without a copy. Pages of a mapped file then take no memory.
#[derive(Clone, Debug)]
pub struct OrdinaryReads<S>(pub S);

impl<S: ActivationSource> ActivationSource for OrdinaryReads<S> {
    fn tokens(&self) -> u64 {
        self.0.tokens()
    }

    fn neurons(&self) -> u64 {
        self.0.neurons()
    }

    fn element(&self) -> ElementType {
        self.0.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read_rows(rows, out)
    }
}
