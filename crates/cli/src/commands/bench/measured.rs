//! Bandwidth and peak of the device at hand, measured with the engine's own kernels.

use std::borrow::Cow;

use bytes::Bytes;
use rand::RngExt;
use unmix::{CpuEngine, ElementType, Engine, EngineKind, HostActivations, RuntimeError};
use unmix_kernels::{Device, PARTIAL_WORDS, Precision, Recording, Summation, Workspace, cross_product, inner_product};
use unmix_runtime::{Session, block_on};

use super::args::BenchArgs;
use super::iteration;
use super::synthetic::{encode, stream};
use super::timing::repeated;
use crate::failure::Failure;

/// Bytes of each of the two matrices that are streamed. This is more than caches hold, and every device can bind it.
const STREAMED: u64 = 128 << 20;
/// How often a measurement is taken. The best one counts.
const RUNS: u32 = 5;
/// Largest side of the square of activations in the product.
const LARGEST: u32 = 4096;
/// Most features of the product on a CPU, so that their sums stay in its caches.
const CPU_FEATURES: u32 = 512;

/// The device behind an engine, as measured. The size of its cache is given, known or found out.
pub fn device(engine: &dyn Engine, args: &BenchArgs) -> Result<Device, Failure> {
    let peak = peak(engine, ElementType::F32, Precision::F32, args.seed)?;
    let product_peak = match args.element.element() {
        ElementType::F32 => peak,
        element => self::peak(engine, element, Precision::Bf16, args.seed)?.max(peak),
    };
    Ok(Device {
        name: Cow::Owned(engine.adapter().to_owned()),
        bandwidth: bandwidth(engine)?,
        peak,
        product_peak,
        cache_bytes: args.cache.map_or_else(|| cache_bytes(engine), |megabytes| u64::from(megabytes) * 1_000_000),
    })
}

/// Bytes per second: the better of reading two matrices and copying one.
fn bandwidth(engine: &dyn Engine) -> Result<f64, Failure> {
    let mut workspace = Workspace::default();
    let columns = 8192;
    let rows = (STREAMED / (u64::from(columns) * 4)) as u32;
    let (a, b) = (workspace.matrix("a", rows, columns), workspace.matrix("b", rows, columns));
    let partials = workspace.words("partials", PARTIAL_WORDS.into());
    let one = engine.load(&HostActivations::from_f32(vec![1.0], 1, 1)?)?;
    let session = engine.open(&workspace, &one)?;
    let mut rng = stream(0, 0);
    let some: Vec<u8> = (0..1 << 18).flat_map(|_| rng.random::<f32>().to_le_bytes()).collect();
    for matrix in [a, b] {
        for offset in (0..STREAMED).step_by(some.len()) {
            session.write(matrix.buffer(), offset, &some)?;
        }
    }
    let mut read = Recording::new();
    inner_product(&mut read, a, b, partials, false);
    let mut copied = Recording::new();
    copied.copy(a.buffer(), b.buffer(), STREAMED);
    let mut best = f64::INFINITY;
    // Each of them moves 2 × `STREAMED` bytes.
    for recording in [read, copied] {
        best = best.min(fastest(session.as_ref(), &recording)?);
    }
    Ok(2.0 * STREAMED as f64 / best)
}

/// FLOPs per second of a cross product of that precision, which grows until it takes long enough. On the CPU also of
/// faer's dense product.
fn peak(engine: &dyn Engine, element: ElementType, precision: Precision, seed: u64) -> Result<f64, Failure> {
    const LONG_ENOUGH: f64 = 0.05;
    let summation = Summation { precision, split: None };
    let mut size = 512;
    loop {
        let source = square(size, element, seed)?;
        let activations = engine.load(&source)?;
        let layout = activations.layout();
        let mut workspace = Workspace::default();
        let features = if engine.kind() == EngineKind::Cpu { size.min(CPU_FEATURES) } else { size };
        let out = workspace.matrix("out", features, size);
        let mut recording = Recording::new();
        let mut coefficients = Vec::new();
        for panel in 0..layout.panels() {
            let x = layout.panel(panel);
            let y = workspace.matrix("coefficients", x.rows, features);
            cross_product(&mut recording, x, y, out, 1.0, panel > 0, summation);
            coefficients.push(y);
        }
        let session = engine.open(&workspace, &activations)?;
        let mut rng = stream(seed, 1);
        let values: Vec<f32> = (0..u64::from(size) * u64::from(features)).map(|_| rng.random()).collect();
        let mut first = 0;
        for y in coefficients {
            // The features are a multiple of 4, so rows have no padding.
            let count = y.elements() as usize;
            let bytes: Vec<u8> = values[first..first + count].iter().flat_map(|value| value.to_le_bytes()).collect();
            session.write(y.buffer(), 0, &bytes)?;
            first += count;
        }
        let mut seconds = fastest(session.as_ref(), &recording)?;
        if engine.kind() == EngineKind::Cpu {
            seconds = seconds.min(iteration::product(&source, &values, features as usize));
        }
        if seconds >= LONG_ENOUGH || size >= LARGEST {
            return Ok(recording.flops() as f64 / seconds);
        }
        size *= 2;
    }
}

/// Seconds of the fastest run.
fn fastest(session: &dyn Session, recording: &Recording) -> Result<f64, RuntimeError> {
    let prepared = session.prepare(recording.clone())?;
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let seconds = match block_on(prepared.time())? {
            Some(seconds) => seconds.iter().sum(),
            None => repeated(session, recording.clone())?,
        };
        // If the clock stood still, it has measured nothing.
        if seconds > 0.0 {
            best = best.min(seconds);
        }
    }
    if best.is_finite() { Ok(best) } else { repeated(session, recording.clone()) }
}

fn square(size: u32, element: ElementType, seed: u64) -> Result<HostActivations, unmix::Error> {
    let mut rng = stream(seed, 2);
    let values: Vec<f32> = (0..u64::from(size) * u64::from(size)).map(|_| rng.random::<f32>() - 0.5).collect();
    let mut bytes = vec![0; values.len() * element.bytes()];
    encode(element, &values, &mut bytes);
    HostActivations::from_bytes(Bytes::from(bytes), element, size.into(), size.into())
}

/// The size of the last-level cache: that of a known GPU, or of the processor. 0 if unknown.
fn cache_bytes(engine: &dyn Engine) -> u64 {
    match engine.kind() {
        EngineKind::Gpu => Device::of_adapter(engine.adapter()).map_or(0, |device| device.cache_bytes),
        EngineKind::Cpu => CpuEngine::last_level_cache().unwrap_or(0),
    }
}
