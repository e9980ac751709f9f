//! The solvers, as recordings. An iteration is a features step from the sums (YᵀX, YᵀY) alone, then one pass over the panels
//! that updates the coefficients and gathers the next sums while a panel is at hand: X is read once.

use unmix_kernels::{
    LossTerms, Precision, Recording, Ridge, Summation, Sweeps, cross_product, feature_gram, hals_coefficients,
    hals_features, inner_product, keep_best, loss, multiplicative_update, normalization, normalize_coefficients,
    project, projected_least_squares, winner_take_all,
};

use crate::buffers::{Buffers, KeptEntries, PanelBuffers};
use crate::{Options, Solver};

/// Fewest tokens with which the cross product may be taken of rounded operands: with fewer, errors that a sum over them leaves show
/// in the features' fourth digit, and there is little time to be saved.
const FEWEST_ROUNDED: u64 = 1000;
/// Smallest norm by which the published iteration divides a column of Y.
const NORM_FLOOR: f32 = 1e-8;
/// ε of the published multiplicative update.
const PAPER_EPSILON: f32 = 1e-6;
/// Floor of [`Solver::Mu`]'s coefficients, whose columns have unit norm: exact zeros could never move again.
const MU_FLOOR: f32 = 1e-9;
/// Smallest ε: keeps a quotient of zeros finite.
const LEAST_EPSILON: f32 = 1e-30;

/// What the solvers need to know of a fit.
pub(crate) struct Plan<'a> {
    pub options: &'a Options,
    pub buffers: &'a Buffers,
    /// Power of two that brings the activations' largest magnitude to about 1.
    pub scale: f32,
    /// ‖X‖² of the scaled activations.
    pub squared_norm: f64,
}

