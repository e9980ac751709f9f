//! Drives a fit: scale, start, iterations.

use std::collections::VecDeque;
use std::ops::{ControlFlow, RangeInclusive};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmix_kernels::{
    BufferId, MAXIMUM_PARTIALS, Matrix, Recording, Report, absolute_maximum, gather_rows, report_words, squared_norm,
};
use unmix_runtime::{Activations, Engine, Pending, Prepared, Session};

use crate::buffers::{Buffers, KeptEntries};
use crate::init::Start;
use crate::result::result;
use crate::solvers::Plan;
use crate::watch::Watch;
use crate::{
    DenseMatrix, Error, Factorization, Options, OutlierTokens, Progress, Solver, Stage, StopReason, init, revival,
};

/// Iterations at the end in which nothing is revived: a new feature needs some to settle.
const SETTLING_ITERATIONS: u32 = 3;

/// How many times as many sweeps the first pass after a warm-up takes: features fit already, coefficients start from zero.
const FIRST_SWEEPS: u32 = 2;

/// Bytes of a matrix that are read at once: a copy of a whole one would be memory that nothing else needs.
const READ_BYTES: usize = 1 << 18;

/// Elements between rows from which on a matrix is part of a wider one, whose other columns are left alone.
const PADDING: usize = 4;

/// Mean squares of the strongest token's activations with which all activations stay as they are: far from where squares overflow
/// or vanish.
const UNSCALED: RangeInclusive<f32> = 1e-4..=1e4;

/// Binary exponent up to which activations can be scaled after their products are summed.
const LARGEST_EXPONENT: f64 = 106.0;

/// A fit under way.
pub(crate) struct Fit<'a> {
    pub engine: &'a dyn Engine,
    pub session: Box<dyn Session>,
    pub buffers: Buffers,
    pub options: Options,
    pub rng: ChaCha8Rng,
    pub tokens: u64,
    pub neurons: u32,
    /// Power of two by which activations are multiplied, so that their squares neither over- nor underflow; mostly 1.
    pub scale: f32,
    /// ‖xᵢ‖² of the scaled activations.
    pub token_energy: Vec<f32>,
    /// Σ ‖xᵢ‖² of the scaled activations.
    pub squared_norm: f64,
}

/// A submitted iteration whose loss has not arrived yet.
struct Submitted {
    report: Pending<Report>,
    weighted_sums: Option<Pending<Vec<u8>>>,
}

/// What the iterations said.
#[derive(Default)]
pub(crate) struct Course {
    /// Losses of the scaled activations.
    pub losses: Vec<f64>,
    pub objectives: Vec<f64>,
    /// Seconds since the fit began: at the start of the iterations, and when each loss arrived.
    pub start_seconds: f64,
    pub seconds: Vec<f64>,
    /// The iteration that is returned, its loss, and by how much that may be off.
    pub best_iteration: u32,
    pub best_loss: f64,
    pub best_uncertainty: f64,
    pub revived: Vec<(u32, u32)>,
    dead: Vec<u32>,
}

impl<'a> Fit<'a> {
    /// Allocates everything.
    pub fn open(engine: &'a dyn Engine, activations: &Activations, options: Options) -> Result<Self, Error> {
        let layout = activations.layout();
        let (workspace, buffers) = Buffers::plan(layout, &options, engine.limits());
        let session = engine.open(&workspace, activations)?;
        Ok(Fit {
            engine,
            session,
            buffers,
            rng: ChaCha8Rng::seed_from_u64(options.seed),
            options,
            tokens: layout.tokens,
            neurons: layout.neurons,
            scale: 1.0,
            token_energy: Vec::new(),
            squared_norm: 0.0,
        })
    }

    /// Runs it to the end.
    pub async fn run(
        mut self,
        given: Option<&DenseMatrix>,
        progress: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        let watch = &mut Watch::new(progress, self.options.max_iterations);
        watch.stage(Stage::Measure);
        self.measure().await?;
        let energies: Vec<f64> = self.token_energy.iter().map(|&energy| f64::from(energy)).collect();
        if let Some(warning) = OutlierTokens::of(&energies).warning() {
            log::warn!("{warning}");
        }
        watch.stage(Stage::Start);
        let start = init::start(&mut self, given, watch).await?;
        let (course, stop_reason) = self.iterate(start, watch).await?;
        result(self, course, stop_reason, watch).await
    }

