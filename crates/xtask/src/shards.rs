//! Synthetic activations in shards, to measure what is larger than memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::failure::Failure;

/// Sparse directions that the tokens are made of.
const DIRECTIONS: u64 = 64;

/// Writes the shards that the arguments ask for.
pub fn run(args: &[String]) -> Result<(), Failure> {
    let [folder, numbers @ ..] = args else {
        return Err(Failure::Usage("shards: a folder to write is needed".to_owned()));
    };
    let (mut tokens, mut neurons, mut shards) = (400_000u64, 14_336u64, 8u64);
    let mut numbers = numbers.iter();
    while let Some(option) = numbers.next() {
        let number = numbers.next().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
        let place = match option.as_str() {
            "--tokens" => &mut tokens,
            "--neurons" => &mut neurons,
            "--shards" => &mut shards,
            other => return Err(Failure::Usage(format!("shards: there is no option {other:?}"))),
        };
        *place = number.ok_or_else(|| Failure::Usage(format!("shards: {option} needs a number above 0")))?;
    }
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder).map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
    for shard in 0..shards {
        let rows = shard * tokens / shards..(shard + 1) * tokens / shards;
        let path = folder.join(format!("shard-{shard}.npy"));
        write(&path, rows, neurons).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Writes rows of f16 numbers.
fn write(path: &Path, rows: std::ops::Range<u64>, neurons: u64) -> std::io::Result<()> {
    let shape =
        format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({}, {neurons}), }}", rows.end - rows.start);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&118u16.to_le_bytes())?;
    file.write_all(format!("{shape:<117}\n").as_bytes())?;
    let mut row = Vec::new();
    for token in rows {
        row.clear();
        let mut random = Random(token);
        let direction = random.next() % DIRECTIONS;
        for neuron in 0..neurons {
            // Small noise, and larger numbers in the neurons of the token's direction.
            let exponent: u16 = if (neuron * 7 + direction * 13).is_multiple_of(DIRECTIONS) { 15 } else { 11 };
            let bits = random.next() as u16;
            // Sign and mantissa are random; those of a direction have the direction's signs.
            let sign = if exponent == 15 { ((neuron / DIRECTIONS) as u16 & 1) << 15 } else { bits & 0x8000 };
            row.extend((sign | exponent << 10 | bits & 0x03ff).to_le_bytes());
        }
        file.write_all(&row)?;
    }
    file.flush()
}

/// A generator of numbers that only need to look random (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
    }
}