impl Plan<'_> {
    /// What goes before the first features step: coordinate descent needs features to start from, and zeros are far off
    /// where the start's coefficients overlap.
    pub fn start(&self) -> Recording {
        let Buffers { features, least_squares: sums, .. } = self.buffers;
        let mut recording = Recording::new();
        if self.options.solver == Solver::Hals {
            projected_least_squares(&mut recording, sums, features, Ridge::Relative(self.options.ridge as f32), 0.0);
            winner_take_all(&mut recording, features, 0, self.options.rank, true);
        }
        recording
    }

    /// Z from the sums, without its Gram matrix; least squares over-relaxed by a share.
    pub fn features_step(&self, relaxation: f64) -> Recording {
        let Buffers { features, least_squares: sums, scales, .. } = self.buffers;
        let mut recording = Recording::new();
        let ridge = self.options.ridge as f32;
        match self.options.solver {
            Solver::Hals => {
                for k in 0..self.options.rank {
                    hals_features(&mut recording, sums.cross, sums.gram, features.dense, k);
                    winner_take_all(&mut recording, features, k, 1, true);
                }
            }
            Solver::Paper => {
                projected_least_squares(&mut recording, sums, features, Ridge::Absolute(ridge), relaxation as f32);
                normalization(&mut recording, sums.gram, features, *scales, NORM_FLOOR);
            }
            Solver::ProjectedLs | Solver::Mu => {
                projected_least_squares(&mut recording, sums, features, Ridge::Relative(ridge), relaxation as f32);
                normalization(&mut recording, sums.gram, features, *scales, 0.0);
            }
        }
        recording
    }

    /// ZZᵀ.
    pub fn feature_gram(&self) -> Recording {
        let mut recording = Recording::new();
        feature_gram(&mut recording, &self.buffers.features, self.buffers.feature_gram);
        recording
    }

    /// The features' Gram matrix, one pass over the panels, the loss, and the best iterate.
    pub fn pass(&self) -> Recording {
        let b = self.buffers;
        let mut recording = self.feature_gram();
        let r = &mut recording;
        for (index, panel) in b.panels.iter().enumerate() {
            self.visit(r, panel, index > 0);
            inner_product(r, panel.coefficients, b.projections_of(panel), b.inner, index > 0);
            if let (Some(norms), Some(sums)) = (panel.norms, b.weighted_sums) {
                cross_product(r, panel.coefficients, norms, sums, 1.0, index > 0, Summation::default());
            }
        }
        self.loss(r);
        if self.options.keep_best {
            let current = KeptEntries::of(&b.features);
            keep_best(r, b.state, current.indices, b.best_kept.indices);
            keep_best(r, b.state, current.values, b.best_kept.values);
            for panel in b.panels.iter().filter(|panel| panel.best_coefficients != panel.coefficients) {
                keep_best(r, b.state, panel.coefficients, panel.best_coefficients);
            }
        }
        recording
    }

    /// The features' Gram matrix, one pass that updates the coefficients by coordinate descent, `sweeps` times for features that stay
    /// as they are, and the loss.
    pub fn coefficients_pass(&self, sweeps: u32) -> Recording {
        let b = self.buffers;
        let mut recording = self.feature_gram();
        let r = &mut recording;
        for (index, panel) in b.panels.iter().enumerate() {
            let projections = b.projections_of(panel);
            project(r, panel.activations, &b.features, projections, self.scale);
            self.sweep(r, panel, sweeps);
            inner_product(r, panel.coefficients, projections, b.inner, index > 0);
            b.record_gram(r, panel.coefficients, index > 0);
        }
        self.loss(r);
        recording
    }

    /// The loss, from inner products and Gram matrices.
    fn loss(&self, r: &mut Recording) {
        let b = self.buffers;
        let gram = b.least_squares.gram;
        inner_product(r, gram, b.feature_gram, b.gram_terms, false);
        let terms = LossTerms {
            inner: b.inner,
            gram_terms: b.gram_terms,
            coefficient_gram: gram,
            feature_gram: b.feature_gram,
        };
        loss(r, terms, b.state, b.report, self.squared_norm as f32);
    }

    /// A panel's coefficients and what they add to the sums, or start them with.
    pub fn visit(&self, r: &mut Recording, panel: &PanelBuffers, accumulate: bool) {
        let b = self.buffers;
        if self.options.solver != Solver::Hals {
            normalize_coefficients(r, b.scales, panel.coefficients);
        }
        project(r, panel.activations, &b.features, b.projections_of(panel), self.scale);
        self.coefficients_step(r, panel);
        b.record_sums(r, panel, panel.coefficients, self.scale, accumulate, self.precision());
    }

    /// How precise the cross product of an iteration is. Least squares takes it as a sum over all tokens, in which rounded operands
    /// leave an error of about 1e-6 · K/n of the loss; what is said of a fit at its end does not come from it.
    pub fn precision(&self) -> Precision {
        let tokens: u64 = self.buffers.panels.iter().map(|panel| u64::from(panel.activations.rows)).sum();
        match self.options.solver {
            Solver::ProjectedLs if tokens >= FEWEST_ROUNDED => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    /// Coordinate descent on a panel's coefficients.
    fn sweep(&self, r: &mut Recording, panel: &PanelBuffers, count: u32) {
        let b = self.buffers;
        let penalty = if self.options.solver == Solver::Hals { self.options.penalty as f32 } else { 0.0 };
        let (projections, y) = (b.projections_of(panel), panel.coefficients);
        hals_coefficients(r, projections, b.feature_gram, panel.squared_norms, y, Sweeps { count, penalty });
    }

    fn coefficients_step(&self, r: &mut Recording, panel: &PanelBuffers) {
        let b = self.buffers;
        let (projections, y, sweeps) = (b.projections_of(panel), panel.coefficients, self.options.sweeps);
        let multiplicative = |r: &mut Recording, times: u32, epsilon: f32, floor: f32| {
            let previous = b.previous_of(panel);
            for _ in 0..times {
                r.copy(y.buffer(), previous.buffer(), y.elements() * 4);
                multiplicative_update(r, projections, b.feature_gram, previous, y, epsilon, floor);
            }
        };
        match self.options.solver {
            Solver::ProjectedLs | Solver::Hals => self.sweep(r, panel, sweeps),
            Solver::Mu => multiplicative(r, sweeps, LEAST_EPSILON, MU_FLOOR),
            // P and Q carry the square of the activations' scale, so ε does as well.
            Solver::Paper => {
                multiplicative(r, 1, (PAPER_EPSILON * self.scale * self.scale).clamp(LEAST_EPSILON, f32::MAX), 0.0);
            }
        }
    }
}
