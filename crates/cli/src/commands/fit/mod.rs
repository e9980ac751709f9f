//! `unmix fit`: activations in, a folder with features and coefficients out.

mod args;
mod builder;
mod choices;
mod kept_runs;
mod runs_check;
mod solver_args;
mod summary;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use unmix::{
    ActivationSource, Alone, CheckpointReader, CheckpointSummary, Communicator, Distribution, Engine, StopReason,
};
use unmix_data::{ActivationSet, CheckpointFolder, Error, check_target, read_fit, shell_word, write_fit};
use unmix_fitting::{
    BegunFit, Device, FitInput, Fitting, MemoryAllowance, Planned, PlannedFit, Request, check_rank, going_on,
};

pub use self::args::FitArgs;
use self::args::NewFitArgs;
pub use self::builder::check_solver;
pub use self::choices::{InitOption, SolverOption};
use self::kept_runs::RunFolders;
pub use self::solver_args::SolverArgs;
use self::summary::summary;
use crate::activation_args::{left_out, open as open_files};
use crate::failure::Failure;
use crate::memory_args::MemoryArgs;
use crate::output::{self, bytes, thousands};
use crate::progress::Reporter;
use crate::ranks::Ranks;
use crate::shared_args::SharedArgs;
use crate::{arguments, engine, interrupt};

/// Runs the command.
pub fn run(args: &FitArgs, shared: &SharedArgs, reporter: &mut Reporter, ranks: Option<&Ranks>) -> Result<(), Failure> {
    let job = match (&args.resume, &args.new) {
        (Some(dir), _) => resume(dir, &args.memory, shared, ranks),
        (None, Some(new)) => begin(args, new, shared, ranks).map(Some),
        (None, None) => Err(Failure::Usage("fit: activations, --rank and --out are needed, or --resume".to_owned())),
    };
    match together(ranks, job)? {
        Some(job) => compute(job, reporter),
        None => Ok(()),
    }
}

/// The result of this process, if all that compute together succeed.
fn together<T>(ranks: Option<&Ranks>, result: Result<T, Failure>) -> Result<T, Failure> {
    match ranks {
        Some(ranks) => ranks.together(result),
        None => result,
    }
}

/// A fit that is ready to be computed.
struct Job<'a> {
    /// How the fit began.
    request: Request,
    /// The memory that it may take now.
    memory: MemoryAllowance,
    /// Whether the result is printed as JSON.
    json: bool,
    /// The processes that compute it together, if there are others.
    ranks: Option<&'a Ranks>,
    /// Folder of the result.
    out: PathBuf,
    /// Whether an earlier fit there is replaced.
    replace: bool,
    activations: ActivationSet,
    start: Start,
}

/// Where a fit starts.
enum Start {
    /// A fit that begins. It takes its sums in so many segments, if a number is given.
    New { fitting: Box<Fitting>, segments: Option<u32> },
    /// A fit that goes on from the latest checkpoint in a folder. It began with activations of this fingerprint.
    Checkpoint { folder: Box<CheckpointFolder>, fingerprint: String },
}

/// Begins a fit. It refuses whatever can be refused before the long work.
fn begin<'a>(
    FitArgs { activations, solver, memory, .. }: &FitArgs,
    args: &NewFitArgs,
    shared: &SharedArgs,
    ranks: Option<&'a Ranks>,
) -> Result<Job<'a>, Failure> {
    builder::check(args, solver)?;
    runs_check::check(args, solver)?;
    if writes(ranks) {
        check_target(&args.out, args.force)?;
    }
    let activations = activations.open()?;
    check_rank(args.rank, &FitInput::Files(activations.clone()))?;
    let options = builder::options(args, solver, activations.tokens())?;
    let memory = memory.allowance();
    let request = Request {
        device: shared.engine.device()?,
        memory,
        checkpoint_every: args.checkpoint_every.unwrap_or(Request::CHECKPOINT_EVERY),
        init_coefficients: options.fingerprint_of_start(),
        keep_runs: args.keep_runs,
        command_line: Some(arguments::texts()),
    };
    let fitting = Box::new(options.fitting());
    if let Some(folders) = run_folders(&request, &fitting, &args.out) {
        folders.check(args.force)?;
    }
    let (out, replace, json) = (args.out.clone(), args.force, shared.json);
    let start = Start::New { fitting, segments: args.segments };
    Ok(Job { request, memory, json, ranks, out, replace, activations, start })
}

