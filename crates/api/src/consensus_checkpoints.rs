//! The checkpoints of a consensus: how far its runs are, and their features.
//!
//! The coefficients of all runs would be far more than anything else. They are not stored, because some iterations begin with coefficients of
//! zero: between the parts of a run (`run_parts`), and when runs go on, the features alone matter. So a checkpoint has the features of
//! each run as they were after its last whole part, and a consensus that goes on repeats the part that it was in.

use std::ops::ControlFlow;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmix_runtime::{Engine, PanelLayout};

use crate::checkpoint::{CheckpointBuffer, CheckpointReader, CheckpointRuns, CheckpointSummary};
use crate::checkpoint_clock::{CheckpointClock, CheckpointSchedule};
use crate::checkpoint_handles::read;
use crate::checkpoint_header::{CheckpointHeader, first_panel_rows};
use crate::distribution::Distribution;
use crate::fit::Fit;
use crate::kept_entries::KeptEntries;
use crate::run::random;
use crate::sparse_features::SparseFeatures;
use crate::watch::Watch;
use crate::{Error, Options, Progress};

/// The checkpoints of a consensus that is computed.
pub(crate) struct ConsensusCheckpoints {
    clock: CheckpointClock,
    summary: CheckpointSummary,
    panel_rows: u32,
    /// Number of iterations after which the runs are compared.
    iterations: u32,
    state: State,
    /// Whether a checkpoint has this state.
    is_stored: bool,
}

/// How far the runs are.
#[derive(Default)]
struct State {
    /// The runs that have begun, from the first on.
    runs: Vec<SavedRun>,
    /// Features of the runs that have gone on, from the first on.
    gone_on: Vec<Entries>,
}

/// A run between two parts.
#[derive(Clone)]
struct SavedRun {
    place: Place,
    entries: Entries,
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Place {
    /// Number of iterations that it has done.
    iterations: u32,
    /// Number of words that were taken from its random number generator.
    random_words: u64,
    /// Number of neurons that a feature keeps. It is smaller while the run sees the first neurons alone.
    kept: u32,
}

/// The state in a header.
#[derive(Serialize, Deserialize)]
struct Places {
    runs: Vec<Place>,
    /// Number of runs that have gone on.
    gone_on: u32,
}

/// The kept entries of all features of a run, feature after feature.
#[derive(Clone)]
struct Entries {
    neurons: Vec<u32>,
    values: Vec<f32>,
}

impl ConsensusCheckpoints {
    /// The checkpoints of a consensus that begins. `runs` describes its runs, which are compared after so many iterations.
    pub fn new(
        schedule: Option<CheckpointSchedule>,
        engine: &dyn Engine,
        layout: &PanelLayout,
        options: &Options,
        runs: CheckpointRuns,
        iterations: u32,
    ) -> Self {
        let distribution = Distribution::alone(layout);
        ConsensusCheckpoints {
            clock: CheckpointClock::new(schedule),
            summary: CheckpointSummary {
                runs: Some(runs),
                ..CheckpointSummary::of(engine, &distribution, layout, options)
            },
            panel_rows: first_panel_rows(engine, layout, options),
            iterations,
            state: State::default(),
            is_stored: true,
        }
    }

    /// The same for a consensus that goes on from a checkpoint. Returns an error if it belongs to another one. Also returns the seconds
    /// that the consensus had taken.
    pub fn resumed(
        mut self,
        checkpoint: &dyn CheckpointReader,
        engine: &dyn Engine,
        layout: &PanelLayout,
    ) -> Result<(Self, f64), Error> {
        let (_, of_checkpoint) = CheckpointSummary::of_consensus(checkpoint.header())?;
        let header = CheckpointHeader::<Places>::parse(checkpoint.header())?;
        let options = &self.summary.options;
        header.check(options, &Distribution::alone(layout), layout, engine)?;
        let own = self.summary.runs.clone().unwrap_or_else(|| of_checkpoint.clone());
        if (own.runs, own.iterations) != (of_checkpoint.runs, of_checkpoint.iterations) {
            let iterations = |runs: &CheckpointRuns| match runs.iterations {
                Some(iterations) => format!("{} runs of {iterations} iterations", runs.runs),
                None => format!("{} runs whose number of iterations is not set", runs.runs),
            };
            return Err(refusal(format!(
                "its consensus has {}, and this one has {}; resume with the runs of the checkpoint, or start the fit anew",
                iterations(&of_checkpoint),
                iterations(&own)
            )));
        }
        let Places { runs, gone_on } = header.state;
        let most = options.kept(layout.neurons);
        if runs.len() > own.runs as usize
            || gone_on as usize > runs.len()
            || runs.iter().any(|place| place.kept == 0 || place.kept > most)
        {
            return Err(refusal("what it says of its runs is impossible; start the fit anew".to_owned()));
        }
        let rank = options.rank as usize;
        let entries = |name: &str, kept: u32| Entries::read(checkpoint, name, rank * kept as usize, layout.neurons);
        for (place, run) in runs.iter().zip(1..) {
            self.state.runs.push(SavedRun { place: *place, entries: entries(&name_of(run), place.kept)? });
        }
        for (place, run) in runs.iter().zip(1..=gone_on) {
            self.state.gone_on.push(entries(&name_of_gone_on(run), place.kept)?);
        }
        Ok((self, header.summary.seconds))
    }

