//! Activations of a few tokens with the tokens side by side, so that one vector instruction serves them all.

use super::Elements;

/// Tokens side by side: the width of the widest vector.
pub(crate) const LANES: usize = 16;

/// Neurons that are transposed at once.
const SQUARE: usize = LANES;

/// out\[j\]\[t\] = x\[first_row + t, first_neuron + j\] for `tokens` ≤ 16 tokens; the lanes of absent tokens are zero.
pub(crate) fn decode_transposed(
    activations: Elements<'_>,
    first_row: usize,
    tokens: usize,
    first_neuron: usize,
    out: &mut [[f32; LANES]],
) {
    let (squares, rest) = out.as_chunks_mut::<SQUARE>();
    let neuron = |square: usize| first_neuron + square * SQUARE;
    let remaining = neuron(squares.len());
    #[cfg(target_arch = "x86_64")]
    if tokens == LANES && x86::available() {
        // SAFETY: the processor has been asked for what it takes.
        unsafe { x86::decode_squares(activations, first_row, first_neuron, squares) };
        one_by_one(activations, first_row, tokens, remaining, rest);
        return;
    }
    for (index, square) in squares.iter_mut().enumerate() {
        one_by_one(activations, first_row, tokens, neuron(index), square);
    }
    one_by_one(activations, first_row, tokens, remaining, rest);
}

/// The same for at most [`SQUARE`] neurons, without vector instructions.
fn one_by_one(
    activations: Elements<'_>,
    first_row: usize,
    tokens: usize,
    first_neuron: usize,
    out: &mut [[f32; LANES]],
) {
    if tokens < LANES {
        out.fill([0.0; LANES]);
    }
    let mut row = [0f32; SQUARE];
    let row = &mut row[..out.len()];
    for t in 0..tokens {
        activations.decode(first_row + t, first_neuron, row);
        for (lanes, &value) in out.iter_mut().zip(&*row) {
            lanes[t] = value;
        }
    }
}

