//! What is in the folder in which a fit is to be saved: nothing, the fit itself, or an unfinished part of it.

use std::path::Path;

use serde_json::{Map, Value};
use unmix::{ActivationSource, CheckpointReader, CheckpointSummary, Init, Options, StopReason};
use unmix_data::{CheckpointFolder, Error, FitRecord, InputRecord, check_target, fingerprint, read_fit};

use crate::{BegunFit, FitFailure, FitInput, Fitting, Request, Wording};

/// A fit that is asked for again and again until it is complete.
#[derive(Clone, Copy)]
pub struct AskedFit<'a> {
    /// What is computed.
    pub fitting: &'a Fitting,
    /// The activations.
    pub input: &'a FitInput,
    /// How it is computed and saved.
    pub request: &'a Request,
    /// How its options are called.
    pub wording: &'a Wording,
}

/// What a folder has of a fit.
pub enum SavedFit {
    /// Nothing that is worth anything. An interrupted fit without a checkpoint is replaced.
    Nothing {
        /// Whether there is an interrupted fit.
        replace: bool,
    },
    /// A checkpoint.
    Unfinished(Box<UnfinishedFit>),
    /// All of it.
    Complete(Box<FitRecord>),
}

/// A fit that goes on from a checkpoint.
pub struct UnfinishedFit {
    /// The folder of its checkpoints.
    pub folder: CheckpointFolder,
    /// The latest one.
    pub checkpoint: CheckpointSummary,
    /// What goes on from there.
    pub fitting: Fitting,
    /// How it began.
    pub begun: BegunFit,
}

