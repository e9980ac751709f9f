//! Times every kernel of an iteration on the engine at hand, and compares it with what its measured bandwidth and peak
//! allow.

use serde_json::{Value, json};
use unmix::{Activations, Engine, Iteration};
use unmix_kernels::{Recording, Stage, stages};
use unmix_runtime::block_on;

use super::args::BenchArgs;
use super::measured;
use super::roofline::{device_json, stage_json};
use super::synthetic::synthetic;
use super::timing::{begin, median, repeated};
use super::words::{panels, short};
use crate::engine;
use crate::failure::Failure;
use crate::output::{self, Style, Table, percent, thousands};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;

/// Measures each stage, and prints its share of the roofline.
pub fn run(args: &BenchArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    let engine = engine::open(&shared.engine, reporter)?;
    reporter.stage("measuring bandwidth and peak");
    let device = measured::device(engine.as_ref(), args)?;
    reporter.stage("measuring the stages of an iteration");
    let activations = engine.load(&synthetic(&args.shape())?)?;
    let iteration = args.fit().plan_iteration(activations.layout(), engine.limits())?;
    let traffic = iteration.recording.steady_traffic(&iteration.workspace, device.cache_bytes);
    let stages = stages(&iteration.recording, &iteration.workspace, &traffic, &device);
    let (seconds, clock) = time(args, engine.as_ref(), &activations, &iteration, &stages)?;
    let whole: f64 = seconds.iter().sum();
    let least: f64 = stages.iter().map(|stage| stage.seconds).sum();
    let element = args.element.element();
    if shared.json {
        let stages = stages.iter().zip(&seconds).map(|(stage, &seconds)| stage_timed_json(stage, seconds, whole));
        return output::print_json(&json!({
            "engine": engine.kind().name(),
            "adapter": engine.adapter(),
            "device": device_json(&device),
            "clock": clock,
            "tokens": args.size.tokens,
            "neurons": args.size.neurons,
            "rank": args.size.rank,
            "sparsity": args.sparsity(),
            "element": element.name(),
            "solver": args.solver.solver().name(),
            "panels": activations.layout().panels(),
            "panel_rows": activations.layout().panel_rows,
            "iterations": args.iterations,
            "stages": stages.collect::<Vec<_>>(),
            "seconds": whole,
            "roofline_seconds": least,
            "share_of_roofline": least / whole,
        }));
    }
    let style = Style::stdout();
    let mut table = Table::new(&[
        "kernel",
        "writes",
        ">launches",
        ">time",
        ">of all",
        ">GB/s",
        ">GFLOP/s",
        ">roofline",
        ">reached",
        "bound",
    ]);
    for (stage, &seconds) in stages.iter().zip(&seconds) {
        table.row(vec![
            stage.kernel.to_owned(),
            stage.writes.clone(),
            stage.commands.len().to_string(),
            short(seconds),
            percent(seconds / whole),
            format!("{:.1}", (stage.from_memory + stage.to_memory) as f64 / seconds / 1e9),
            format!("{:.1}", stage.flops as f64 / seconds / 1e9),
            short(stage.seconds),
            percent(stage.seconds / seconds),
            stage.bound.name().to_owned(),
        ]);
    }
    output::print(&format!(
        "An iteration of {} on {} tokens × {} neurons ({element}), {} features, in {}, on {},\n\
         which moves {:.1} GB/s and computes {:.1} GFLOP/s in f32 and {:.1} in products of {element}, all measured here;\n\
         {:.0} MB of cache. Times by {clock}, median of {}.\n\n{}\n\
         Together {}; at the roofline {}, which is {}.\n",
        args.solver.solver().name(),
        thousands(args.size.tokens.into()),
        thousands(args.size.neurons.into()),
        args.size.rank,
        panels(activations.layout()),
        output::engine(engine.as_ref()),
        device.bandwidth / 1e9,
        device.peak / 1e9,
        device.product_peak / 1e9,
        device.cache_bytes as f64 / 1e6,
        args.iterations,
        table.render(style),
        short(whole),
        short(least),
        style.strong(&percent(least / whole)),
    ))
}

fn stage_timed_json(stage: &Stage, seconds: f64, whole: f64) -> Value {
    let mut value = stage_json(stage);
    value["roofline_seconds"] = json!(stage.seconds);
    value["seconds"] = json!(seconds);
    value["share_of_iteration"] = json!(seconds / whole);
    value["share_of_roofline"] = json!(stage.seconds / seconds);
    value
}

/// Iterations before the measurement. In the first ones the coefficients are those of the start, few of which are zero.
const FIRST_ITERATIONS: u32 = 5;

/// Seconds of each stage, and the clock that measured them.
fn time(
    args: &BenchArgs,
    engine: &dyn Engine,
    activations: &Activations,
    iteration: &Iteration,
    stages: &[Stage],
) -> Result<(Vec<f64>, &'static str), Failure> {
    let session = engine.open(&iteration.workspace, activations)?;
    let session = session.as_ref();
    let whole = session.prepare(iteration.recording.clone())?;
    let settle = || {
        begin(args.seed, session, iteration)?;
        (0..FIRST_ITERATIONS).try_for_each(|_| whole.run())
    };
    settle()?;
    let mut runs = Vec::new();
    for run in 0..=args.iterations {
        let Some(seconds) = block_on(whole.time())? else { break };
        // The first run warms up.
        if run > 0 {
            runs.push(seconds);
        }
    }
    if !runs.is_empty() {
        let of = |stage: &Stage, seconds: &[f64]| stage.commands.iter().map(|&command| seconds[command]).sum();
        let medians = stages.iter().map(|stage| median(runs.iter().map(|seconds| of(stage, seconds)).collect()));
        // A clock may be too coarse for the smallest kernels.
        return Ok((medians.map(|seconds| seconds.max(1e-9)).collect(), clock(engine)));
    }
    let mut seconds = Vec::new();
    for stage in stages {
        // Repeating a stage leaves values that no iteration has, so each stage begins anew.
        settle()?;
        let commands = stage.commands.iter().map(|&command| iteration.recording.commands[command].clone()).collect();
        let runs = (0..args.iterations).map(|_| repeated(session, Recording { commands: Vec::clone(&commands) }));
        seconds.push(median(runs.collect::<Result<_, _>>()?));
    }
    Ok((seconds, "the host's clock, each stage many times in a row"))
}

fn clock(engine: &dyn Engine) -> &'static str {
    match engine.kind() {
        unmix::EngineKind::Cpu => "the host's clock",
        unmix::EngineKind::Gpu => "the device's timestamps",
    }
}
