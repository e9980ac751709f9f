//! The steps of an iteration, as recordings. An iteration begins with an update of the features, which needs only the sums (YᵀX, YᵀY). Then
//! one pass over the panels updates the coefficients and computes the next sums. Both happen while a panel is at hand, so X is read once.

use unmix_kernels::{
    BufferId, InnerSum, LossTerms, Precision, Recording, feature_gram, inner_product, keep_best, keep_best_pair, loss,
    project, project_with_gram,
};

use crate::Options;
use crate::buffers::Buffers;
use crate::coefficients_update::{self, CoefficientsUpdate, HalsCoefficients};
use crate::distribution::Distribution;
use crate::features_update;
use crate::kept_entries::KeptEntries;
use crate::panels::Panel;
use crate::pass::{PanelSums, Pass, record_together};
use crate::solver::Updates;

/// The cross product may use rounded operands only if there are at least this number of tokens. With fewer tokens, the errors show in the
/// fourth digit of the features, and little time would be saved.
const FEWEST_ROUNDED: u64 = 1000;

/// What the steps need to know about a fit.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a> {
    pub options: &'a Options,
    /// All panels of the activations.
    pub panels: &'a [Panel],
    pub buffers: &'a Buffers,
    /// Power of two that brings the activations' largest magnitude to about 1.
    pub scale: f32,
    /// ‖X‖² of the scaled activations.
    pub squared_norm: f64,
    /// Who has which tokens.
    pub distribution: &'a Distribution,
}

impl<'a> Steps<'a> {
    fn updates(&self) -> Updates {
        self.options.solver.updates()
    }

    /// A pass over `panels` that computes the sums of the fit.
    pub fn over(&self, panels: &'a [Panel]) -> Pass<'a> {
        Pass { panels, sums: &self.buffers.sums, scale: self.scale, distribution: self.distribution }
    }

    /// The commands before the first update of the features, for a start that provides coefficients and their sums.
    pub fn start(&self) -> Recording {
        let mut recording = Recording::new();
        self.updates().features.start(&mut recording, &self.features_operands(), self.features_settings(0.0));
        recording
    }

    /// Updates the features Z from the sums. `relaxation` is the over-relaxation of least squares. The Gram matrix of the features is not
    /// updated.
    pub fn features_step(&self, relaxation: f64) -> Recording {
        let mut recording = Recording::new();
        let settings = self.features_settings(relaxation);
        self.updates().features.record(&mut recording, &self.features_operands(), settings);
        recording
    }

    fn features_operands(&self) -> features_update::Operands<'_> {
        let Buffers { features, feature_gram, least_squares, scales, .. } = self.buffers;
        features_update::Operands { sums: least_squares, features, feature_gram: *feature_gram, scales: *scales }
    }

    fn features_settings(&self, relaxation: f64) -> features_update::Settings {
        features_update::Settings { ridge: self.options.ridge as f32, relaxation: relaxation as f32 }
    }

    /// Computes ZZᵀ.
    pub fn feature_gram(&self) -> Recording {
        let mut recording = Recording::new();
        feature_gram(&mut recording, &self.buffers.features, self.buffers.feature_gram);
        recording
    }

    /// Computes the Gram matrix of the features, runs one pass over the panels with `updates` updates of the coefficients, computes the
    /// loss, and keeps the best iterate.
    pub fn pass(&self, updates: u32) -> Recording {
        passes(&[(*self, updates)])
    }

    /// Updates the coefficients of a panel in an iteration, and returns the sums to which they add.
    fn visit_in_iteration(&self, r: &mut Recording, panel: &Panel, updates: u32) -> PanelSums {
        let inner = self.over(self.panels).inner_sum(panel);
        let with_gram = begins(self.panels, panel);
        PanelSums { inner: true, ..self.visit(r, panel, updates, inner, with_gram) }
    }