/// Whether this process writes the result.
fn writes(ranks: Option<&Ranks>) -> bool {
    ranks.is_none_or(Ranks::is_first)
}

/// Goes on with the unfinished fit of `dir`. There is no job if it is complete.
fn resume<'a>(
    dir: &Path,
    memory: &MemoryArgs,
    shared: &SharedArgs,
    ranks: Option<&'a Ranks>,
) -> Result<Option<Job<'a>>, Failure> {
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
    let folder = if writes(ranks) { CheckpointFolder::resume(&out) } else { CheckpointFolder::read(&out) };
    let folder = match folder {
        Err(Error::NoCheckpoint { .. }) if is_complete(&out) => {
            if writes(ranks) {
                // A process that was killed while it deleted its checkpoints has left the rest of their folder. If it cannot be deleted, it is
                // in nobody's way.
                let _ = CheckpointFolder::discard(&out);
                say_complete(&out, shared)?;
            }
            return Ok(None);
        }
        folder => folder?,
    };
    let begun = BegunFit::read(&folder)?;
    if begun.input.paths.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: this fit began in Python, with activations in memory that no file has; go on with the call of `unmix.fit` with which it \
             began",
            out.display()
        )));
    }
    begun.enter_directory()?;
    let BegunFit { input, request, .. } = begun;
    let activations = open_files(&input.paths, input.tensor.as_deref(), &input.filter)?;
    let start = Start::Checkpoint { folder: Box::new(folder), fingerprint: input.fingerprint };
    let (memory, json) = (memory.allowance().or(request.memory), shared.json);
    Ok(Some(Job { request, memory, json, ranks, out, replace: true, activations, start }))
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
    let Job { request, memory, json, ranks, out, replace, activations: file, start } = job;
    if let Some(ranks) = ranks {
        ranks.check_alike(&file)?;
    }
    // Each process of a machine takes a GPU of its own, if there are several.
    let device = Device { number: ranks.map_or(0, |ranks| ranks.local_rank), ..request.device.clone() };
    let engine = together(ranks, engine::open_device(&device, reporter))?;
    let (fitting, segments, checkpoints) = match start {
        Start::New { fitting, segments } => (*fitting, segments, None),
        Start::Checkpoint { folder, fingerprint } => {
            let checkpoint = folder.latest()?;
            let summary = CheckpointSummary::of_header(checkpoint.header())?;
            reporter.stage(&going_on(&summary));
            let fitting = Fitting::resume(checkpoint, request.keep_runs)?;
            (fitting, Some(summary.segments), Some((*folder, fingerprint)))
        }
    };
    let run_folders = run_folders(&request, &fitting, &out);
    let fit = together(ranks, plan(engine.as_ref(), &file, fitting, &memory, segments, ranks))?;
    let (folder, began_with) = match checkpoints {
        Some((folder, fingerprint)) => (writes(ranks).then_some(folder), Some(fingerprint)),
        None if writes(ranks) => (Some(fit.new_checkpoints(&out, replace, request.clone())?), None),
        None => (None, None),
    };
    interrupt::catch(reporter.interrupt_notice());

    reporter.stage(&reading(&file, fit.planned()));
    if let Some(told) = left_out(file.left_out(), file.stored_tokens()) {
        reporter.stage(&format!("leaving out {told}"));
    }
    let mut fit = fit.place()?;
    together(ranks, Failure::if_interrupted())?;
    if let Some(began_with) = began_with {
        fit.check_began_with(&began_with, &out)?;
    }
    together(ranks, Failure::if_interrupted())?;
    let every = request.checkpoint_every;
    if let Some(folder) = folder {
        fit = fit.checkpointed(every, folder);
    } else if ranks.is_some() {
        fit = fit.checkpointed_elsewhere(every);
    }

    let options = fit.options();
    match fit.fitting().runs() {
        Some((runs, iterations)) => reporter.runs_start(runs, iterations, &options),
        None => reporter.fit_starts(&options),
    }
    // The fit holds the folder of checkpoints, and lets go of it at its end.
    let fit = fit.fit_share(|progress| {
        reporter.fit_progress(progress);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    reporter.fit_ends();
    let fit = match fit {
        Err(failure) if failure.is_of_all_ranks() => together(ranks, Err(failure.into()))?,
        fit => fit?,
    };
    let Some(records) = fit else {
        // The first rank writes, and says how the fit has ended.
        together(ranks, Ok(()))?;
        return if interrupt::requested() { Err(Failure::Interrupted(String::new())) } else { Ok(()) };
    };
    let (record, run_records) = records.command_line(request.command_line).into_records();
    reporter.stage(&format!("writing {}", out.display()));
    together(ranks, write_fit(&out, &record, replace).map_err(Failure::from))?;
    let summed_up = record.run.summary.consensus.as_ref();
    let mut are_kept = true;
    let mut kept = String::new();
    if let Some(folders) = run_folders {
        let count = folders.write(run_records, replace)?;
        are_kept = summed_up.is_some_and(|consensus| count == consensus.runs as usize);
        kept = match count {
            0 => ", and none of its runs is".to_owned(),
            count => format!(", and {count} of its runs in {}", folders.parent().display()),
        };
    }

    if json {
        output::print_json(&record.run)?;
    } else {
        output::print(&summary(&record, &out))?;
    }
    if record.run.summary.stop_reason != StopReason::Interrupted && are_kept {
        return Ok(CheckpointFolder::discard(&out)?);
    }
    let how = if CheckpointFolder::resume(&out).is_ok() {
        format!("; `unmix fit --resume {}` goes on from there", shell_word(&out))
    } else {
        String::new()
    };
    let saved_in = out.display();
    Err(Failure::Interrupted(match summed_up {
        Some(consensus) => format!(
            "interrupted; the consensus of {} runs of {} iterations each is saved in {saved_in}{kept}{how}",
            consensus.runs, consensus.iterations_each
        ),
        None => format!(
            "interrupted after {} of {} iterations; the best so far is saved in {saved_in}{how}",
            record.run.summary.iterations, options.max_iterations
        ),
    }))
}

/// Plans the fit. It is over several processes, or takes its sums as if it were, if there are other processes or a number of segments.
fn plan<'e>(
    engine: &'e dyn Engine,
    file: &ActivationSet,
    fitting: Fitting,
    memory: &MemoryAllowance,
    segments: Option<u32>,
    ranks: Option<&Ranks>,
) -> Result<PlannedFit<'e>, Failure> {
    let input = FitInput::Files(file.clone());
    let communicator: Arc<dyn Communicator> = match (ranks, segments) {
        (None, None | Some(1)) => return Ok(PlannedFit::new(engine, input, fitting, memory)?),
        (None, Some(_)) => Arc::new(Alone),
        (Some(ranks), _) => Arc::clone(&ranks.communicator),
    };
    let segments = segments.unwrap_or_else(|| Distribution::default_segments(communicator.ranks()));
    let distribution = Distribution::new(communicator, engine, &input, segments)?;
    Ok(PlannedFit::distributed(engine, input, fitting, memory, distribution)?)
}

/// The folders for the runs, if they are kept.
fn run_folders(request: &Request, fitting: &Fitting, out: &Path) -> Option<RunFolders> {
    let (runs, _) = fitting.runs().filter(|_| request.keep_runs)?;
    Some(RunFolders::beside(out, runs))
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