    /// Finds the activations' scale and norms: in one pass, if they need no scale.
    pub async fn measure(&mut self) -> Result<(), Error> {
        self.measure_norms().await?;
        let largest = self.token_energy.iter().fold(0f32, |largest, &energy| largest.max(energy)) / self.neurons as f32;
        // NaN is lost in a maximum, but not in a sum.
        if !(self.squared_norm.is_finite() && UNSCALED.contains(&largest)) {
            self.measure_scale().await?;
            self.measure_norms().await?;
        }
        for panel in &self.buffers.panels {
            if let Some(norms) = panel.norms {
                let energy = &self.token_energy[panel.first_row as usize..][..norms.rows as usize];
                let column: Vec<f32> = energy.iter().flat_map(|e| [e.sqrt(), 0.0, 0.0, 0.0]).collect();
                self.write(norms.buffer(), &column)?;
            }
        }
        Ok(())
    }

    /// Finds the scale that takes the largest magnitude to between 1 and 2.
    async fn measure_scale(&mut self) -> Result<(), Error> {
        let mut recording = Recording::new();
        for (index, panel) in self.buffers.panels.iter().enumerate() {
            absolute_maximum(&mut recording, panel.activations, self.buffers.maxima, index > 0);
        }
        self.run_once(recording)?;
        let maxima: Vec<u32> = self.read(self.buffers.maxima, u64::from(MAXIMUM_PARTIALS)).await?;
        let largest = f32::from_bits(maxima.into_iter().max().unwrap_or(0));
        if !largest.is_finite() {
            return Err(Error::NonFinite);
        }
        if largest > 0.0 {
            let exponent = f64::from(largest).log2().floor();
            if exponent.abs() > LARGEST_EXPONENT {
                return Err(Error::OutOfRange { largest });
            }
            self.scale = (-exponent).exp2() as f32;
        }
        Ok(())
    }

    /// Finds the norms of the scaled activations.
    async fn measure_norms(&mut self) -> Result<(), Error> {
        let mut recording = Recording::new();
        for panel in &self.buffers.panels {
            squared_norm(&mut recording, panel.activations, panel.squared_norms, self.scale);
        }
        self.run_once(recording)?;
        let mut energy = Vec::with_capacity(self.tokens as usize);
        for panel in &self.buffers.panels {
            energy.extend(self.read::<f32>(panel.squared_norms, panel.activations.rows.into()).await?);
        }
        self.squared_norm = energy.iter().map(|&e| f64::from(e)).sum();
        self.token_energy = energy;
        Ok(())
    }

