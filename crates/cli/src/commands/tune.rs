//! `unmix tune`: which variants of the kernels are the fastest on this GPU.

use clap::Args;
use serde_json::json;
use unmix::{AdapterChoice, ElementType, Engine, SemiNmf, Solver, WgpuEngine};
use unmix_fitting::tuning::{self, Choice, Key, Tuning};
use unmix_kernels::{Access, BufferId, Command, KERNELS, Kernel, Recording, Resource, Variant, Workspace};
use unmix_runtime::{Preference, Session, block_on};

use super::bench::synthetic::{Shape, synthetic};
use super::bench::timing::{begin, median, repeated};
use super::bench::words::short;
use super::bench::{ElementOption, SizeArgs};
use crate::engine::EngineOption;
use crate::failure::Failure;
use crate::output::{self, Style, Table};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;

/// Measure which variants of the kernels are the fastest on this GPU
///
/// Some kernels can be compiled in several ways. This command times each variant on synthetic activations. If one is
/// faster than the variant that unmix would choose, its name is stored in the cache folder of your account, and
/// commands that compute on this adapter use it. A variant whose results differ is never stored.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  unmix tune
  unmix tune --tokens 20000 --neurons 5120 --rank 200 --element f16
  unmix tune --show")]
pub struct TuneArgs {
    #[command(flatten)]
    pub size: SizeArgs,

    /// Only for activations of this type [default: every type]
    #[arg(long, value_enum, value_name = "TYPE")]
    pub element: Option<ElementOption>,

    /// How often each variant is timed; the median counts
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,

    /// Print what is stored, and measure nothing
    #[arg(long, conflicts_with = "forget")]
    pub show: bool,

    /// Delete what is stored
    #[arg(long)]
    pub forget: bool,
}

/// A variant and its time.
struct Timed {
    kernel: &'static str,
    element: ElementType,
    /// None for the engine's own choice, which may differ from dispatch to dispatch.
    variant: Option<&'static str>,
    seconds: f64,
    /// Whether the engine uses it from now on.
    chosen: bool,
}

/// How much faster than the engine's own choice a variant must be to replace it. Smaller differences are noise.
const MARGIN: f64 = 1.03;

/// Runs the command.
pub fn run(args: &TuneArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    if args.forget {
        return forget(shared);
    }
    if args.show {
        return show(shared);
    }
    args.size.check()?;
    let engine = open(shared)?;
    reporter.engine(&engine, "");
    let elements = match args.element {
        Some(element) => vec![element.element()],
        None => ElementType::ALL.to_vec(),
    };
    let mut timed = Vec::new();
    for element in elements {
        timed.extend(measure(args, &engine, element, reporter)?);
    }
    let key = Key::of(&engine);
    let chosen = timed.iter().filter(|timed| timed.chosen).filter_map(|timed| {
        Some(Choice {
            kernel: timed.kernel.to_owned(),
            element: timed.element.name().to_owned(),
            variant: timed.variant?.to_owned(),
            seconds: timed.seconds,
        })
    });
    let mut choices: Vec<Choice> = chosen.collect();
    // Measurements of other types from earlier are kept.
    if let Some(earlier) = tuning::stored().into_iter().find(|tuning| tuning.key == key) {
        let measured =
            |old: &Choice| timed.iter().any(|new| (new.kernel, new.element.name()) == (&*old.kernel, &*old.element));
        choices.extend(earlier.choices.into_iter().filter(|old| !measured(old)));
    }
    let path = tuning::store(Tuning { key: key.clone(), choices })?;
    if shared.json {
        return output::print_json(&json!({
            "unmix_version": key.unmix_version,
            "adapter": key.adapter,
            "driver": key.driver,
            "file": output::json_path(&path),
            "tokens": args.size.tokens,
            "neurons": args.size.neurons,
            "rank": args.size.rank,
            "variants": timed.iter().map(|timed| json!({
                "kernel": timed.kernel,
                "element": timed.element.name(),
                "variant": timed.variant,
                "seconds": timed.seconds,
                "chosen": timed.chosen,
            })).collect::<Vec<_>>(),
        }));
    }
    let style = Style::stdout();
    let mut table = Table::new(&["kernel", "operands", "variant", ">time", ""]);
    for timed in &timed {
        table.row(vec![
            timed.kernel.to_owned(),
            timed.element.name().to_owned(),
            timed.variant.unwrap_or("the engine's choice").to_owned(),
            short(timed.seconds),
            if timed.chosen { style.good("chosen") } else { String::new() },
        ]);
    }
    let found = if timed.is_empty() {
        "No kernel has more than one variant that this adapter can run.\n".to_owned()
    } else {
        table.render(style)
    };
    output::print(&format!("{found}\nStored in {}\n", output::path(&path)))
}

