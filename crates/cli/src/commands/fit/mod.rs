//! `unmix fit`: activations in, a folder with features and coefficients out.

mod args;
mod builder;
mod choices;
mod kept_runs;
mod request;
mod runs_check;
mod solver_args;
mod summary;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unmix::{ActivationSource, CheckpointReader, CheckpointSummary, SemiNmf, StopReason};
use unmix_data::{ActivationSet, CheckpointFolder, Claim, Error, check_target, read_fit, write_fit};
use unmix_fitting::{FitInput, Fitting, Planned, PlannedFit, Source, check_rank};

pub use self::args::FitArgs;
use self::args::NewFitArgs;
pub use self::builder::check_solver;
pub use self::choices::{InitOption, SolverOption};
use self::kept_runs::RunFolders;
use self::request::{BegunFit, Request};
pub use self::solver_args::SolverArgs;
use self::summary::summary;
use crate::activation_args::left_out;
use crate::failure::Failure;
use crate::memory_args::MemoryArgs;
use crate::output::{self, bytes, thousands};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;
use crate::{arguments, engine, interrupt};

/// Least time between two checkpoints, unless another one is given.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Runs the command.
pub fn run(args: &FitArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    match (&args.resume, &args.new) {
        (Some(dir), _) => resume(dir, &args.memory, shared, reporter),
        (None, Some(new)) => begin(args, new, shared, reporter),
        (None, None) => Err(Failure::Usage("fit: activations, --rank and --out are needed, or --resume".to_owned())),
    }
}

/// A fit that is ready to be computed.
struct Job<'a> {
    args: &'a NewFitArgs,
    memory: &'a MemoryArgs,
    shared: &'a SharedArgs,
    /// Folder of the result.
    out: PathBuf,
    /// Whether an earlier fit there is replaced.
    replace: bool,
    /// The command line with which the fit began.
    command_line: Vec<String>,
    activations: ActivationSet,
    start: Start,
}

/// Where a fit starts.
enum Start {
    /// A fit that begins.
    New(Box<Fitting>),
    /// A fit that goes on from the latest checkpoint in a folder. It began with activations of this fingerprint.
    Checkpoint { folder: Box<CheckpointFolder>, fingerprint: String },
}

/// Begins a fit. It refuses whatever can be refused before the long work.
fn begin(
    FitArgs { activations, solver, memory, .. }: &FitArgs,
    args: &NewFitArgs,
    shared: &SharedArgs,
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    builder::check(args, solver)?;
    runs_check::check(args, solver)?;
    check_target(&args.out, args.force)?;
    let activations = activations.open()?;
    check_rank(args.rank, &FitInput::Files(activations.clone()))?;
    let fitting = builder::fitting(args, solver, activations.tokens())?;
    if let Some(runs) = kept_runs(args, &args.out) {
        runs.check(args.force)?;
    }
    let command_line = arguments::texts();
    let (out, start) = (args.out.clone(), Start::New(Box::new(fitting)));
    compute(Job { args, memory, shared, out, replace: args.force, command_line, activations, start }, reporter)
}

/// Goes on with the unfinished fit of `dir`.
fn resume(dir: &Path, memory: &MemoryArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    if !shared.engine.is_default() {
        return Err(Failure::Usage(
            "--resume: a fit goes on with the engine that it began with; leave out --engine and --adapter".to_owned(),
        ));
    }
    let mut out = std::path::absolute(dir).map_err(|error| Failure::Usage(format!("{}: {error}", dir.display())))?;
    // The folder of the checkpoints stands for its fit.
    if out.extension().is_some_and(|end| end == "partial") && out.is_dir() {
        out.set_extension("");
    }
    let folder = match CheckpointFolder::resume(&out) {
        Err(Error::NoCheckpoint { .. }) if is_complete(&out) => return say_complete(&out, shared),
        folder => folder?,
    };
    let request = Request::parse(&folder)?;
    request.enter_directory()?;
    let BegunFit { activations, args, memory: begun_memory, shared: begun } = request.arguments()?;
    let memory = memory.or(&begun_memory);
    let activations = activations.open()?;
    // The engine and all other options of the fit come from its first command line. Only the options for output come
    // from this one.
    let shared = &SharedArgs { engine: begun.engine, ..shared.clone() };
    let (command_line, fingerprint) = (request.command_line(), request.fingerprint);
    let start = Start::Checkpoint { folder: Box::new(folder), fingerprint };
    compute(
        Job { args: &args, memory: &memory, shared, out, replace: true, command_line, activations, start },
        reporter,
    )
}

/// Whether a folder holds a fit that ended without an interruption.
fn is_complete(dir: &Path) -> bool {
    read_fit(dir).is_ok_and(|fit| fit.run.summary.stop_reason != StopReason::Interrupted)
}

/// Says that there is nothing to resume.
fn say_complete(dir: &Path, shared: &SharedArgs) -> Result<(), Failure> {
    if shared.json {
        return output::print_json(&read_fit(dir)?.run);
    }
    output::print(&format!("The fit {} is complete. There is nothing to resume.\n", dir.display()))
}

