//! Synthetic activations.

use bytes::Bytes;
use half::{bf16, f16};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use unmix::{ElementType, HostActivations};

use crate::failure::Failure;

/// Size and type of synthetic activations.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Rows.
    pub tokens: u32,
    /// Columns.
    pub neurons: u32,
    /// Number of features of the fit that the activations are for.
    pub rank: u32,
    /// Storage type.
    pub element: ElementType,
    /// Seed.
    pub seed: u64,
}

/// Planted directions for each feature of the fit. There are so many that the features have to share them, as in real
/// activations. With one direction for each feature, the fit would be too good, its coefficients too sparse, and an
/// iteration faster than it ever is.
const DIRECTIONS: usize = 4;
/// Directions active in a token.
const ACTIVE: usize = 12;

/// Activations similar to those of a gated MLP: noise with heavy tails, and in each token some of the planted
/// directions.
pub fn synthetic(shape: &Shape) -> Result<HostActivations, Failure> {
    let (tokens, neurons) = (shape.tokens as usize, shape.neurons as usize);
    let element = shape.element;
    let mut data = vec![0u8; tokens * neurons * element.bytes()];

    let planted = (neurons / 100).max(1);
    let direction = |k: usize| -> Vec<(usize, f32)> {
        let mut rng = stream(shape.seed, u64::MAX - k as u64);
        (0..planted).map(|_| (rng.random_range(0..neurons), rng.random_range(-2.0..2.0))).collect()
    };
    let directions: Vec<_> = (0..DIRECTIONS * shape.rank as usize).map(direction).collect();
    data.par_chunks_mut(neurons * element.bytes()).zip(rows(shape.seed, tokens)).for_each_init(
        || vec![0f32; neurons],
        |row, (bytes, mut rng)| {
            for pair in row.chunks_mut(4) {
                // A product of two uniform numbers is cheap, signed, and has heavier tails than either. One word gives
                // four of them.
                let word: u64 = rng.random();
                for (i, value) in pair.iter_mut().enumerate() {
                    let (a, b) = ((word >> (16 * i)) as u8 as i8, (word >> (16 * i + 8)) as u8 as i8);
                    *value = f32::from(a) * f32::from(b) * (0.3 / 16384.0);
                }
            }
            for _ in 0..ACTIVE {
                let direction = &directions[rng.random_range(0..directions.len())];
                let weight = rng.random_range(0.2..2.0f32);
                direction.iter().for_each(|&(neuron, value)| row[neuron] += weight * value);
            }
            encode(element, row, bytes);
        },
    );
    Ok(HostActivations::from_bytes(Bytes::from(data), element, tokens as u64, neurons as u64)?)
}

/// One random stream for each row, so that rows can be made on all cores.
fn rows(seed: u64, count: usize) -> impl IndexedParallelIterator<Item = ChaCha8Rng> {
    (0..count).into_par_iter().map(move |row| stream(seed, row as u64))
}

/// The random stream of that number.
pub fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// Little-endian elements.
pub fn encode(element: ElementType, values: &[f32], out: &mut [u8]) {
    match element {
        ElementType::F32 => out.as_chunks_mut().0.iter_mut().zip(values).for_each(|(out, v)| *out = v.to_le_bytes()),
        ElementType::F16 => {
            out.as_chunks_mut().0.iter_mut().zip(values).for_each(|(out, v)| *out = f16::from_f32(*v).to_le_bytes());
        }
        ElementType::Bf16 => {
            out.as_chunks_mut().0.iter_mut().zip(values).for_each(|(out, v)| *out = bf16::from_f32(*v).to_le_bytes());
        }
    }
}
