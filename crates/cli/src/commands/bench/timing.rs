//! Recordings timed by the host's clock.

use std::time::Instant;

use rand::RngExt;
use unmix::{Iteration, RuntimeError};
use unmix_kernels::Recording;
use unmix_runtime::{Session, block_on};

use super::synthetic::stream;

/// Writes random coefficients, and computes what follows from them before the first iteration.
pub fn begin(seed: u64, session: &dyn Session, iteration: &Iteration) -> Result<(), RuntimeError> {
    let mut rng = stream(seed, 1 << 40);
    for y in &iteration.coefficients {
        let mut values = vec![0f32; y.elements() as usize];
        for row in values.chunks_exact_mut(y.stride as usize) {
            row[..y.columns as usize].iter_mut().for_each(|value| *value = rng.random());
        }
        session.write(
            y.buffer(),
            0,
            values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().as_slice(),
        )?;
    }
    session.prepare(iteration.start.clone())?.run()
}

/// Seconds of a run of `recording`, by the host's clock. There are so many runs between two waits that the waits do not
/// matter.
pub fn repeated(session: &dyn Session, recording: Recording) -> Result<f64, RuntimeError> {
    const LONG_ENOUGH: f64 = 0.1;
    let prepared = session.prepare(recording)?;
    let wait = || block_on(session.read(unmix_kernels::BufferId(0), 0, 4));
    wait()?;
    let mut runs = 1u32;
    loop {
        let started = Instant::now();
        for _ in 0..runs {
            prepared.run()?;
        }
        wait()?;
        let elapsed = started.elapsed().as_secs_f64();
        if elapsed >= LONG_ENOUGH || runs >= 1 << 16 {
            return Ok(elapsed / f64::from(runs));
        }
        runs *= 4;
    }
}

/// Median of at least one value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