    /// Keeps the iterate if it is the best so far.
    fn keep_best(&self, r: &mut Recording) {
        if !self.options.keep_best {
            return;
        }
        let b = self.buffers;
        let current = KeptEntries::of(&b.features);
        let best = b.best_kept;
        keep_best_pair(r, b.state, [(current.indices, best.indices), (current.values, best.values)]);
        for tokens in b.tokens.iter().filter(|tokens| tokens.has_copy()) {
            keep_best(r, b.state, tokens.coefficients, tokens.best_coefficients);
        }
    }

    /// Computes the Gram matrix of the features, and runs a pass over a sample. It does not compute a loss.
    pub fn sample_pass(&self, sample: &'a [Panel]) -> Recording {
        sample_passes(&[(*self, sample)])
    }

    /// Computes the Gram matrix of the features, runs one pass with `sweeps` sweeps of coordinate descent on the coefficients, and computes
    /// the loss. The features stay as they are. With `cross`, the pass also computes the cross product.
    pub fn coefficients_pass(&self, sweeps: u32, cross: bool) -> Recording {
        let penalized = self.updates().coefficients.is_penalized();
        let descent = if penalized { HalsCoefficients::PENALIZED } else { HalsCoefficients::PLAIN };
        let mut recording = self.descent_pass(&descent, sweeps, cross);
        self.loss(&mut recording);
        recording
    }

    /// As [`coefficients_pass`](Self::coefficients_pass) with the cross product, but without the penalty, and coefficients of zero stay zero. It
    /// computes no loss.
    pub fn unshrinking_pass(&self, sweeps: u32) -> Recording {
        self.descent_pass(&HalsCoefficients::UNSHRINKING, sweeps, true)
    }

    /// Computes the Gram matrix of the features, and runs one pass with `sweeps` sweeps of this descent, without a loss.
    fn descent_pass(&self, descent: &HalsCoefficients, sweeps: u32, cross: bool) -> Recording {
        let b = self.buffers;
        let mut recording = self.feature_gram();
        let r = &mut recording;
        let pass = self.over(self.panels);
        pass.record(r, |r, panel| {
            project(r, panel.activations, &b.features, b.projections(panel), self.scale);
            let settings = self.coefficients_settings(sweeps, pass.inner_sum(panel));
            descent.record(r, &self.coefficients_operands(panel, None), settings);
            PanelSums {
                cross: cross.then_some(Precision::F32),
                gram: true,
                inner: true,
                ..PanelSums::of(b.coefficients(panel))
            }
        });
        recording
    }

    /// Computes the cross product and the Gram matrix of the coefficients in place.
    pub fn sums(&self, precision: Precision) -> Recording {
        let mut recording = Recording::new();
        self.over(self.panels).record(&mut recording, |_, panel| PanelSums {
            cross: Some(precision),
            gram: true,
            ..PanelSums::of(self.buffers.coefficients(panel))
        });
        recording
    }

    /// Computes the loss from inner products and Gram matrices.
    fn loss(&self, r: &mut Recording) {
        let b = self.buffers;
        let gram = b.sums.gram;
        inner_product(r, gram, b.feature_gram, b.gram_terms, false);
        let terms = LossTerms {
            inner: b.sums.inner,
            gram_terms: b.gram_terms,
            coefficient_gram: gram,
            feature_gram: b.feature_gram,
            factorization: b.least_squares.factor.status,
        };
        loss(r, terms, b.state, b.report, self.squared_norm as f32);
    }

    /// Updates the coefficients of a panel, and returns the sums to which they add. With `with_gram`, computes the Gram matrix of the features
    /// before that.
    fn visit(&self, r: &mut Recording, panel: &Panel, updates: u32, inner: InnerSum, with_gram: bool) -> PanelSums {
        let b = self.buffers;
        let (x, projections) = (panel.activations, b.projections(panel));
        if with_gram {
            project_with_gram(r, x, &b.features, projections, self.scale, b.feature_gram);
        } else {
            project(r, x, &b.features, projections, self.scale);
        }
        // Otherwise the update of the features has moved the norms of the columns to the features.
        let scales = (!self.updates().features.keeps_unit_norm()).then_some(b.scales);
        let operands = self.coefficients_operands(panel, scales);
        self.updates().coefficients.record(r, &operands, self.coefficients_settings(updates, inner));
        PanelSums { cross: Some(self.precision()), gram: true, ..PanelSums::of(b.coefficients(panel)) }
    }

