//! A fit from its plan to its record.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use unmix::{
    ActivationSource, Activations, CheckpointBuffer, CheckpointWriter, ConsensusFit, Distribution, Engine, EngineKind,
    Factorization, Options, Progress,
};
use unmix_data::{CheckpointFolder, Error, Fingerprinting, FitRecord, InputRecord, TokenColumns, fingerprint_of_ranks};

use crate::memory::peak_bytes;
use crate::placement::{MemoryAllowance, Planned, plan_by, plan_layout};
use crate::{BegunFit, FitFailure, FitInput, Fitting, Request};

/// The activations of a fit, which take their fingerprint while they are read.
pub type Source = Fingerprinting<Arc<dyn ActivationSource + Send>>;

/// A fit whose memory is planned. Nothing has been read yet.
pub struct PlannedFit<'a> {
    engine: &'a dyn Engine,
    input: FitInput,
    fitting: Fitting,
    planned: Planned,
    source: Source,
    /// Which tokens this process has, if there are others.
    distribution: Option<Distribution>,
}

impl<'a> PlannedFit<'a> {
    /// Plans a fit with `rank` features within the memory that it may take.
    ///
    /// # Errors
    /// If it does not fit, or an option is impossible for these activations.
    pub fn new(
        engine: &'a dyn Engine,
        input: FitInput,
        mut fitting: Fitting,
        allowance: &MemoryAllowance,
    ) -> Result<Self, FitFailure> {
        let rank = fitting.options(1).rank;
        let planned = plan_by(engine, &input, allowance, rank, |layout, streaming, limits| {
            fitting.plan_within(engine, layout, streaming, limits)
        })?;
        Self::planned_as(engine, input, fitting, planned, None)
    }

    /// Plans a fit that several processes compute together, of which this one has the share that `distribution` says. All of them see the
    /// whole input.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if the fit cannot be distributed.
    pub fn distributed(
        engine: &'a dyn Engine,
        input: FitInput,
        fitting: Fitting,
        allowance: &MemoryAllowance,
        distribution: Distribution,
    ) -> Result<Self, FitFailure> {
        let mut fitting = fitting.distributed(distribution.clone())?;
        let rank = fitting.options(1).rank;
        let layout = engine.layout(&distribution.share(Arc::new(input.clone()))).map_err(unmix::Error::from)?;
        let planned = plan_layout(engine, &layout, &input, allowance, rank, |layout, streaming, limits| {
            fitting.plan_within(engine, layout, streaming, limits)
        })?;
        Self::planned_as(engine, input, fitting, planned, Some(distribution))
    }

    fn planned_as(
        engine: &'a dyn Engine,
        input: FitInput,
        fitting: Fitting,
        planned: Planned,
        distribution: Option<Distribution>,
    ) -> Result<Self, FitFailure> {
        // Only the CPU engine computes with activations in place.
        let in_place = engine.kind() == EngineKind::Cpu && !planned.is_streamed();
        let source = Fingerprinting::new(input.source(in_place)?);
        Ok(PlannedFit { engine, input, fitting, planned, source, distribution })
    }

    /// Its memory.
    pub fn planned(&self) -> &Planned {
        &self.planned
    }

    /// What is computed.
    pub fn fitting(&self) -> &Fitting {
        &self.fitting
    }

    /// The activations as the engine reads them.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The folder for the checkpoints of this fit, which begins, beside its result in `out`. With `force`, checkpoints that an earlier fit left
    /// there are deleted.
    ///
    /// # Errors
    /// As [`CheckpointFolder::begin`].
    pub fn new_checkpoints(&self, out: &Path, force: bool, request: Request) -> Result<CheckpointFolder, Error> {
        let (input, source) = (self.input.clone(), self.source.clone());
        CheckpointFolder::begin(out, force, move || BegunFit::beginning(input.record(source.fingerprint()?), request))
    }

    /// Puts the activations where they were planned to be. Of a fit over several processes, all call it at once, and then know the
    /// fingerprint.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn place(self) -> Result<PlacedFit<'a>, FitFailure> {
        let PlannedFit { engine, input, fitting, planned, source, distribution } = self;
        let placement = planned.plan.placement;
        let own: Arc<dyn ActivationSource + Send> = match &distribution {
            Some(distribution) => Arc::new(distribution.share(source.source().clone())),
            None => Arc::new(source.clone()),
        };
        let activations =
            placement.place(engine, own).map_err(|error| FitFailure::of_computation(error.into(), &input))?;
        if let Some(distribution) = &distribution {
            source.know(fingerprint_of_ranks(source.source(), distribution)?);
        }
        let is_read_again = engine.kind() == EngineKind::Cpu || planned.is_streamed();
        let fitting = fitting.placed(placement);
        Ok(PlacedFit { engine, input, fitting, source, activations, is_read_again, distribution })
    }
}

/// A fit whose activations are in place.
pub struct PlacedFit<'a> {
    engine: &'a dyn Engine,
    input: FitInput,
    fitting: Fitting,
    source: Source,
    activations: Activations,
    /// Whether passes read the files or the memory of the caller. Otherwise a device has a copy.
    is_read_again: bool,
    distribution: Option<Distribution>,
}

