//! Refuses NaN and infinity before they spread.

use rayon::prelude::*;
use unmix::{ActivationSource, DenseMatrix, ElementType};

use crate::Error;
use crate::panels::{Panels, RowBytes};

/// Looks for NaN and infinity in all of `source`, panel by panel on all cores.
///
/// # Errors
/// [`Error::NotFinite`] with the first place in row order, or whatever error reading gives.
pub fn check_finite(source: &dyn ActivationSource) -> Result<(), Error> {
    let (tokens, neurons, element) = (source.tokens(), source.neurons(), source.element());
    if tokens == 0 || neurons == 0 {
        return Ok(());
    }
    let panels = Panels::new(source);
    let first = (0..panels.count())
        .into_par_iter()
        .map_init(RowBytes::default, |buffer, panel| {
            let rows = panels.range(panel);
            let start = rows.start as u64;
            let bytes = panels.bytes(rows, buffer)?;
            match first_non_finite(element, bytes) {
                None => Ok(()),
                Some((index, value)) => {
                    let place = start * neurons + index as u64;
                    Err(Error::NotFinite { token: place / neurons, neuron: place % neurons, value })
                }
            }
        })
        .find_first(Result::is_err);
    first.unwrap_or(Ok(()))
}

/// Index and value of the first element that is NaN or infinite.
pub(crate) fn first_non_finite(element: ElementType, bytes: &[u8]) -> Option<(usize, f32)> {
    // An exponent of all ones is NaN or infinity.
    let index = match element {
        ElementType::F32 => position::<4>(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
        ElementType::F16 => position::<2>(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        ElementType::Bf16 => position::<2>(bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
    }?;
    let mut value = [0f32];
    element.decode(&bytes[index * element.bytes()..(index + 1) * element.bytes()], &mut value);
    Some((index, value[0]))
}

fn position<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool + Copy) -> Option<usize> {
    // Blocks without an early exit compile to vector code.
    const BLOCK: usize = 1024;
    let (elements, _) = bytes.as_chunks::<N>();
    for (block, values) in elements.chunks(BLOCK).enumerate() {
        if values.iter().fold(false, |any, &v| any | bad(v)) {
            return values.iter().position(|&v| bad(v)).map(|i| block * BLOCK + i);
        }
    }
    None
}

/// Refuses NaN and infinity in a matrix. `what` names the matrix in the plural.
pub(crate) fn check_matrix(what: &str, matrix: &DenseMatrix) -> Result<(), Error> {
    match matrix.values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::NotFiniteMatrix {
            what: what.to_owned(),
            row: i / matrix.columns,
            column: i % matrix.columns,
            value: matrix.values[i],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn the_first_bad_element_is_found_in_every_type() {
        for at in [0usize, 5, 1023, 1024, 2999] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for element in ElementType::ALL {
                    let mut bytes = Vec::new();
                    for i in 0..3000 {
                        // The largest finite values must pass.
                        let v = if i >= at && i % 7 == at % 7 { value } else { 65_504.0 };
                        match element {
                            ElementType::F32 => bytes.extend(if v == 65_504.0 { f32::MAX } else { v }.to_le_bytes()),
                            ElementType::F16 => bytes.extend(f16::from_f32(v).to_le_bytes()),
                            ElementType::Bf16 => bytes.extend(bf16::from_f32(v).to_le_bytes()),
                        }
                    }
                    let (index, found) = first_non_finite(element, &bytes).expect("found");
                    assert_eq!(index, at, "{element}");
                    assert!(found.is_nan() == value.is_nan() && (found.is_nan() || found == value));
                }
            }
        }
        assert_eq!(first_non_finite(ElementType::F32, &f32::MAX.to_le_bytes()), None);
    }
}
