//! What is said while a sweep runs: which fit, and the time that is left.

use std::ops::{ControlFlow, Range};

use unmix::{Factorization, Progress};
use unmix_interpret::sweep::{GridPoint, Sweep, SweepObserver, SweepPoint, SweepRecord, SweepStep};

use super::folder::Keeper;
use crate::interrupt;
use crate::output::{duration, percent};
use crate::progress::Reporter;

/// Knows how much of a sweep is done.
pub struct Watch<'a> {
    reporter: &'a mut Reporter,
    sweeps: Vec<Sweep>,
    points: Vec<Vec<SweepPoint>>,
    names: Vec<String>,
}

/// Watches the fits of a point.
pub struct FitWatch<'w, 'a, 'k> {
    watch: &'w mut Watch<'a>,
    layer: usize,
    kept: &'w mut Keeper<'k>,
}

impl<'a> Watch<'a> {
    /// Begins with what is measured already.
    pub fn new(reporter: &'a mut Reporter, sweeps: impl Iterator<Item = Sweep>, record: &SweepRecord) -> Self {
        let points = record.layers.iter().map(|layer| layer.points.clone()).collect();
        let names = record.layers.iter().map(|layer| layer.name.clone()).collect();
        reporter.work_starts();
        Watch { reporter, sweeps: sweeps.collect(), points, names }
    }

    /// What watches the fits of a point.
    pub fn fits<'w, 'k>(&'w mut self, layer: usize, kept: &'w mut Keeper<'k>) -> FitWatch<'w, 'a, 'k> {
        FitWatch { watch: self, layer, kept }
    }

    /// Says what was found with a point.
    pub fn measured(&mut self, layer: usize, point: &SweepPoint) {
        let mut text = format!("{}: error {:.4}", self.name(layer, point.place()), point.relative_error());
        if let Some(error) = point.held_out_error() {
            text += &format!(", held out {error:.4}");
        }
        if let (Some(stability), Some(found)) = (point.stability(), point.reproducible()) {
            text += &format!(", stability {stability:.3}, {found:.0} of {} come back", point.rank);
        }
        self.points[layer].push(point.clone());
        text += &format!("; {}", duration(point.seconds));
        self.reporter.stage(&text);
    }

    /// Call this when everything is measured.
    pub fn end(&mut self) {
        self.reporter.fit_ends();
    }

    fn name(&self, layer: usize, at: GridPoint) -> String {
        let point = format!("K = {}, {} of the neurons", at.rank, percent(at.sparsity));
        if self.names.len() > 1 { format!("{}, {point}", self.names[layer]) } else { point }
    }

    /// The work that is done and the work that is left, in units of a fit with one feature.
    fn work(&self, at: GridPoint, within: f64) -> (f64, f64) {
        let of = |at: GridPoint| f64::from(at.rank);
        let done: f64 = self.points.iter().flatten().map(|point| of(point.place())).sum();
        let missing = |sweep: &Sweep, points: &[SweepPoint]| {
            let grid: Vec<GridPoint> =
                sweep.grid().filter(|at| points.iter().all(|point| point.place() != *at)).collect();
            let mean = sweep.grid().map(of).sum::<f64>() / sweep.grid().count().max(1) as f64;
            let added = sweep.left(points).saturating_sub(grid.len());
            grid.into_iter().map(of).sum::<f64>() + added as f64 * mean
        };
        let left: f64 = self.sweeps.iter().zip(&self.points).map(|(sweep, points)| missing(sweep, points)).sum();
        (done + within * of(at), (left - within * of(at)).max(0.0))
    }

    fn progress(&mut self, layer: usize, step: &SweepStep, progress: &Progress) {
        let of_fit = f64::from(progress.iteration) / f64::from(progress.max_iterations.max(1));
        let SweepStep { fits: Range { start, end }, .. } = step;
        let within = (f64::from(*start) + of_fit * f64::from(end - start)) / f64::from(step.of.max(1));
        let (done, left) = self.work(step.at, within);
        let fits = if end - start == 1 { format!("fit {end}") } else { format!("fits {} to {end}", start + 1) };
        let text = format!("{}, {fits} of {}", self.name(layer, step.at), step.of);
        self.reporter.work(&text, done / (done + left).max(f64::MIN_POSITIVE));
    }
}

impl SweepObserver for FitWatch<'_, '_, '_> {
    fn progress(&mut self, step: &SweepStep, progress: &Progress) -> ControlFlow<()> {
        self.watch.progress(self.layer, step, progress);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn fitted(&mut self, fit: Factorization) {
        self.kept.keep(fit);
    }
}
