//! A fit from its plan to its record.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use unmix::{ActivationSource, Activations, ConsensusFit, Engine, EngineKind, Factorization, Options, Progress};
use unmix_data::{CheckpointFolder, Fingerprinting, FitRecord, InputRecord, TokenColumns};

use crate::memory::peak_bytes;
use crate::placement::{MemoryAllowance, Planned, plan_by};
use crate::{FitFailure, FitInput, Fitting};

/// The activations of a fit, which take their fingerprint while they are read.
pub type Source = Fingerprinting<Arc<dyn ActivationSource + Send>>;

/// A fit whose memory is planned. Nothing has been read yet.
pub struct PlannedFit<'a> {
    engine: &'a dyn Engine,
    input: FitInput,
    fitting: Fitting,
    planned: Planned,
    source: Source,
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
        // Only the CPU engine computes with activations in place.
        let in_place = engine.kind() == EngineKind::Cpu && !planned.is_streamed();
        let source = Fingerprinting::new(input.source(in_place)?);
        Ok(PlannedFit { engine, input, fitting, planned, source })
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

    /// Puts the activations where they were planned to be.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn place(self) -> Result<PlacedFit<'a>, FitFailure> {
        let PlannedFit { engine, input, fitting, planned, source } = self;
        let placement = planned.plan.placement;
        let activations = placement
            .place(engine, Arc::new(source.clone()))
            .map_err(|error| FitFailure::of_computation(error.into(), &input))?;
        Ok(PlacedFit { engine, input, fitting: fitting.placed(placement), source, activations })
    }
}

/// A fit whose activations are in place.
pub struct PlacedFit<'a> {
    engine: &'a dyn Engine,
    input: FitInput,
    fitting: Fitting,
    source: Source,
    activations: Activations,
}

impl PlacedFit<'_> {
    /// Takes checkpoints in `folder`. One is complete only if the activations in their files have not changed. A consensus takes none.
    pub fn checkpointed(mut self, every: Duration, folder: CheckpointFolder) -> Self {
        if let FitInput::Files(file) = &self.input {
            let file = file.clone();
            let source = self.source.clone();
            let folder = folder.guarded_by(move || match file.check_untouched() {
                Ok(()) => Ok(()),
                // The file was written to, but its content may still be the same.
                Err(_) => file.check_unchanged(&source.fingerprint()?),
            });
            self.fitting = self.fitting.checkpointed(every, folder);
        }
        self
    }

    /// What is computed.
    pub fn fitting(&self) -> &Fitting {
        &self.fitting
    }

    /// The options of the result.
    pub fn options(&self) -> Options {
        self.fitting.options(self.activations.layout().neurons)
    }

    /// Computes the fit, until `progress` breaks or a file is cut short.
    ///
    /// # Errors
    /// If the computation fails, or the activations were changed meanwhile.
    pub fn fit(self, mut progress: impl FnMut(&Progress) -> ControlFlow<()>) -> Result<FitRecords, FitFailure> {
        let PlacedFit { engine, input, fitting, source, activations } = self;
        let fit = fitting.fit(engine, &activations, |told| {
            // A result is worth nothing if it comes from a file that was cut short.
            if progress(told).is_break() || input.check_whole().is_err() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        // If the activations were changed, this explains a result that is not sound, and makes one that seems sound worthless.
        if !matches!(fit, Err(unmix::Error::Runtime(_))) {
            input.check_unchanged(&source.fingerprint()?)?;
        }
        let fit = fit.map_err(|error| FitFailure::of_computation(error, &input))?;
        let record = input.record(source.fingerprint()?);
        Ok(FitRecords { fit, columns: input.token_columns().clone(), input: record, command_line: None })
    }
}

/// A fit as it is stored, and the runs that were kept.
pub struct FitRecords {
    fit: ConsensusFit,
    columns: TokenColumns,
    input: InputRecord,
    command_line: Option<Vec<String>>,
}

impl FitRecords {
    /// The same with the command line from which the fit came.
    pub fn command_line(self, command_line: Vec<String>) -> Self {
        FitRecords { command_line: Some(command_line), ..self }
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