    /// Number of iterations that a run has done, if it has begun. Runs are counted from 0.
    pub fn iterations_of(&self, run: usize) -> Option<u32> {
        self.state.runs.get(run).map(|run| run.place.iterations)
    }

    /// The runs that are done.
    fn done(&self) -> impl Iterator<Item = &SavedRun> {
        self.state.runs.iter().take_while(|run| run.place.iterations == self.iterations)
    }

    /// Features of the runs that are done.
    pub fn features(&self, neurons: u32) -> Result<Vec<SparseFeatures>, Error> {
        self.done().map(|run| run.entries.features(neurons, run.place.kept)).collect()
    }

    /// Features of the runs that have gone on, from the first on.
    pub fn gone_on(&self, neurons: u32) -> Result<Vec<SparseFeatures>, Error> {
        let runs = self.state.gone_on.iter().zip(&self.state.runs);
        runs.map(|(entries, run)| entries.features(neurons, run.place.kept)).collect()
    }

    /// Brings the buffers of the runs from number `first` on, counted from 0, to what the checkpoint says. Returns their random numbers.
    pub fn restore(&self, first: usize, fits: &[Fit<'_>]) -> Result<Vec<ChaCha8Rng>, Error> {
        let mut rngs = Vec::with_capacity(fits.len());
        for (fit, SavedRun { place, entries }) in fits.iter().zip(&self.state.runs[first..]) {
            if place.kept != fit.buffers.features.kept || entries.neurons.iter().any(|&neuron| neuron >= fit.neurons) {
                return Err(refusal("features of its runs are of other neurons; start the fit anew".to_owned()));
            }
            entries.write(fit)?;
            let mut rng = random(&fit.options);
            rng.set_word_pos(place.random_words.into());
            rngs.push(rng);
        }
        Ok(rngs)
    }

    /// The runs from number `first` on, counted from 0, have done so many iterations, and their features alone matter for what follows. What
    /// runs have done since the caller asked to stop is not what a consensus without an interruption does, so it is not kept.
    pub async fn are_at<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        first: usize,
        fits: &[Fit<'_>],
        iterations: u32,
        rngs: &[ChaCha8Rng],
        watch: &Watch<'_, P>,
    ) -> Result<(), Error> {
        if self.clock.writer().is_none() || watch.is_interrupted() {
            return Ok(());
        }
        self.state.runs.truncate(first);
        for (number, fit) in fits.iter().enumerate() {
            let random_words = rngs.get(number).map_or(0, |rng| rng.get_word_pos() as u64);
            let place = Place { iterations, random_words, kept: fit.buffers.features.kept };
            self.state.runs.push(SavedRun { place, entries: Entries::of(fit).await? });
        }
        self.is_stored = false;
        self.keep_up(watch)
    }

    /// These runs, the next ones, have gone on.
    pub async fn went_on<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        fits: &[Fit<'_>],
        watch: &Watch<'_, P>,
    ) -> Result<(), Error> {
        if self.clock.writer().is_none() || watch.is_interrupted() {
            return Ok(());
        }
        for fit in fits {
            self.state.gone_on.push(Entries::of(fit).await?);
        }
        self.is_stored = false;
        self.keep_up(watch)
    }

    /// Takes a checkpoint if one is due, unless nothing has changed. When the caller has asked to stop, the last one is due.
    pub fn keep_up<P: FnMut(&Progress) -> ControlFlow<()>>(&mut self, watch: &Watch<'_, P>) -> Result<(), Error> {
        if !self.is_stored && (watch.is_interrupted() || self.clock.is_due()) {
            self.take(watch.seconds())?;
            self.is_stored = true;
            self.clock.taken();
        }
        Ok(())
    }

    fn take(&self, seconds: f64) -> Result<(), Error> {
        let Some(writer) = self.clock.writer() else { return Ok(()) };
        let State { runs, gone_on } = &self.state;
        let mut summary = CheckpointSummary { seconds, ..self.summary.clone() };
        if let Some(of_runs) = &mut summary.runs {
            of_runs.done = self.done().count() as u32;
        }
        let places = Places { runs: runs.iter().map(|run| run.place).collect(), gone_on: gone_on.len() as u32 };
        let header = CheckpointHeader { summary, panel_rows: self.panel_rows, state: places }.to_json()?;
        let of_runs = runs.iter().zip(1..).map(|(run, number)| (name_of(number), &run.entries));
        let all = of_runs.chain(gone_on.iter().zip(1..).map(|(entries, number)| (name_of_gone_on(number), entries)));
        let buffers: Vec<(CheckpointBuffer, &[u8])> = all.flat_map(|(name, entries)| entries.buffers(&name)).collect();
        let described: Vec<CheckpointBuffer> = buffers.iter().map(|(described, _)| described.clone()).collect();
        writer.call(|writer| {
            writer.begin(&header, &described)?;
            buffers.iter().try_for_each(|(_, bytes)| writer.write(bytes))?;
            writer.finish()
        })
    }
}

/// What the buffers of a run are called.
fn name_of(run: u32) -> String {
    format!("of run {run}")
}

/// What the buffers of a run that has gone on are called.
fn name_of_gone_on(run: u32) -> String {
    format!("of run {run} that has gone on")
}

impl Entries {
    async fn of(fit: &Fit<'_>) -> Result<Self, Error> {
        let (neurons, values) = fit.io.read_entries(KeptEntries::of(&fit.buffers.features)).await?;
        Ok(Entries { neurons, values })
    }