impl SavedFit {
    /// What the folder `out` has of a fit that is asked for. Nothing is changed.
    ///
    /// # Errors
    /// If `out` has something else: another fit, a fit of other activations, or no fit. If it cannot be read or written, or another process
    /// works on it.
    pub fn find(out: &Path, asked: AskedFit<'_>) -> Result<SavedFit, FitFailure> {
        match CheckpointFolder::resume(out) {
            Ok(folder) => unfinished(out, folder, asked),
            Err(Error::NoCheckpoint { .. }) if out.exists() => complete(out, asked),
            Err(Error::NoCheckpoint { .. }) => {
                check_target(out, false)?;
                Ok(SavedFit::Nothing { replace: false })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The unfinished fit whose checkpoints are in `folder`. Its activations are not compared, because the fit reads them anyway.
fn unfinished(out: &Path, folder: CheckpointFolder, asked: AskedFit<'_>) -> Result<SavedFit, FitFailure> {
    let stored = folder.latest()?;
    let checkpoint = CheckpointSummary::of_header(stored.header())?;
    let begun = BegunFit::read(&folder)?;
    let refuse = |problem: &str| {
        Err(FitFailure::Folder {
            path: folder.path().to_owned(),
            problem: format!("{problem}; go on by `unmix fit --resume`, or choose another folder"),
        })
    };
    if checkpoint.segments > 1 {
        return refuse("the unfinished fit takes its sums in segments");
    }
    if begun.request.keep_runs {
        return refuse("the unfinished fit keeps its runs");
    }
    check_shape(out, &begun.input, asked.input)?;
    let fitting = Fitting::resume(stored, false)?;
    let neurons = checkpoint.neurons;
    let mut there = described(&fitting.options(neurons), fitting.runs());
    let mut here = described(&asked.fitting.options(neurons), asked.fitting.runs());
    for (options, request) in [(&mut there, &begun.request), (&mut here, asked.request)] {
        if let Some(fingerprint) = &request.init_coefficients {
            options.insert(
                "init_coefficients".to_owned(),
                format!("coefficients of the fingerprint {fingerprint}").into(),
            );
        }
    }
    check_options(folder.path(), "an unfinished fit", &there, &here, asked.wording)?;
    check_target(out, true)?;
    Ok(SavedFit::Unfinished(Box::new(UnfinishedFit { folder, checkpoint, fitting, begun })))
}

/// The fit in the folder `out`, if it was not interrupted.
fn complete(out: &Path, asked: AskedFit<'_>) -> Result<SavedFit, FitFailure> {
    // A folder that holds no fit is refused in the words of whoever would write there.
    let fit = match read_fit(out) {
        Err(Error::NotAFit { .. }) => {
            check_target(out, false)?;
            return Ok(SavedFit::Nothing { replace: false });
        }
        fit => fit?,
    };
    let summary = &fit.run.summary;
    let is_complete = summary.stop_reason != StopReason::Interrupted;
    check_shape(out, &fit.run.input, asked.input)?;
    let consensus = summary.consensus.as_ref();
    let mut runs = consensus.map(|runs| (runs.runs, runs.iterations_each.saturating_sub(runs.more_iterations)));
    if !is_complete && runs.is_some() {
        // Some runs may be missing, and the others may have done fewer iterations.
        runs = asked.fitting.runs();
    }
    let there = described(&summary.options, runs);
    let here = described(&asked.fitting.result_options(summary.neurons), asked.fitting.runs());
    check_options(out, "a fit", &there, &here, asked.wording)?;
    if asked.input.token_columns() != &fit.columns {
        return Err(FitFailure::Folder {
            path: out.to_owned(),
            problem: "the fit there has other columns of tokens than these activations; choose another folder"
                .to_owned(),
        });
    }
    if fingerprint(asked.input)? != fit.run.input.fingerprint {
        return Err(other_activations(out, asked.input));
    }
    if !is_complete {
        check_target(out, true)?;
        return Ok(SavedFit::Nothing { replace: true });
    }
    if summary.options.init == Init::Given {
        return Err(FitFailure::Folder {
            path: out.to_owned(),
            problem: "the fit there began from coefficients that it does not have, so they cannot be compared with those that are \
                      given; load the fit, or choose another folder"
                .to_owned(),
        });
    }
    // A process that was killed while it deleted its checkpoints has left the rest of their folder. If it cannot be deleted, it is in nobody's
    // way.
    let _ = CheckpointFolder::discard(out);
    Ok(SavedFit::Complete(Box::new(fit)))
}

/// Refuses activations that cannot be those with which a fit began.
fn check_shape(out: &Path, begun: &InputRecord, input: &FitInput) -> Result<(), FitFailure> {
    let there = (begun.tokens, begun.neurons, begun.element.as_str());
    if there == (input.tokens(), input.neurons(), input.element().name()) {
        return Ok(());
    }
    Err(other_activations(out, input))
}

fn other_activations(out: &Path, input: &FitInput) -> FitFailure {
    FitFailure::OtherActivations { names: input.names(), out: out.to_owned() }
}

/// Options by their names, with the number of runs and of iterations of each.
fn described(options: &Options, runs: Option<(u32, u32)>) -> Map<String, Value> {
    let mut described = match serde_json::to_value(options) {
        Ok(Value::Object(options)) => options,
        // Options can always be written as JSON.
        _ => Map::new(),
    };
    described.insert("runs".to_owned(), runs.map_or(1, |(runs, _)| runs).into());
    if let Some((_, iterations)) = runs
        && iterations != options.max_iterations
    {
        // Nobody has set the iterations of the runs. Those of one fit mean nothing for them.
        described.insert("max_iterations".to_owned(), Value::Null);
    }
    // It follows from the solver and the tolerance, and nobody asks for it.
    described.remove("keep_best");
    described
}

/// Refuses options that differ.
fn check_options(
    path: &Path,
    what: &str,
    there: &Map<String, Value>,
    here: &Map<String, Value>,
    wording: &Wording,
) -> Result<(), FitFailure> {
    let differ: Vec<&String> = here.keys().filter(|&name| there.get(name) != here.get(name)).collect();
    if differ.is_empty() {
        return Ok(());
    }
    let told = |options: &Map<String, Value>| {
        let told = |name: &&String| {
            let text = match options.get(*name) {
                None | Some(Value::Null) => "None".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            (wording.given)(name, &text)
        };
        differ.iter().map(told).collect::<Vec<_>>().join(", ")
    };
    Err(FitFailure::Folder {
        path: path.to_owned(),
        problem: format!(
            "{what} with {} is there, and {} is asked for; give the same options, or choose another folder",
            told(there),
            told(here)
        ),
    })
}
