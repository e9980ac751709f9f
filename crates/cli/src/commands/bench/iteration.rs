//! The time of an iteration, compared with that of its one dense product.

use std::ops::ControlFlow;
use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use serde_json::json;
use unmix::{ActivationSource, HostActivations};
use unmix_fitting::memory;

use super::args::BenchArgs;
use super::synthetic::synthetic;
use super::timing::median;
use super::words::milliseconds;
use crate::engine;
use crate::failure::Failure;
use crate::output::{self, Style, Table, bytes, duration, thousands};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;

/// How often the product alone is measured.
const PRODUCTS: usize = 5;

/// Measures, and says how the times compare.
pub fn run(args: &BenchArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    let engine = engine::open(&shared.engine, reporter)?;
    let before = memory::peak_bytes();
    reporter.stage(&format!(
        "making {} × {} activations",
        thousands(args.size.tokens.into()),
        thousands(args.size.neurons.into())
    ));
    let source = synthetic(&args.shape())?;
    let size = u64::from(args.size.tokens) * u64::from(args.size.neurons) * source.element().bytes() as u64;
    let activations = engine.load(&source)?;
    let builder = args.fit().max_iterations(args.iterations + 1).tolerance(0.0);
    reporter.fit_starts(&builder.options(args.size.neurons));
    let fit = builder.fit_with(engine.as_ref(), &activations, |progress| {
        reporter.fit_progress(progress);
        ControlFlow::Continue(())
    });
    reporter.fit_ends();
    let fit = fit?;
    // The peak is read before the product makes copies of its own.
    let peak = memory::peak_bytes();
    // The first iteration warms up.
    let iteration = median(fit.summary.seconds_curve.windows(2).map(|pair| pair[1] - pair[0]).collect());
    let start = fit.summary.start_seconds;

    reporter.stage("measuring the dense product alone");
    let product = product(&source, &fit.coefficients.values, args.size.rank as usize);
    let flops = 2.0 * f64::from(args.size.tokens) * f64::from(args.size.neurons) * f64::from(args.size.rank);
    let gflops = flops / product / 1e9;
    let statistics = &fit.summary.feature_statistics;
    let active = statistics.iter().map(|s| s.active_share).sum::<f64>() / statistics.len() as f64;
    let (kind, adapter) = (engine.kind().name(), engine.adapter());

    if shared.json {
        return output::print_json(&json!({
            "engine": kind,
            "adapter": adapter,
            "threads": rayon::current_num_threads(),
            "tokens": args.size.tokens,
            "neurons": args.size.neurons,
            "rank": args.size.rank,
            "sparsity": args.sparsity(),
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
            thousands(args.size.tokens.into()),
            thousands(args.size.neurons.into()),
            source.element(),
            bytes(size)
        ),
    );
    fact(
        "fit",
        format!(
            "{} features, solver {}, {} of the coefficients above zero, relative error {:.3}",
            args.size.rank,
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

/// Seconds of XᵀY in f32 by faer. The output [d, K] is column-major, which is the orientation in which it is fastest.
pub fn product(source: &HostActivations, coefficients: &[f32], rank: usize) -> f64 {
    let (tokens, neurons, element) = (source.tokens() as usize, source.neurons() as usize, source.element());
    let mut x = vec![0f32; tokens * neurons];
    if let Some(bytes) = source.shared_rows(0..source.tokens()) {
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
    median(seconds)
}