    fn features(&self, neurons: u32, kept: u32) -> Result<SparseFeatures, Error> {
        SparseFeatures::of_entries(neurons, kept, &self.neurons, &self.values)
    }

    /// Writes them to the buffers of a fit.
    fn write(&self, fit: &Fit<'_>) -> Result<(), Error> {
        let kept = fit.buffers.features.kept as usize;
        for (feature, (neurons, values)) in (0..).zip(self.neurons.chunks(kept).zip(self.values.chunks(kept))) {
            let nonzeros = neurons.iter().zip(values).filter(|(_, value)| **value != 0.0);
            let (neurons, values): (Vec<u32>, Vec<f32>) = nonzeros.unzip();
            fit.io.write_feature(&fit.buffers.features, feature, &neurons, &values)?;
        }
        Ok(())
    }

    /// The buffers in which a checkpoint has them.
    fn buffers(&self, name: &str) -> [(CheckpointBuffer, &[u8]); 2] {
        let words: [(&str, &[u8]); 2] =
            [("neurons", bytemuck::cast_slice(&self.neurons)), ("values", bytemuck::cast_slice(&self.values))];
        words.map(|(what, bytes)| {
            (CheckpointBuffer { name: format!("{what} {name}"), bytes: bytes.len() as u64 }, bytes)
        })
    }

    /// Reads so many entries, whose neurons are among the first `neurons`.
    fn read(checkpoint: &dyn CheckpointReader, name: &str, count: usize, neurons: u32) -> Result<Self, Error> {
        let mut entries = Entries { neurons: vec![0; count], values: vec![0.0; count] };
        read(checkpoint, &format!("neurons {name}"), 0, bytemuck::cast_slice_mut(&mut entries.neurons))?;
        read(checkpoint, &format!("values {name}"), 0, bytemuck::cast_slice_mut(&mut entries.values))?;
        match entries.neurons.iter().find(|&&neuron| neuron >= neurons) {
            None => Ok(entries),
            Some(neuron) => {
                Err(refusal(format!("features {name} have a neuron {neuron} of {neurons}; start the fit anew")))
            }
        }
    }
}

fn refusal(problem: String) -> Error {
    Error::Checkpoint { problem }
}