/// Computes the fit and writes the result.
fn compute(job: Job<'_>, reporter: &mut Reporter) -> Result<(), Failure> {
    let Job { args, memory, shared, out, replace, command_line, activations: file, start } = job;
    let engine = engine::open(&shared.engine, reporter)?;
    let (fitting, checkpoints) = match start {
        Start::New(fitting) => (*fitting, None),
        Start::Checkpoint { folder, fingerprint } => {
            let checkpoint = folder.latest()?;
            let CheckpointSummary { iterations, options, .. } = CheckpointSummary::of_header(checkpoint.header())?;
            reporter.stage(&format!("going on after iteration {iterations} of {}", options.max_iterations));
            (Fitting::Single(SemiNmf::resume(checkpoint)?), Some((*folder, fingerprint)))
        }
    };
    let fit = PlannedFit::new(engine.as_ref(), FitInput::Files(file.clone()), fitting, &memory.allowance())?;
    let (folder, began_with) = match checkpoints {
        Some((folder, fingerprint)) => (folder, Some(fingerprint)),
        None => (new_folder(args, &out, fit.source())?, None),
    };
    let (folder, claim) = match fit.fitting() {
        Fitting::Single(_) => (Some(folder), None),
        Fitting::Consensus { .. } => (None, Some(Claim::take(&folder)?)),
    };
    interrupt::catch(reporter.interrupt_notice());

    reporter.stage(&reading(&file, fit.planned()));
    if let Some(told) = left_out(file.left_out(), file.stored_tokens()) {
        reporter.stage(&format!("leaving out {told}"));
    }
    let source = fit.source().clone();
    let mut fit = fit.place()?;
    Failure::if_interrupted()?;
    if let Some(began_with) = began_with
        && began_with != source.fingerprint()?
    {
        return Err(Failure::Usage(format!(
            "{}: changed since the fit {} began (its fingerprint is another), so the fit cannot go on; start it anew, or put the \
             activations back",
            file.names(),
            out.display()
        )));
    }
    Failure::if_interrupted()?;
    if let Some(folder) = folder {
        fit = fit.checkpointed(args.checkpoint_every.unwrap_or(CHECKPOINT_EVERY), folder);
    }

    let options = fit.options();
    match fit.fitting().runs() {
        Some((runs, iterations)) => reporter.runs_start(runs, iterations, &options),
        None => reporter.fit_starts(&options),
    }
    // The fit holds the folder of checkpoints, and lets go of it at its end.
    let fit = fit.fit(|progress| {
        reporter.fit_progress(progress);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    reporter.fit_ends();
    let (record, run_records) = fit?.command_line(command_line).into_records();
    reporter.stage(&format!("writing {}", out.display()));
    write_fit(&out, &record, replace)?;
    let summed_up = record.run.summary.consensus.as_ref();
    let mut are_kept = true;
    let mut kept = String::new();
    if let Some(folders) = kept_runs(args, &out) {
        let count = folders.write(run_records, replace)?;
        are_kept = summed_up.is_some_and(|consensus| count == consensus.runs as usize);
        kept = match count {
            0 => ", and none of its runs is".to_owned(),
            count => format!(", and {count} of its runs in {}", folders.parent().display()),
        };
    }

    if shared.json {
        output::print_json(&record.run)?;
    } else {
        output::print(&summary(&record, &out))?;
    }
    if record.run.summary.stop_reason != StopReason::Interrupted && are_kept {
        // A consensus has no checkpoints. Its claim ends here.
        return if claim.is_some() { Ok(()) } else { Ok(CheckpointFolder::discard(&out)?) };
    }
    if let Some(consensus) = summed_up {
        return Err(Failure::Interrupted(format!(
            "interrupted; the consensus of {} runs of {} iterations each is saved in {}{kept}",
            consensus.runs,
            consensus.iterations_each,
            out.display()
        )));
    }
    let done = record.run.summary.iterations;
    let how = if CheckpointFolder::resume(&out).is_ok() {
        format!("; `unmix fit --resume {}` goes on from there", out.display())
    } else {
        String::new()
    };
    Err(Failure::Interrupted(format!(
        "interrupted after {done} of {} iterations; the best so far is saved in {}{how}",
        options.max_iterations,
        out.display()
    )))
}

/// The folders for the runs, if they are kept.
fn kept_runs(args: &NewFitArgs, out: &Path) -> Option<RunFolders> {
    let runs = args.runs.filter(|_| args.keep_runs)?;
    Some(RunFolders::beside(out, runs))
}

/// The folder for the checkpoints of a new fit.
fn new_folder(args: &NewFitArgs, out: &Path, source: &Source) -> Result<CheckpointFolder, Failure> {
    let source = source.clone();
    Ok(CheckpointFolder::begin(out, args.force, move || Request::of_this_process(source.fingerprint()?))?)
}

/// What is said when the activations are about to be read.
fn reading(file: &ActivationSet, planned: &Planned) -> String {
    let how = if planned.is_streamed() { "streaming" } else { "reading" };
    let mut text = format!(
        "{how} {}: {} tokens × {} neurons, {}",
        file.names(),
        thousands(file.tokens()),
        thousands(file.neurons()),
        file.element()
    );
    if planned.is_streamed() {
        text += &format!(
            "; {} in each pass, in {} of memory",
            bytes(FitInput::Files(file.clone()).bytes()),
            memory_words(planned)
        );
    }
    text
}

/// The memory of a fit in words.
pub fn memory_words(planned: &Planned) -> String {
    match planned.device_bytes() {
        0 => bytes(planned.host_bytes()),
        device => format!("{} of the device and {} of the host", bytes(device), bytes(planned.host_bytes())),
    }
}
