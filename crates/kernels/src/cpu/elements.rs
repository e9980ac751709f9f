//! Activations and other matrices as they are stored.

use crate::ElementType;

/// A row-major matrix of elements in memory, rows `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    element: ElementType,
    stride: usize,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(bytes: &'a [u8], element: ElementType, stride: u32) -> Self {
        Elements { bytes, element, stride: stride as usize }
    }

    /// The matrix that begins with element `first`.
    pub(crate) fn from(bytes: &'a [u8], first: u32, element: ElementType, stride: u32) -> Self {
        Self::new(&bytes[first as usize * element.bytes()..], element, stride)
    }

    /// Elements that can be read from the start of a row on: up to the next row, or to the end.
    pub(crate) fn readable_of(&self, row: usize) -> usize {
        (self.bytes.len() / self.element.bytes() - row * self.stride).min(self.stride)
    }

    /// Whether these are the elements that `other` is, at the same place in memory.
    pub(crate) fn are(&self, other: &Elements<'_>) -> bool {
        std::ptr::eq(self.bytes, other.bytes) && (self.element, self.stride) == (other.element, other.stride)
    }

    /// The storage type.
    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    /// The bytes of columns `first..first + count` of row `row`.
    pub(crate) fn bytes(&self, row: usize, first: usize, count: usize) -> &'a [u8] {
        let size = self.element.bytes();
        &self.bytes[(row * self.stride + first) * size..][..count * size]
    }

    /// Decodes columns `first..first + out.len()` of row `row`.
    pub(crate) fn decode(&self, row: usize, first: usize, out: &mut [f32]) {
        self.element.decode(self.bytes(row, first, out.len()), out);
    }
}