    async fn iterate<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        left: Start,
        watch: &mut Watch<'_, P>,
    ) -> Result<(Course, StopReason), Error> {
        let (start, first_features_step, features_step, pass) = {
            let plan = self.plan();
            (
                plan.start(),
                self.session.prepare(plan.features_step(0.0))?,
                self.session.prepare(plan.features_step(self.options.relaxation))?,
                self.session.prepare(plan.pass())?,
            )
        };
        if left == Start::Coefficients {
            self.run_once(start)?;
        }
        let mut first_pass = None;
        if left == (Start::Features { warm: true }) {
            let sweeps = self.options.sweeps.saturating_mul(FIRST_SWEEPS);
            let options = Options { sweeps, ..self.options.clone() };
            first_pass = Some(self.session.prepare(Plan { options: &options, ..self.plan() }.pass())?);
        }
        let mut course = Course { start_seconds: watch.seconds(), ..Course::default() };
        let mut waiting = VecDeque::new();
        let mut submitted = 0;
        let mut updated = false;
        let mut stop = None;
        if !watch.stage(Stage::Iterate) {
            // One iteration still runs: without it there are no features to return.
            stop = Some(StopReason::Interrupted);
        }
        loop {
            let last = if stop.is_some() { 1 } else { self.options.max_iterations };
            // Submits ahead of the losses, so that the device does not wait for the host.
            while submitted < last && waiting.len() <= self.engine.limits().lookahead as usize {
                let settling = submitted + SETTLING_ITERATIONS >= self.options.max_iterations;
                let dead = if self.options.revive && !settling { std::mem::take(&mut course.dead) } else { Vec::new() };
                let replacements = revival::replacements(self, &dead).await?;
                // Features from the start are used before they are updated.
                if submitted > 0 || left == Start::Coefficients {
                    // There is no direction to go on in before the features have been updated once.
                    if updated {
                        features_step.run()?;
                    } else {
                        first_features_step.run()?;
                    }
                    updated = true;
                }
                for (feature, replacement) in replacements {
                    self.write_feature(feature, &replacement.neurons, &replacement.values)?;
                    course.revived.push((submitted + 1, feature));
                }
                first_pass.take().as_ref().unwrap_or(&pass).run()?;
                waiting.push_back(self.submitted());
                submitted += 1;
            }
            let Some(next) = waiting.pop_front() else { break };
            if !self.arrive(next, &mut course).await? {
                // What follows an iterate that is not finite is not finite either.
                stop = Some(StopReason::Diverged);
                break;
            }
            course.seconds.push(watch.seconds());
            if stop.is_none() {
                if !watch.tell(self.progress(&course, watch.latest())) {
                    stop = Some(StopReason::Interrupted);
                } else if self.converged(&course.losses) {
                    stop = Some(StopReason::Converged);
                }
            }
        }
        Ok((course, stop.unwrap_or(StopReason::MaxIterations)))
    }

    /// What the solvers need to know of this fit.
    pub fn plan(&self) -> Plan<'_> {
        Plan { options: &self.options, buffers: &self.buffers, scale: self.scale, squared_norm: self.squared_norm }
    }

    fn submitted(&self) -> Submitted {
        Submitted {
            report: self.report(),
            weighted_sums: self
                .buffers
                .weighted_sums
                .map(|sums| self.session.read(sums.buffer(), 0, u64::from(self.options.rank) * 4)),
        }
    }

    /// The report of what was submitted last.
    pub fn report(&self) -> Pending<Report> {
        let bytes = u64::from(report_words(self.options.rank)) * 4;
        let report = self.session.read(self.buffers.report, 0, bytes);
        Box::pin(async { Ok(Report::parse(&words(&report.await?))) })
    }

    /// Takes in what an iteration said. Gives whether its iterate is finite; where it is not, nothing is taken in.
    async fn arrive(&self, submitted: Submitted, course: &mut Course) -> Result<bool, Error> {
        let report = submitted.report.await?;
        let loss = report.loss(self.squared_norm);
        if !loss.is_finite() {
            log::warn!("iteration {} has no finite loss", report.iteration + 1);
            if course.losses.is_empty() || !self.options.keep_best {
                let problem = format!("the loss of iteration {} is not finite", report.iteration + 1);
                return Err(Error::Unsound { problem });
            }
            return Ok(false);
        }
        course.losses.push(loss);
        if report.is_best || !self.options.keep_best || course.best_iteration == 0 {
            course.best_iteration = report.iteration + 1;
            (course.best_loss, course.best_uncertainty) = (loss, report.uncertainty);
        }
        // A report from before a revival must not have the feature revived again.
        let revived_since =
            |k| course.revived.iter().any(|&(iteration, feature)| feature == k && iteration > report.iteration + 1);
        course.dead =
            (0..self.options.rank).filter(|&k| report.column_energy[k as usize] == 0.0 && !revived_since(k)).collect();
        if let Some(sums) = submitted.weighted_sums {
            let sums: Vec<f32> = words(&sums.await?);
            let penalty: f64 = sums.iter().map(|&s| f64::from(s)).sum();
            course.objectives.push(0.5 * loss + self.options.penalty * penalty);
        }
        Ok(true)
    }

    fn progress(&self, course: &Course, before: &Progress) -> Progress {
        let relative = |loss: f64| if self.squared_norm > 0.0 { loss / self.squared_norm } else { 0.0 };
        let relative_error = course.losses.last().map_or(1.0, |&loss| relative(loss));
        Progress {
            iteration: course.losses.len() as u32,
            relative_error,
            best_relative_error: before.best_relative_error.min(relative_error),
            dead_features: course.dead.len() as u32,
            ..before.clone()
        }
    }

    /// Whether the least loss has fallen by less than the tolerance within the last `patience` iterations.
    fn converged(&self, losses: &[f64]) -> bool {
        let Some(before) = losses.len().checked_sub(self.options.patience as usize).filter(|&before| before > 0) else {
            return false;
        };
        let least = |losses: &[f64]| losses.iter().copied().fold(f64::INFINITY, f64::min);
        let (old, new) = (least(&losses[..before]), least(losses));
        self.options.tolerance > 0.0 && old - new < self.options.tolerance * old
    }

    /// The kept neurons and values of all features.
    pub async fn read_entries(&self, kept: KeptEntries) -> Result<(Vec<u32>, Vec<f32>), Error> {
        let count = u64::from(kept.indices.columns);
        Ok((self.read(kept.indices.buffer(), count).await?, self.read(kept.values.buffer(), count).await?))
    }

    /// Prepares and runs a recording that is needed once.
    pub fn run_once(&self, recording: Recording) -> Result<(), Error> {
        let prepared: Box<dyn Prepared> = self.session.prepare(recording)?;
        Ok(prepared.run()?)
    }

    /// Reads the first `count` 32-bit values of a buffer.
    pub async fn read<T: bytemuck::Pod>(&self, buffer: BufferId, count: u64) -> Result<Vec<T>, Error> {
        Ok(words(&self.session.read(buffer, 0, count * 4).await?))
    }

    /// Writes values to the start of a buffer.
    pub fn write<T: bytemuck::NoUninit>(&self, buffer: BufferId, values: &[T]) -> Result<(), Error> {
        Ok(self.session.write(buffer, 0, bytemuck::cast_slice(values))?)
    }

    /// Reads a matrix without its padding.
    pub async fn read_matrix(&self, matrix: Matrix) -> Result<DenseMatrix, Error> {
        let (rows, columns) = (matrix.rows as usize, matrix.columns as usize);
        let mut values = Vec::with_capacity(rows * columns);
        for first in (0..matrix.rows).step_by(rows_at_once(matrix)) {
            let padded = self.read_rows(matrix, first).await?;
            padded.chunks_exact(matrix.stride as usize).for_each(|row| values.extend_from_slice(&row[..columns]));
        }
        Ok(DenseMatrix { rows, columns, values })
    }

    /// Reads the next [`rows_at_once`] rows of a matrix from `first` on, with their padding.
    pub async fn read_rows(&self, matrix: Matrix, first: u32) -> Result<Vec<f32>, Error> {
        let rows = (rows_at_once(matrix) as u64).min(u64::from(matrix.rows - first));
        let row_bytes = u64::from(matrix.stride) * 4;
        Ok(words(&self.session.read(matrix.buffer(), u64::from(first) * row_bytes, rows * row_bytes).await?))
    }

    /// Writes rows without padding to a matrix, beginning with its row `first`.
    pub fn write_rows(&self, matrix: Matrix, first: u32, values: &[f32]) -> Result<(), Error> {
        let (columns, stride) = (matrix.columns as usize, matrix.stride as usize);
        let offset = u64::from(first) * stride as u64 * 4;
        if columns == stride {
            return Ok(self.session.write(matrix.buffer(), offset, bytemuck::cast_slice(values))?);
        }
        if stride - columns >= PADDING {
            for (row, values) in (u64::from(first)..).zip(values.chunks_exact(columns)) {
                let offset = row * stride as u64 * 4;
                self.session.write(matrix.buffer(), offset, bytemuck::cast_slice(values))?;
            }
            return Ok(());
        }
        let mut padded = vec![0f32; values.len() / columns * stride];
        for (padded, row) in padded.chunks_exact_mut(stride).zip(values.chunks_exact(columns)) {
            padded[..columns].copy_from_slice(row);
        }
        Ok(self.session.write(matrix.buffer(), offset, bytemuck::cast_slice(&padded))?)
    }

    /// Writes a feature: its kept neurons, ascending, and their values. Where there are fewer than features keep, the others are
    /// zeros.
    pub fn write_feature(&self, feature: u32, neurons: &[u32], values: &[f32]) -> Result<(), Error> {
        let features = &self.buffers.features;
        let mut dense = vec![0f32; self.neurons as usize];
        for (&neuron, &value) in neurons.iter().zip(values) {
            dense[neuron as usize] = value;
        }
        self.write_rows(features.dense, feature, &dense)?;
        let offset = u64::from(feature) * u64::from(features.kept) * 4;
        let (mut neurons, mut values) = (neurons.to_vec(), values.to_vec());
        neurons.resize(features.kept as usize, neurons.last().copied().unwrap_or(0));
        values.resize(features.kept as usize, 0.0);
        self.session.write(features.indices, offset, bytemuck::cast_slice(&neurons))?;
        Ok(self.session.write(features.values, offset, bytemuck::cast_slice(&values))?)
    }

    /// The first `neurons` scaled activations of chosen tokens, at most as many as can be gathered at once, one row each.
    pub async fn token_rows(&self, tokens: &[u32], neurons: u32) -> Result<DenseMatrix, Error> {
        self.write(self.buffers.gathered_tokens, tokens)?;
        let out = Matrix {
            rows: tokens.len() as u32,
            columns: neurons,
            stride: neurons.next_multiple_of(4),
            ..self.buffers.gathered
        };
        let mut recording = Recording::new();
        for panel in &self.buffers.panels {
            let rows = panel.first_row..panel.first_row + panel.activations.rows;
            if tokens.iter().any(|token| rows.contains(token)) {
                let (activations, indices) = (panel.activations.first_columns(neurons), self.buffers.gathered_tokens);
                gather_rows(&mut recording, activations, panel.first_row, indices, out, self.scale);
            }
        }
        self.run_once(recording)?;
        self.read_matrix(out).await
    }

    /// Whether coefficients must be above zero to move.
    pub fn is_multiplicative(&self) -> bool {
        matches!(self.options.solver, Solver::Mu | Solver::Paper)
    }
}

/// Rows of a matrix that are read at once.
pub(crate) fn rows_at_once(matrix: Matrix) -> usize {
    (READ_BYTES / (matrix.stride as usize * 4)).max(1)
}

/// Bytes that an engine read, as 32-bit values.
fn words<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    bytemuck::pod_collect_to_vec(bytes)
}