/// The adapter to tune: a GPU in hardware, unless a software renderer is asked for.
fn open(shared: &SharedArgs) -> Result<WgpuEngine, Failure> {
    let EngineOption::Auto = shared.engine.engine else {
        if shared.engine.engine == EngineOption::Cpu {
            return Err(Failure::Usage(
                "--engine cpu: the CPU engine has one variant of each kernel; there is nothing to tune".to_owned(),
            ));
        }
        return Ok(WgpuEngine::new(&choice(shared, true))?);
    };
    let software = shared.engine.adapter.is_some();
    WgpuEngine::new(&choice(shared, software)).map_err(|error| match error {
        unmix::RuntimeError::NoAdapter { .. } if !software => {
            Failure::NoDevice(format!("{error}; a software renderer is tuned with --engine gpu"))
        }
        other => other.into(),
    })
}

fn choice(shared: &SharedArgs, software: bool) -> AdapterChoice {
    AdapterChoice { name: shared.engine.adapter.clone(), software, ..Default::default() }
}

/// Times the variants of every kernel that reads operands of type `element` in fits of activations of that type.
fn measure(
    args: &TuneArgs,
    engine: &WgpuEngine,
    element: ElementType,
    reporter: &Reporter,
) -> Result<Vec<Timed>, Failure> {
    let mut open: Vec<(&'static Kernel, Vec<&'static Variant>)> = KERNELS
        .iter()
        .filter(|kernel| kernel.elements().contains(&element))
        .map(|kernel| (*kernel, engine.variants(kernel, element)))
        .filter(|(_, variants)| variants.len() > 1)
        .collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    reporter.stage(&format!("timing kernels on {element} activations"));
    let shape = Shape { tokens: args.size.tokens, neurons: args.size.neurons, rank: args.size.rank, element, seed: 0 };
    let activations = engine.load(&synthetic(&shape)?)?;
    let mut timed = Vec::new();
    // The usual fit has most kernels. If all neurons are kept, projections are dense.
    let usual = Solver::ALL.map(|solver| SemiNmf::new(args.size.rank).solver(solver));
    for builder in usual.into_iter().flat_map(|usual| [usual.clone(), usual.sparsity(1.0)]) {
        let iteration = builder.plan_iteration(activations.layout(), engine.limits())?;
        let commands_of = |kernel: &Kernel| -> Vec<Command> {
            let own = |command: &&Command| match command {
                Command::Dispatch(dispatch) => dispatch.kernel == kernel && dispatch.element == element,
                Command::Clear(_) | Command::Copy { .. } | Command::Reduce(_) => false,
            };
            iteration.recording.commands.iter().filter(own).cloned().collect()
        };
        let (here, later): (Vec<_>, Vec<_>) = open.into_iter().partition(|(kernel, _)| !commands_of(kernel).is_empty());
        open = later;
        if !here.is_empty() {
            let session = engine.open(&iteration.workspace, &activations)?;
            begin(shape.seed, session.as_ref(), &iteration)?;
            session.prepare(iteration.recording.clone())?.run()?;
            for (kernel, variants) in here {
                let recording = Recording { commands: commands_of(kernel) };
                let race = Race { args, engine, session: session.as_ref(), workspace: &iteration.workspace };
                timed.extend(race.run((kernel, element), &variants, &recording)?);
            }
        }
        if open.is_empty() {
            break;
        }
    }
    for (kernel, _) in open {
        log::info!("kernel {} on {element} occurs in no iteration and is left as it is", kernel.name);
    }
    Ok(timed)
}

/// Variants against each other.
struct Race<'a> {
    args: &'a TuneArgs,
    engine: &'a WgpuEngine,
    session: &'a dyn Session,
    workspace: &'a Workspace,
}

