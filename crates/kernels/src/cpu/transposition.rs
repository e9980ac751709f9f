//! Puts the activations of a few tokens side by side, so that one vector instruction serves all of these tokens.

use super::{Elements, with_scratch};
use crate::ElementType;

/// Tokens side by side: the width of the widest vector.
pub(crate) const LANES: usize = 16;

/// Neurons that are transposed at once.
const SQUARE: usize = LANES;
/// Columns that are [interleaved](interleave) at once, so few that they are still in the first-level cache when they
/// are copied.
const COLUMNS: usize = 8 * SQUARE;

/// out\[j\]\[t\] = x\[first_row + t, first_neuron + j\] for `tokens` ≤ 16 tokens. The lanes of absent tokens are zero.
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
    if tokens > 0 && x86::available() {
        // SAFETY: the processor was asked whether it has these instructions.
        unsafe {
            if x86::available_512() {
                x86::decode_squares_512(activations, first_row, tokens, first_neuron, squares);
            } else {
                x86::decode_squares(activations, first_row, tokens, first_neuron, squares);
            }
        }
        one_by_one(activations, first_row, tokens, remaining, rest);
        return;
    }
    for (index, square) in squares.iter_mut().enumerate() {
        one_by_one(activations, first_row, tokens, neuron(index), square);
    }
    one_by_one(activations, first_row, tokens, remaining, rest);
}

/// out\[j · width + t\] = rows\[t · stride + j\] for `columns` columns and all rows in `rows`. The values of a column
/// come to lie side by side, with room for `width` of them, which must be a multiple of [`LANES`].
pub(crate) fn interleave(rows: &[f32], stride: usize, columns: usize, out: &mut [f32], width: usize) {
    let count = rows.len().div_ceil(stride);
    let rows = Elements::new(bytemuck::cast_slice(rows), ElementType::F32, stride as u32);
    with_scratch(COLUMNS * LANES, |values| {
        let values = values.as_chunks_mut::<LANES>().0;
        for row in (0..count).step_by(LANES) {
            for (squares, out) in out[..columns * width].chunks_mut(COLUMNS * width).enumerate() {
                let values = &mut values[..out.len() / width];
                decode_transposed(rows, row, LANES.min(count - row), squares * COLUMNS, values);
                for (out, values) in out.chunks_exact_mut(width).zip(values) {
                    out[row..row + LANES].copy_from_slice(values);
                }
            }
        }
    });
}

/// The reverse: out\[t · stride + j\] = lanes\[j · width + t\] for `columns` columns and as many rows as `out` holds,
/// at most [`COLUMNS`].
pub(crate) fn deinterleave(lanes: &[f32], width: usize, columns: usize, out: &mut [f32], stride: usize) {
    let present = lanes.len() / width;
    let lanes = Elements::new(bytemuck::cast_slice(lanes), ElementType::F32, width as u32);
    with_scratch(COLUMNS * LANES, |values| {
        let values = &mut values.as_chunks_mut::<LANES>().0[..out.len().div_ceil(stride)];
        for column in (0..columns).step_by(LANES) {
            decode_transposed(lanes, column, LANES.min(present - column), 0, values);
            let count = LANES.min(columns - column);
            for (out, values) in out.chunks_mut(stride).zip(&*values) {
                out[column..column + count].copy_from_slice(&values[..count]);
            }
        }
    });
}

