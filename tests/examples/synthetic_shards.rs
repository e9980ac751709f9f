//! Writes synthetic activations as a folder of safetensors shards, as large as one likes, to try what does not fit in memory:
//!
//! `cargo run --release --example synthetic_shards -- FOLDER TOKENS NEURONS SHARDS`

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Planted directions, each a hundredth of the neurons.
const DIRECTIONS: u64 = 400;
/// Directions that are active in a token.
const ACTIVE: usize = 12;
/// Rows of noise that tokens take turns with: what is planted tells them apart.
const NOISE_ROWS: u64 = 251;
/// Rows that are made at once.
const ROWS_AT_ONCE: u64 = 2048;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tokens, neurons, shards] = arguments.as_slice() else {
        return Err("four arguments are needed: FOLDER TOKENS NEURONS SHARDS".into());
    };
    let (folder, tokens, neurons, shards): (PathBuf, u64, u64, u64) =
        (folder.into(), tokens.parse()?, neurons.parse()?, shards.parse()?);
    if neurons == 0 || shards == 0 || tokens < shards {
        return Err("at least one neuron, one shard and one token for each shard are needed".into());
    }
    fs::create_dir_all(&folder)?;
    let planted = Planted::new(neurons as usize);
    for shard in 0..shards {
        let rows = shard * tokens / shards..(shard + 1) * tokens / shards;
        let count = rows.end - rows.start;
        let bytes = count * neurons * 2;
        let mut header =
            format!(r#"{{"activations":{{"dtype":"F16","shape":[{count},{neurons}],"data_offsets":[0,{bytes}]}}}}"#);
        header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
        let name = format!("activations-{:05}-of-{shards:05}.safetensors", shard + 1);
        let mut out = BufWriter::with_capacity(1 << 22, File::create(folder.join(name))?);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for first in rows.clone().step_by(ROWS_AT_ONCE as usize) {
            let part: Vec<u64> = (first..(first + ROWS_AT_ONCE).min(rows.end)).collect();
            let made: Vec<Vec<u8>> = part.par_iter().map(|&token| planted.row(token)).collect();
            made.iter().try_for_each(|row| out.write_all(row))?;
        }
        out.flush()?;
    }
    Ok(())
}

/// What rows are made of.
struct Planted {
    noise: Vec<Vec<f32>>,
    directions: Vec<Vec<(usize, f32)>>,
}

impl Planted {
    fn new(neurons: usize) -> Self {
        let noise = |number: u64| {
            let mut rng = stream(number);
            (0..neurons).map(|_| rng.random_range(-1.0..1.0f32) * rng.random_range(-0.3..0.3f32)).collect()
        };
        let direction = |number: u64| {
            let mut rng = stream(NOISE_ROWS + number);
            let kept = (neurons / 100).max(1);
            (0..kept).map(|_| (rng.random_range(0..neurons), rng.random_range(-2.0..2.0f32))).collect()
        };
        Planted {
            noise: (0..NOISE_ROWS).into_par_iter().map(noise).collect(),
            directions: (0..DIRECTIONS).map(direction).collect(),
        }
    }

    /// A token's activations in f16, little-endian.
    fn row(&self, token: u64) -> Vec<u8> {
        let mut rng = stream(NOISE_ROWS + DIRECTIONS + token);
        let mut row = self.noise[rng.random_range(0..self.noise.len())].clone();
        for _ in 0..ACTIVE {
            let weight = rng.random_range(0.2..2.0f32);
            for &(neuron, value) in &self.directions[rng.random_range(0..self.directions.len())] {
                row[neuron] += weight * value;
            }
        }
        let mut halves = vec![f16::ZERO; row.len()];
        halves.convert_from_f32_slice(&row);
        halves.iter().flat_map(|half| half.to_le_bytes()).collect()
    }
}

/// A random stream of its own for each number.
fn stream(number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    rng.set_stream(number);
    rng
}
