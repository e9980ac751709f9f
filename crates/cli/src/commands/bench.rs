//! `unmix bench`: the time of an iteration against that of its one dense product.

use std::ops::ControlFlow;
use std::time::Instant;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use half::{bf16, f16};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::json;
use unmix::{ActivationSource, ElementType, HostActivations, SemiNmf};

use super::fit::SolverOption;
use crate::cli::SharedArgs;
use crate::failure::Failure;
use crate::output::{self, Style, Table, bytes, duration, thousands};
use crate::progress::Reporter;
use crate::{engine, memory};

/// Measure the speed of an iteration on this machine
///
/// Fits synthetic activations and compares the time of an iteration with that of the one dense product in it (coefficients
/// transposed × activations), computed by the library faer on all cores: the least that an iteration could cost on this CPU.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  unmix bench --tokens 7500 --neurons 14336 --rank 100")]
pub struct BenchArgs {
    /// Rows of the activations
    #[arg(long, default_value_t = 7500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub tokens: u32,

    /// Columns of the activations
    #[arg(long, default_value_t = 14336, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub neurons: u32,

    /// Number of features
    #[arg(long, short = 'k', default_value_t = 100, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub rank: u32,

    /// Type of the activations
    #[arg(long, value_enum, default_value_t, value_name = "TYPE")]
    pub element: ElementOption,

    /// Iterations that are timed, after a first one that is not
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub iterations: u32,

    /// The solver
    #[arg(long, value_enum, default_value_t, value_name = "SOLVER")]
    pub solver: SolverOption,

    /// Share of the neurons that each feature keeps
    #[arg(long, short = 'p', default_value_t = 0.01, value_name = "SHARE", value_parser = super::fit::share)]
    pub sparsity: f64,

    /// Seed of the activations
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// Types of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ElementOption {
    /// Half precision
    #[default]
    F16,
    /// bfloat16
    Bf16,
    /// Single precision
    F32,
}

/// Times that the product alone is measured.
const PRODUCTS: usize = 5;