/// The same for at most [`SQUARE`] neurons, without vector instructions.
fn one_by_one(
    activations: Elements<'_>,
    first_row: usize,
    tokens: usize,
    first_neuron: usize,
    out: &mut [[f32; LANES]],
) {
    if out.is_empty() {
        return;
    }
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

/// 16 × 16 elements with AVX2 and F16C, and with AVX-512 where it is there.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, SQUARE};
    use crate::ElementType;
    use crate::cpu::vectors::{Vectors, vectors};
    use crate::cpu::{Elements, prefetch_line};

    /// Bytes of a row that are fetched ahead. Sixteen rows at once are more than the processor follows by itself.
    const AHEAD: usize = 1024;

    pub fn available() -> bool {
        vectors() != Vectors::Scalar && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")
    }

    pub fn available_512() -> bool {
        available() && vectors() == Vectors::Widest && is_x86_feature_detected!("avx512f")
    }

    /// Defines a function that decodes and transposes [`SQUARE`] neurons of up to [`LANES`] tokens for each square. It is compiled for
    /// `$features`, and turns the sixteen values of a neuron to f32 by `$f16` or `$bf16`.
    macro_rules! decode_squares {
        ($name:ident, $features:literal, $f16:ident, $bf16:ident) => {
            #[target_feature(enable = $features)]
            pub fn $name(
                activations: Elements<'_>,
                row: usize,
                tokens: usize,
                first_neuron: usize,
                squares: &mut [[[f32; LANES]; SQUARE]],
            ) {
                let size = activations.element().bytes();
                let mut rows = [[].as_slice(); LANES];
                for (t, bytes) in rows.iter_mut().enumerate() {
                    // The last token stands in for absent ones.
                    *bytes = activations.bytes(row + t.min(tokens - 1), first_neuron, squares.len() * SQUARE);
                }
                for (index, square) in squares.iter_mut().enumerate() {
                    let at = index * SQUARE * size;
                    if at.is_multiple_of(64) {
                        rows.iter().for_each(|row| prefetch_line(row.as_ptr().wrapping_add(at + AHEAD)));
                    }
                    match activations.element() {
                        ElementType::F32 => {
                            for (quarter, out) in square.as_chunks_mut().0.iter_mut().enumerate() {
                                four_neurons(&rows, at + quarter * 16, out);
                            }
                        }
                        ElementType::F16 => {
                            for (half, out) in square.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                                let neurons = transposed_u16(with_eighth_next(&rows, at + half * 16));
                                for (lanes, neuron) in out.iter_mut().zip(neurons) {
                                    *lanes = bytemuck::cast($f16(neuron));
                                }
                            }
                        }
                        ElementType::Bf16 => {
                            for (half, out) in square.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                                let neurons = transposed_u16(with_eighth_next(&rows, at + half * 16));
                                for (lanes, neuron) in out.iter_mut().zip(neurons) {
                                    *lanes = bytemuck::cast($bf16(neuron));
                                }
                            }
                        }
                    }
                    if tokens < LANES {
                        square.iter_mut().for_each(|lanes| lanes[tokens..].fill(0.0));
                    }
                }
            }
        };
    }

    decode_squares!(decode_squares, "avx2,f16c", widened_f16, widened_bf16);
    decode_squares!(decode_squares_512, "avx2,f16c,avx512f", widened_f16_512, widened_bf16_512);

    /// Loads four f32 of each row.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn four_neurons(rows: &[&[u8]; LANES], at: usize, out: &mut [[f32; LANES]; 4]) {
        for (first, rows) in rows.as_chunks::<8>().0.iter().enumerate() {
            let words = |t: usize| _mm256_castsi256_ps(side_by_side(rows[t], rows[t + 4], at));
            for (out, column) in out.iter_mut().zip(transposed_f32([words(0), words(1), words(2), words(3)])) {
                out.as_chunks_mut::<8>().0[first] = bytemuck::cast(column);
            }
        }
    }

    /// Loads eight half-words of each of the first eight rows, with those of the row eight further on in the upper
    /// lane. A load can put them there, so that no shuffle is needed later.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn with_eighth_next(rows: &[&[u8]; LANES], at: usize) -> [__m256i; 8] {
        let mut words = [_mm256_setzero_si256(); 8];
        for (t, words) in words.iter_mut().enumerate() {
            *words = side_by_side(rows[t], rows[t + 8], at);
        }
        words
    }

    /// Loads sixteen bytes of each of two rows.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn side_by_side(lower: &[u8], upper: &[u8], at: usize) -> __m256i {
        let lane = |row: &[u8]| bytemuck::pod_read_unaligned(&row[at..at + 16]);
        _mm256_set_m128i(lane(upper), lane(lower))
    }

    /// Converts sixteen f16 to f32.
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn widened_f16(values: __m256i) -> [__m256; 2] {
        [_mm256_cvtph_ps(_mm256_castsi256_si128(values)), _mm256_cvtph_ps(_mm256_extracti128_si256(values, 1))]
    }

    /// Converts sixteen bf16 to f32, of which they are the upper halves.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn widened_bf16(values: __m256i) -> [__m256; 2] {
        let halves = [_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1)];
        [
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves[0]), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves[1]), 16)),
        ]
    }

    /// Converts sixteen f16 to f32 at once.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn widened_f16_512(values: __m256i) -> __m512 {
        _mm512_cvtph_ps(values)
    }

    /// Converts sixteen bf16 to f32 at once.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn widened_bf16_512(values: __m256i) -> __m512 {
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16))
    }

    /// Transposes 4 × 4 words in each of the two 128-bit lanes.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn transposed_f32(rows: [__m256; 4]) -> [__m256; 4] {
        let pairs = [
            _mm256_unpacklo_ps(rows[0], rows[1]),
            _mm256_unpackhi_ps(rows[0], rows[1]),
            _mm256_unpacklo_ps(rows[2], rows[3]),
            _mm256_unpackhi_ps(rows[2], rows[3]),
        ];
        [
            _mm256_shuffle_ps(pairs[0], pairs[2], 0x44),
            _mm256_shuffle_ps(pairs[0], pairs[2], 0xee),
            _mm256_shuffle_ps(pairs[1], pairs[3], 0x44),
            _mm256_shuffle_ps(pairs[1], pairs[3], 0xee),
        ]
    }

    /// Transposes 8 × 8 half-words in each of the two 128-bit lanes.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn transposed_u16(rows: [__m256i; 8]) -> [__m256i; 8] {
        let mut pairs = rows;
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn avx2_decodes_what_wider_vectors_decode() {
        let (rows, columns) = (20, 48);
        for element in ElementType::ALL.into_iter().filter(|_| x86::available()) {
            let bytes: Vec<u8> = (0..rows * columns * element.bytes()).map(|i| (i * 37 % 113) as u8).collect();
            let activations = Elements::new(&bytes, element, columns as u32);
            for tokens in [16, 3] {
                let mut widest = [[f32::NAN; LANES]; 2 * SQUARE];
                decode_transposed(activations, 2, tokens, 5, &mut widest);
                let mut squares = [[[f32::NAN; LANES]; SQUARE]; 2];
                // SAFETY: the processor was asked whether it has these instructions.
                unsafe { x86::decode_squares(activations, 2, tokens, 5, &mut squares) };
                assert_eq!(squares.as_flattened(), widest, "{element}, {tokens} tokens");
            }
        }
    }

    #[test]
    fn what_is_interleaved_comes_back() {
        for (rows, columns, stride, width) in
            [(1usize, 1usize, 1, 16), (16, 16, 20, 16), (20, 37, 40, 32), (32, 300, 300, 32)]
        {
            let values: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
            // With room for whole squares, as twins have it, and without.
            for room in [columns, columns.next_multiple_of(LANES)] {
                let mut lanes = vec![-1.0; room * width];
                interleave(&values, stride, columns, &mut lanes, width);
                for (j, lanes) in lanes.chunks_exact(width).take(columns).enumerate() {
                    let column = values.iter().skip(j).step_by(stride);
                    assert!(lanes.iter().zip(column).all(|(a, b)| a == b), "column {j} of {rows} × {columns}");
                }
                let mut back = vec![-1.0; rows * stride];
                deinterleave(&lanes, width, columns, &mut back, stride);
                for (back, row) in back.chunks_exact(stride).zip(values.chunks_exact(stride)) {
                    assert_eq!(back[..columns], row[..columns], "{rows} × {columns}");
                    assert!(back[columns..].iter().all(|&value| value == -1.0), "padding of {rows} × {columns}");
                }
            }
        }
    }
}