impl Race<'_> {
    /// Times `recording` as the engine runs it by itself, and with each variant of its only kernel that gives the same
    /// result.
    fn run(
        &self,
        (kernel, element): (&'static Kernel, ElementType),
        variants: &[&'static Variant],
        recording: &Recording,
    ) -> Result<Vec<Timed>, Failure> {
        // Some kernels compute in place. So each variant begins with what the first one found.
        let written = written(recording);
        let before = self.contents(&written)?;
        // This comes first, because a preference cannot be taken back.
        let expected = self.results(recording, &written, &before)?;
        let own = time(self.args.runs, self.session, recording)?;
        let mut timed = vec![Timed { kernel: kernel.name, element, variant: None, seconds: own, chosen: false }];
        for variant in variants {
            self.engine.prefer(&Preference {
                kernel: kernel.name.to_owned(),
                element: Some(element),
                variant: variant.name.to_owned(),
            })?;
            if !agree(&expected, &self.results(recording, &written, &before)?) {
                log::warn!(
                    "variant {} of {} computes something else on {element} here and is left alone; please report it",
                    variant.name,
                    kernel.name
                );
                continue;
            }
            let seconds = time(self.args.runs, self.session, recording)?;
            timed.push(Timed { kernel: kernel.name, element, variant: Some(variant.name), seconds, chosen: false });
        }
        let fastest = (0..timed.len()).min_by(|&a, &b| timed[a].seconds.total_cmp(&timed[b].seconds)).unwrap_or(0);
        let chosen = if timed[fastest].seconds * MARGIN < own { fastest } else { 0 };
        timed[chosen].chosen = true;
        Ok(timed)
    }

    /// What the recording writes, if its buffers hold `before` at first.
    fn results(&self, recording: &Recording, written: &[BufferId], before: &[Vec<u8>]) -> Result<Vec<f32>, Failure> {
        for (id, bytes) in written.iter().zip(before) {
            self.session.write(*id, 0, bytes)?;
        }
        self.session.prepare(recording.clone())?.run()?;
        let contents = self.contents(written)?.concat();
        Ok(contents.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// What buffers hold.
    fn contents(&self, buffers: &[BufferId]) -> Result<Vec<Vec<u8>>, Failure> {
        let bytes = |id: &BufferId| self.workspace.buffers[id.0 as usize].bytes;
        buffers.iter().map(|id| Ok(block_on(self.session.read(*id, 0, bytes(id)))?)).collect()
    }
}

/// The buffers that a recording writes.
fn written(recording: &Recording) -> Vec<BufferId> {
    let mut written: Vec<BufferId> = recording
        .dispatches()
        .flat_map(|dispatch| dispatch.bindings.iter().zip(dispatch.kernel.access))
        .filter_map(|(binding, access)| match (binding, access) {
            (Resource::Buffer(id), Access::ReadWrite) => Some(*id),
            _ => None,
        })
        .collect();
    written.sort_unstable_by_key(|id| id.0);
    written.dedup();
    written
}

/// Whether two results differ only by rounding, relative to the largest of the expected values.
fn agree(expected: &[f32], found: &[f32]) -> bool {
    const ROUNDING: f32 = 1e-4;
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    // NaN agrees with nothing.
    expected.iter().zip(found).all(|(a, b)| (a - b).abs() <= ROUNDING * largest)
}

/// Median seconds of a run.
fn time(runs: u32, session: &dyn Session, recording: &Recording) -> Result<f64, Failure> {
    let prepared = session.prepare(recording.clone())?;
    let mut seconds = Vec::new();
    for run in 0..=runs {
        let this = match block_on(prepared.time())? {
            Some(commands) => commands.iter().sum(),
            None => repeated(session, recording.clone())?,
        };
        // The first run warms up.
        if run > 0 {
            seconds.push(this);
        }
    }
    Ok(median(seconds))
}

fn show(shared: &SharedArgs) -> Result<(), Failure> {
    let stored = tuning::stored();
    if shared.json {
        return output::print_json(
            &json!({"file": tuning::path().as_deref().map(output::json_path), "tunings": stored}),
        );
    }
    if stored.is_empty() {
        return output::print("Nothing is stored. `unmix tune` measures the kernels' variants.\n");
    }
    let style = Style::stdout();
    let mut text = String::new();
    for tuning in &stored {
        let Key { unmix_version, adapter, driver } = &tuning.key;
        let heading = style.strong(adapter);
        text.push_str(&format!("{heading} (driver {driver}, unmix {unmix_version})\n"));
        let mut table = Table::new(&["  kernel", "operands", "variant", ">time"]);
        for choice in &tuning.choices {
            table.row(vec![
                format!("  {}", choice.kernel),
                choice.element.clone(),
                choice.variant.clone(),
                short(choice.seconds),
            ]);
        }
        text.push_str(&table.render(style));
        text.push('\n');
    }
    output::print(&text)
}

fn forget(shared: &SharedArgs) -> Result<(), Failure> {
    let forgotten = tuning::forget()?;
    if shared.json {
        return output::print_json(&json!({"forgotten": forgotten.as_deref().map(output::json_path)}));
    }
    match forgotten {
        Some(path) => output::print(&format!("Deleted {}\n", output::path(&path))),
        None => output::print("Nothing was stored.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_agree_up_to_rounding() {
        assert!(agree(&[1.0, -100.0, 0.0], &[1.005, -100.001, -0.005]));
        assert!(!agree(&[1.0, -100.0], &[1.02, -100.0]));
        assert!(!agree(&[1.0], &[f32::NAN]));
    }
}
