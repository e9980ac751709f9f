//! Activations in host memory.

use std::ops::Range;

use bytes::Bytes;
use half::{bf16, f16};
use unmix_runtime::ActivationSource;

use crate::{ElementType, Error};

/// A row-major matrix of activations [tokens, neurons] in memory, which the caller passes in. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct HostActivations {
    bytes: Bytes,
    element: ElementType,
    tokens: u64,
    neurons: u64,
}

impl HostActivations {
    /// Activations from f32 values, row after row.
    ///
    /// # Errors
    /// If there are not `tokens * neurons` values.
    pub fn from_f32(values: Vec<f32>, tokens: u64, neurons: u64) -> Result<Self, Error> {
        Self::from_values(values, ElementType::F32, tokens, neurons)
    }

    /// Activations from f16 values, row after row.
    ///
    /// # Errors
    /// If there are not `tokens * neurons` values.
    pub fn from_f16(values: Vec<f16>, tokens: u64, neurons: u64) -> Result<Self, Error> {
        Self::from_values(values, ElementType::F16, tokens, neurons)
    }

    /// Activations from bf16 values, row after row.
    ///
    /// # Errors
    /// If there are not `tokens * neurons` values.
    pub fn from_bf16(values: Vec<bf16>, tokens: u64, neurons: u64) -> Result<Self, Error> {
        Self::from_values(values, ElementType::Bf16, tokens, neurons)
    }

    /// Activations from little-endian bytes of elements of type `element`, row after row. The bytes may lie anywhere, for example in a
    /// mapped file.
    ///
    /// # Errors
    /// If there are not `tokens * neurons` elements.
    pub fn from_bytes(bytes: Bytes, element: ElementType, tokens: u64, neurons: u64) -> Result<Self, Error> {
        let wanted = tokens.checked_mul(neurons).and_then(|count| count.checked_mul(element.bytes() as u64));
        if wanted != Some(bytes.len() as u64) {
            return Err(Error::Option {
                option: "activations",
                given: format!("{} bytes", bytes.len()),
                expected: format!("{tokens} tokens × {neurons} neurons × {} bytes are needed", element.bytes()),
            });
        }
        Ok(HostActivations { bytes, element, tokens, neurons })
    }

    fn from_values<T: bytemuck::NoUninit + Send + 'static>(
        values: Vec<T>,
        element: ElementType,
        tokens: u64,
        neurons: u64,
    ) -> Result<Self, Error> {
        Self::from_bytes(Bytes::from_owner(Values(values)), element, tokens, neurons)
    }
}

struct Values<T>(Vec<T>);

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Values<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl ActivationSource for HostActivations {
    fn tokens(&self) -> u64 {
        self.tokens
    }

    fn neurons(&self) -> u64 {
        self.neurons
    }

    fn element(&self) -> ElementType {
        self.element
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.check_rows(&rows, out)?;
        let row = self.neurons as usize * self.element.bytes();
        out.copy_from_slice(&self.bytes[rows.start as usize * row..rows.end as usize * row]);
        Ok(())
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        let row = self.neurons as usize * self.element.bytes();
        (rows.start <= rows.end && rows.end <= self.tokens)
            .then(|| self.bytes.slice(rows.start as usize * row..rows.end as usize * row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_there_are_not_and_wrong_buffers_are_errors() {
        let activations = HostActivations::from_f32((0..20).map(|i| i as f32).collect(), 5, 4).expect("activations");
        let read = |rows, bytes| activations.read_rows(rows, &mut vec![0; bytes]);
        for (rows, bytes) in [(4..6, 32), (0..1, 3), (0..1, 32), (u64::MAX - 1..u64::MAX, 16), (0..u64::MAX, 16)] {
            let refused = read(rows, bytes).expect_err("refused");
            assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        }
        #[expect(clippy::reversed_empty_ranges, reason = "what a caller may give by mistake")]
        let reversed = read(3..2, 0);
        assert!(reversed.is_err());
        read(3..5, 32).expect("read");
    }
}