    /// The precision of the cross product in an iteration, which is a sum over all tokens. For least squares both operands may be rounded:
    /// that raises the loss by about 1e-6 · K/n of itself. For coordinate descent the coefficients may be rounded, to more bits, because its
    /// fits go on for longer. The sums that describe the result are computed again at the end.
    pub fn precision(&self) -> Precision {
        let updates = self.updates();
        if self.distribution.tokens() < FEWEST_ROUNDED {
            Precision::F32
        } else if updates.alternate_least_squares() {
            Precision::Bf16
        } else if updates.features.keeps_unit_norm() {
            Precision::F16
        } else {
            Precision::F32
        }
    }

    fn coefficients_operands(&self, panel: &Panel, scales: Option<BufferId>) -> coefficients_update::Operands {
        let b = self.buffers;
        coefficients_update::Operands {
            feature_gram: b.feature_gram,
            projections: b.projections(panel),
            coefficients: b.coefficients(panel),
            scales,
            previous: b.previous(panel),
            squared_norms: b.squared_norms(panel),
            inner: b.sums.inner,
        }
    }

    fn coefficients_settings(&self, updates: u32, inner: InnerSum) -> coefficients_update::Settings {
        coefficients_update::Settings { updates, penalty: self.options.penalty as f32, scale: self.scale, inner }
    }
}

/// The passes of several fits as one recording, each with its number of updates of the coefficients. Each panel is read once.
pub(crate) fn passes(of: &[(Steps<'_>, u32)]) -> Recording {
    let over: Vec<(Steps<'_>, &[Panel])> = of.iter().map(|&(steps, _)| (steps, steps.panels)).collect();
    let mut recording = together(&over, |r, number, panel| of[number].0.visit_in_iteration(r, panel, of[number].1));
    for (steps, _) in of {
        steps.loss(&mut recording);
        steps.keep_best(&mut recording);
    }
    recording
}

/// The passes of several fits, each over a sample, as one recording. They compute no losses. Each panel is read once.
pub(crate) fn sample_passes(of: &[(Steps<'_>, &[Panel])]) -> Recording {
    together(of, |r, number, panel| {
        let (steps, panels) = of[number];
        steps.visit(r, panel, steps.options.sweeps, InnerSum::Skipped, begins(panels, panel))
    })
}

/// As [`sample_passes`], of fits over the first neurons alone, except that the sums are those of all neurons. `of` has the steps of each fit over
/// the first neurons, those over all neurons, and a sample with all neurons.
pub(crate) fn widening_passes(of: &[(Steps<'_>, Steps<'_>, &[Panel])]) -> Recording {
    let mut recording = Recording::new();
    of.iter().for_each(|(narrow, ..)| recording.append(narrow.feature_gram()));
    let over: Vec<Pass<'_>> = of.iter().map(|(_, whole, panels)| whole.over(panels)).collect();
    record_together(&mut recording, &over, |r, number, panel| {
        let (narrow, ..) = of[number];
        let seen = panel.first_neurons(narrow.buffers.features.dense.columns);
        narrow.visit(r, &seen, narrow.options.sweeps, InnerSum::Skipped, false)
    });
    recording
}

/// Whether a pass over `panels` begins with this one.
fn begins(panels: &[Panel], panel: &Panel) -> bool {
    panels.first().is_some_and(|first| first.index == panel.index)
}

/// One pass of several fits. The visit to its first panel computes the Gram matrix of the features. A fit without a panel computes it
/// alone.
fn together(of: &[(Steps<'_>, &[Panel])], visit: impl FnMut(&mut Recording, usize, &Panel) -> PanelSums) -> Recording {
    let mut recording = Recording::new();
    for (steps, _) in of.iter().filter(|(_, panels)| panels.is_empty()) {
        recording.append(steps.feature_gram());
    }
    let over: Vec<Pass<'_>> = of.iter().map(|(steps, panels)| steps.over(panels)).collect();
    record_together(&mut recording, &over, visit);
    recording
}