impl PlacedFit<'_> {
    /// Refuses activations that do not have the fingerprint with which the fit in the folder `out` began.
    ///
    /// # Errors
    /// [`FitFailure::OtherActivations`], or if they cannot be read.
    pub fn check_began_with(&self, fingerprint: &str, out: &Path) -> Result<(), FitFailure> {
        if self.source.fingerprint()? == fingerprint {
            return Ok(());
        }
        Err(FitFailure::OtherActivations { names: self.input.names(), out: out.to_owned() })
    }

    /// Takes checkpoints in `folder`. One is complete only if the activations have not changed.
    pub fn checkpointed(mut self, every: Duration, folder: CheckpointFolder) -> Self {
        let (input, source, is_read_again) = (self.input.clone(), self.source.clone(), self.is_read_again);
        let folder = folder.guarded_by(move || match &input {
            FitInput::Files(file) if file.check_untouched().is_ok() => Ok(()),
            // The device has what they were.
            FitInput::Memory(_) if !is_read_again => Ok(()),
            // A file was written to, but its content may still be the same. Nothing but their content tells whether activations in memory
            // were changed. To hash them takes less time than an iteration.
            input => input.check_unchanged(&source.fingerprint()?),
        });
        self.fitting = self.fitting.checkpointed(every, folder);
        self
    }

    /// Takes part in checkpoints that another process stores.
    pub fn checkpointed_elsewhere(mut self, every: Duration) -> Self {
        self.fitting = self.fitting.checkpointed(every, StoredElsewhere);
        self
    }

    /// What is computed.
    pub fn fitting(&self) -> &Fitting {
        &self.fitting
    }

    /// The options that are asked for, with all defaults filled in.
    pub fn options(&self) -> Options {
        self.fitting.options(self.activations.layout().neurons)
    }

    /// Computes the fit, until `progress` breaks or a file is cut short.
    ///
    /// # Errors
    /// If the computation fails, or the activations were changed meanwhile.
    pub fn fit(self, progress: impl FnMut(&Progress) -> ControlFlow<()>) -> Result<FitRecords, FitFailure> {
        let elsewhere = || unmix::Error::Option {
            option: "distribution",
            given: "a rank other than 0".to_owned(),
            expected: "rank 0 has the result; call `fit_share` on every rank".to_owned(),
        };
        Ok(self.fit_share(progress)?.ok_or_else(elsewhere)?)
    }

    /// As [`fit`](Self::fit), for each of several processes. Rank 0 has the result, and the others have none.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_share(
        self,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Option<FitRecords>, FitFailure> {
        let PlacedFit { engine, input, fitting, source, activations, distribution, .. } = self;
        let fit = fitting.fit(engine, &activations, |told| {
            // A result is worth nothing if it comes from a file that was cut short.
            if progress(told).is_break() || input.check_whole().is_err() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let fingerprint = source.fingerprint()?;
        // If the activations were changed, this explains a result that is not sound, and makes one that seems sound worthless.
        let fit = match (fit, &distribution) {
            (Err(error @ unmix::Error::Runtime(_)), _) => Err(error),
            (fit, None) => {
                input.check_unchanged(&fingerprint)?;
                fit
            }
            (Ok(fit), Some(distribution)) => {
                input.check_unchanged_over(distribution, &fingerprint)?;
                Ok(fit)
            }
            // The others wait for a process that has failed, so it must not wait for them.
            (Err(error), Some(_)) => Err(error),
        };
        let mut fit = fit.map_err(|error| FitFailure::of_computation(error, &input))?;
        if let Some(distribution) = &distribution {
            let Some(whole) = fit.consensus.gathered(distribution) else { return Ok(None) };
            fit.consensus = whole;
        }
        let record = input.record(fingerprint);
        Ok(Some(FitRecords { fit, columns: input.token_columns().clone(), input: record, command_line: None }))
    }
}

/// The writer of a process whose checkpoints another one stores. It is never asked to write.
struct StoredElsewhere;

impl CheckpointWriter for StoredElsewhere {
    fn begin(&mut self, _: &str, _: &[CheckpointBuffer]) -> std::io::Result<()> {
        Err(stored_elsewhere())
    }

    fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        Err(stored_elsewhere())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Err(stored_elsewhere())
    }
}

fn stored_elsewhere() -> std::io::Error {
    std::io::Error::other("another process stores the checkpoints")
}

/// A fit as it is stored, and the runs that were kept.
pub struct FitRecords {
    fit: ConsensusFit,
    columns: TokenColumns,
    input: InputRecord,
    command_line: Option<Vec<String>>,
}

impl FitRecords {
    /// The same with the command line from which the fit came, if it came from one.
    pub fn command_line(self, command_line: Option<Vec<String>>) -> Self {
        FitRecords { command_line, ..self }
    }

    /// The record of the fit, and those of the runs. Each of these is made when it is asked for.
    pub fn into_records(self) -> (FitRecord, impl Iterator<Item = FitRecord>) {
        let FitRecords { fit: ConsensusFit { consensus, runs }, columns, input, command_line } = self;
        let record = move |fit: Factorization| {
            let mut record = FitRecord::new(fit, columns.clone(), input.clone());
            record.run.command_line.clone_from(&command_line);
            record.run.peak_memory_bytes = peak_bytes();
            record
        };
        (record(consensus), runs.into_iter().map(record))
    }
}