/// 16 × 16 elements with AVX2 and F16C.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, SQUARE};
    use crate::ElementType;
    use crate::cpu::{Elements, prefetch_line};

    /// Bytes of a row that are fetched ahead: sixteen rows at once are more than the processor follows by itself.
    const AHEAD: usize = 1024;

    pub fn available() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")
    }

    /// Decodes and transposes [`SQUARE`] neurons of [`LANES`] tokens for each square.
    #[target_feature(enable = "avx2,f16c")]
    pub fn decode_squares(
        activations: Elements<'_>,
        row: usize,
        first_neuron: usize,
        squares: &mut [[[f32; LANES]; SQUARE]],
    ) {
        let size = activations.element().bytes();
        let mut rows = [[].as_slice(); LANES];
        for (t, bytes) in rows.iter_mut().enumerate() {
            *bytes = activations.bytes(row + t, first_neuron, squares.len() * SQUARE);
        }
        for (index, out) in squares.iter_mut().enumerate() {
            let at = index * SQUARE * size;
            if at.is_multiple_of(64) {
                rows.iter().for_each(|row| prefetch_line(row.as_ptr().wrapping_add(at + AHEAD)));
            }
            match activations.element() {
                ElementType::F32 => square_f32(&rows, at, out),
                ElementType::F16 => {
                    for (column, out) in transposed_u16(half_words(&rows, at)).into_iter().zip(out) {
                        *out = bytemuck::cast(widened_f16(column));
                    }
                }
                ElementType::Bf16 => {
                    for (column, out) in transposed_u16(half_words(&rows, at)).into_iter().zip(out) {
                        *out = bytemuck::cast(widened_bf16(column));
                    }
                }
            }
        }
    }

    /// Sixteen half-words of each row.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn half_words(rows: &[&[u8]; LANES], at: usize) -> [__m256i; LANES] {
        let mut words = [_mm256_setzero_si256(); LANES];
        for (words, row) in words.iter_mut().zip(rows) {
            *words = bytemuck::pod_read_unaligned(&row[at..at + 32]);
        }
        words
    }

    /// A square of words, from its four quarters.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn square_f32(rows: &[&[u8]; LANES], at: usize, out: &mut [[f32; LANES]; SQUARE]) {
        for (token, neuron) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            let mut quarter = [_mm256_setzero_ps(); 8];
            for (words, row) in quarter.iter_mut().zip(&rows[token..]) {
                *words = bytemuck::pod_read_unaligned(&row[at + neuron * 4..][..32]);
            }
            for (column, out) in transposed_f32(quarter).iter().zip(&mut out[neuron..]) {
                out[token..token + 8].copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(column)));
            }
        }
    }

    /// Sixteen f16 as f32.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn widened_f16(values: __m256i) -> [__m256; 2] {
        [_mm256_cvtph_ps(_mm256_castsi256_si128(values)), _mm256_cvtph_ps(_mm256_extracti128_si256(values, 1))]
    }

    /// Sixteen bf16 as f32, whose upper halves they are.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn widened_bf16(values: __m256i) -> [__m256; 2] {
        let halves = [_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1)];
        [
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves[0]), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves[1]), 16)),
        ]
    }

    /// Transposes 8 × 8 words.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn transposed_f32(rows: [__m256; 8]) -> [__m256; 8] {
        let mut pairs = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = [_mm256_setzero_ps(); 8];
        for half in [0, 4] {
            for i in 0..2 {
                let (a, b) = (pairs[half + i], pairs[half + 2 + i]);
                fours[half + 2 * i] = _mm256_shuffle_ps(a, b, 0x44);
                fours[half + 2 * i + 1] = _mm256_shuffle_ps(a, b, 0xee);
            }
        }
        let mut columns = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            columns[i] = _mm256_permute2f128_ps(fours[i], fours[4 + i], 0x20);
            columns[4 + i] = _mm256_permute2f128_ps(fours[i], fours[4 + i], 0x31);
        }
        columns
    }

    /// Transposes 16 × 16 half-words.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn transposed_u16(rows: [__m256i; 16]) -> [__m256i; 16] {
        let mut columns = [_mm256_setzero_si256(); 16];
        let upper = within_lanes(rows.first_chunk().expect("sixteen rows"));
        let lower = within_lanes(rows.last_chunk().expect("sixteen rows"));
        for i in 0..8 {
            columns[i] = _mm256_permute2x128_si256(upper[i], lower[i], 0x20);
            columns[8 + i] = _mm256_permute2x128_si256(upper[i], lower[i], 0x31);
        }
        columns
    }

    /// Transposes 8 × 8 half-words in each of the two 128-bit lanes.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn within_lanes(rows: &[__m256i; 8]) -> [__m256i; 8] {
        let mut pairs = *rows;
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_epi16(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_epi16(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = pairs;
        for half in [0, 4] {
            for i in 0..2 {
                fours[half + 2 * i] = _mm256_unpacklo_epi32(pairs[half + i], pairs[half + 2 + i]);
                fours[half + 2 * i + 1] = _mm256_unpackhi_epi32(pairs[half + i], pairs[half + 2 + i]);
            }
        }
        let mut columns = fours;
        for i in 0..4 {
            columns[2 * i] = _mm256_unpacklo_epi64(fours[i], fours[4 + i]);
            columns[2 * i + 1] = _mm256_unpackhi_epi64(fours[i], fours[4 + i]);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;

    #[test]
    fn every_element_finds_its_place() {
        let (rows, columns) = (35, 45);
        for element in ElementType::ALL {
            let value = |i: usize| (i as f32 - 700.0) / 8.0;
            let bytes: Vec<u8> = (0..rows * columns)
                .flat_map(|i| match element {
                    ElementType::F32 => value(i).to_le_bytes().to_vec(),
                    ElementType::F16 => half::f16::from_f32(value(i)).to_le_bytes().to_vec(),
                    ElementType::Bf16 => half::bf16::from_f32(value(i)).to_le_bytes().to_vec(),
                })
                .collect();
            let activations = Elements::new(&bytes, element, columns as u32);
            for (first_row, tokens) in [(0, 16), (19, 16), (30, 5)] {
                for (first, width) in [(0, 45), (7, 38), (3, 16), (44, 1)] {
                    let mut out = vec![[f32::NAN; LANES]; width];
                    decode_transposed(activations, first_row, tokens, first, &mut out);
                    for (j, lanes) in out.iter().enumerate() {
                        for (t, &found) in lanes.iter().enumerate() {
                            let mut expected = [0f32];
                            if t < tokens {
                                activations.decode(first_row + t, first + j, &mut expected);
                            }
                            assert_eq!(found, expected[0], "{element}: token {t}, neuron {j}");
                        }
                    }
                }
            }
        }
    }
}
