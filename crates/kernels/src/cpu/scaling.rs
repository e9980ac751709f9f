//! Powers of two that bring numbers into the range of a narrow type, and what undoes them.

use crate::ElementType;

/// A factor, and what undoes it.
#[derive(Clone, Copy)]
pub(super) struct Scaling {
    pub factor: f32,
    pub undo: f32,
}

/// For activations with this largest magnitude: brings them below 2^`top`. The same must happen to the coefficients, and
/// it is undone here but for their exponent.
pub(super) fn for_activations(largest: f32, top: i32) -> Scaling {
    let exponent = exponent(largest);
    Scaling { factor: power(top - 1 - exponent), undo: power(exponent - 2 * (top - 1)) }
}

/// For coefficients with this largest magnitude: brings them below 2^`top`. What is left to undo is their exponent. The
/// coefficients are below 2 until then, so that sums are about as large as the activations.
pub(super) fn for_coefficients(largest: f32, top: i32) -> Scaling {
    let exponent = exponent(largest);
    Scaling { factor: power(top - 1 - exponent), undo: power(exponent) }
}

/// The exponent of a magnitude, or the nearest one for which all powers here are normal numbers, if `top` is at most 8.
fn exponent(magnitude: f32) -> i32 {
    ((magnitude.to_bits() >> 23) as i32 - 127).clamp(-112, 127)
}

/// 2^`exponent`
fn power(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// Raises the largest magnitude of each column to that of a row's elements. Magnitudes are the bits of an element
/// without its sign, whose order is that of the magnitudes.
#[inline(always)]
pub(super) fn raise_magnitudes(element: ElementType, row: &[u8], largest: &mut [u32]) {
    match element {
        ElementType::F32 => raise(row, largest, |bytes| u32::from_le_bytes(bytes) & 0x7fff_ffff),
        ElementType::F16 | ElementType::Bf16 => {
            let largest: &mut [u16] = bytemuck::cast_slice_mut(largest);
            raise(row, largest, |bytes| u16::from_le_bytes(bytes) & 0x7fff);
        }
    }
}

#[inline(always)]
fn raise<T: Ord + Copy, const BYTES: usize>(row: &[u8], largest: &mut [T], magnitude: impl Fn([u8; BYTES]) -> T) {
    for (largest, &bytes) in largest.iter_mut().zip(row.as_chunks::<BYTES>().0) {
        *largest = magnitude(bytes).max(*largest);
    }
}