/// Runs the command.
pub fn run(args: &BenchArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    if args.rank > args.tokens.min(args.neurons) {
        let most = args.tokens.min(args.neurons);
        return Err(Failure::Usage(format!(
            "--rank {}: {} tokens × {} neurons allow a rank from 1 to {most}",
            args.rank, args.tokens, args.neurons
        )));
    }
    let engine = engine::open(&shared.engine, reporter)?;
    let before = memory::peak_bytes();
    reporter.stage(&format!(
        "making {} × {} activations",
        thousands(args.tokens.into()),
        thousands(args.neurons.into())
    ));
    let source = synthetic(args)?;
    let size = u64::from(args.tokens) * u64::from(args.neurons) * source.element().bytes() as u64;
    let activations = engine.load(&source)?;
    let builder = SemiNmf::new(args.rank)
        .sparsity(args.sparsity)
        .solver(args.solver.solver())
        .max_iterations(args.iterations + 1)
        .tolerance(0.0);
    reporter.fit_starts(builder.options().init.name(), args.iterations + 1);
    let mut stamps = Vec::new();
    let fit = builder.fit_with(engine.as_ref(), &activations, |progress| {
        stamps.push(progress.seconds);
        reporter.iteration(progress);
        ControlFlow::Continue(())
    });
    reporter.fit_ends();
    let fit = fit?;
    // Before the product's own copies are made.
    let peak = memory::peak_bytes();
    // stamps[0] is the start; the first iteration warms up.
    let iteration = median(stamps.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect());
    let start = stamps.first().copied().unwrap_or_default();

    reporter.stage("measuring the dense product alone");
    let product = product(&source, &fit.coefficients.values, args.rank as usize)?;
    let flops = 2.0 * f64::from(args.tokens) * f64::from(args.neurons) * f64::from(args.rank);
    let gflops = flops / product / 1e9;
    let statistics = &fit.summary.feature_statistics;
    let active = statistics.iter().map(|s| s.active_share).sum::<f64>() / statistics.len() as f64;
    let (kind, adapter) = (engine.kind().name(), engine.adapter());

    if shared.json {
        return output::print_json(&json!({
            "engine": kind,
            "adapter": adapter,
            "threads": rayon::current_num_threads(),
            "tokens": args.tokens,
            "neurons": args.neurons,
            "rank": args.rank,
            "sparsity": args.sparsity,
            "element": source.element().name(),
            "solver": args.solver.solver().name(),
            "start_seconds": start,
            "iteration_seconds": iteration,
            "product_seconds": product,
            "product_gflops": gflops,
            "iteration_per_product": iteration / product,
            "activations_bytes": size,
            "memory_before_bytes": before,
            "peak_memory_bytes": peak,
            "peak_memory_per_activations": peak.map(|peak| peak as f64 / size as f64),
            "active_share": active,
            "relative_error": fit.summary.relative_error,
        }));
    }
    let style = Style::stdout();
    let mut table = Table::new(&["", ""]);
    let mut fact = |name: &str, text: String| table.row(vec![name.to_owned(), text]);
    fact(
        "activations",
        format!(
            "{} tokens × {} neurons, {}, {}",
            thousands(args.tokens.into()),
            thousands(args.neurons.into()),
            source.element(),
            bytes(size)
        ),
    );
    fact(
        "fit",
        format!(
            "{} features, solver {}, {} of the coefficients above zero, relative error {:.3}",
            args.rank,
            args.solver.solver().name(),
            output::percent(active),
            fit.summary.relative_error
        ),
    );
    fact("engine", format!("{kind} ({adapter})"));
    fact("start", format!("{}, once", duration(start)));
    fact("iteration", format!("{}, median of {}", milliseconds(iteration), args.iterations));
    fact("dense product alone", format!("{} (CPU, {gflops:.0} GFLOP/s), median of {PRODUCTS}", milliseconds(product)));
    fact("iteration / product", style.strong(&format!("{:.2}", iteration / product)));
    if let (Some(peak), Some(before)) = (peak, before) {
        let share = peak as f64 / size as f64;
        let before = bytes(before);
        fact(
            "peak memory",
            format!("{}, {share:.2} times the activations; {before} before there were any", bytes(peak)),
        );
    }
    output::print(&table.render(style))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// Median of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Planted directions for each feature of the fit: so many that the features have to share them out, as in real activations.
/// With one a feature the fit would be too good, its coefficients sparse, and an iteration faster than it ever is.
const DIRECTIONS: usize = 4;
/// Directions active in a token.
const ACTIVE: usize = 12;

/// Activations as a gated MLP makes them: noise of heavy tails, and in each token some of the planted directions.
fn synthetic(args: &BenchArgs) -> Result<HostActivations, Failure> {
    let (tokens, neurons) = (args.tokens as usize, args.neurons as usize);
    let element = match args.element {
        ElementOption::F16 => ElementType::F16,
        ElementOption::Bf16 => ElementType::Bf16,
        ElementOption::F32 => ElementType::F32,
    };
    let size = tokens * neurons * element.bytes();
    let mut data: Vec<u8> = Vec::new();
    data.try_reserve_exact(size).map_err(|_| {
        Failure::Memory(format!("{} for activations cannot be had; use fewer tokens or neurons", bytes(size as u64)))
    })?;
    data.resize(size, 0);

    let planted = (neurons / 100).max(1);
    let direction = |k: usize| -> Vec<(usize, f32)> {
        let mut rng = stream(args.seed, u64::MAX - k as u64);
        (0..planted).map(|_| (rng.random_range(0..neurons), rng.random_range(-2.0..2.0))).collect()
    };
    let directions: Vec<_> = (0..DIRECTIONS * args.rank as usize).map(direction).collect();
    data.par_chunks_mut(neurons * element.bytes()).zip(rows(args.seed, tokens)).for_each_init(
        || vec![0f32; neurons],
        |row, (bytes, mut rng)| {
            for pair in row.chunks_mut(4) {
                // A product of two uniform numbers: cheap, signed, heavier in the tails than either. Four from one word.
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

/// A random stream for each row, so that rows can be made on all cores.
fn rows(seed: u64, count: usize) -> impl IndexedParallelIterator<Item = ChaCha8Rng> {
    (0..count).into_par_iter().map(move |row| stream(seed, row as u64))
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

fn encode(element: ElementType, values: &[f32], out: &mut [u8]) {
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

/// Seconds of XᵀY in f32 by faer, with the output [d, K] column after column: the orientation in which it is fastest.
fn product(source: &HostActivations, coefficients: &[f32], rank: usize) -> Result<f64, Failure> {
    let (tokens, neurons, element) = (source.tokens() as usize, source.neurons() as usize, source.element());
    let mut x: Vec<f32> = Vec::new();
    x.try_reserve_exact(tokens * neurons).map_err(|_| {
        Failure::Memory("no memory for an f32 copy of the activations; use fewer tokens or neurons".to_owned())
    })?;
    x.resize(tokens * neurons, 0.0);
    if let Some(bytes) = source.shared() {
        x.par_chunks_mut(neurons)
            .zip(bytes.par_chunks(neurons * element.bytes()))
            .for_each(|(values, bytes)| element.decode(bytes, values));
    }
    let x = MatRef::from_column_major_slice(&x, neurons, tokens);
    let y = MatRef::from_row_major_slice(coefficients, tokens, rank);
    let mut out = Mat::<f32>::zeros(neurons, rank);
    let mut seconds = Vec::new();
    for run in 0..=PRODUCTS {
        let started = Instant::now();
        matmul(out.as_mut(), Accum::Replace, x, y, 1.0, Par::rayon(0));
        if run > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    std::hint::black_box(&out);
    Ok(median(seconds))
}
