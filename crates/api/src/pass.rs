//! A pass over the panels. Only this file knows the order of the panels, which of them is the first, and which sums accumulate.

use unmix_kernels::{
    BufferId, InnerSum, Matrix, Precision, Recording, ReducedSum, Reduction, Split, SumKind, Summation,
    coefficient_gram, cross_product_parts, fixed_order_sums,
};

use crate::distribution::Distribution;
use crate::panels::Panel;

/// The sums over all tokens that a pass computes: where they are stored, and how they are added up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    /// YᵀX [K, d].
    pub cross: Matrix,
    /// YᵀY [K, K].
    pub gram: Matrix,
    /// ⟨Y, P⟩, as partial sums, and behind them Σ ‖xᵢ‖ y_ik, where the coefficients are found by coordinate descent.
    pub inner: BufferId,
    /// Words of these: those of both sums where coefficients are penalized, and else those of the first.
    pub inner_words: u32,
    /// The parts in which the cross product is summed.
    pub cross_split: Option<Split>,
    /// The parts in which the Gram matrix is summed.
    pub gram_split: Option<Split>,
}

/// What remains of a panel after its visit: the sums to which its coefficients add.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PanelSums {
    /// Y [rows, K], or only its first columns. In that case the sums are the first rows and columns of their matrices.
    pub coefficients: Matrix,
    /// If set, the coefficients add to the cross product with this precision.
    pub cross: Option<Precision>,
    /// Whether they add to the Gram matrix.
    pub gram: bool,
    /// Whether the visit adds to the partial sums of ⟨Y, P⟩ and Σ ‖xᵢ‖ y_ik, as [`Pass::inner_sum`] says.
    pub inner: bool,
}

impl PanelSums {
    /// No sums yet. `PanelSums { …, ..PanelSums::of(coefficients) }` chooses some.
    pub fn of(coefficients: Matrix) -> Self {
        PanelSums { coefficients, cross: None, gram: false, inner: false }
    }

    /// The sums to which the coefficients add, for a reduction.
    fn reduced(&self, sums: &Sums) -> Vec<ReducedSum> {
        let features = self.coefficients.columns;
        let rows = |out: Matrix| ReducedSum {
            buffer: out.buffer(),
            words: out.first_rows(features.min(out.rows)).elements(),
            kind: SumKind::Numbers,
        };
        let mut reduced = Vec::new();
        reduced.extend(self.cross.map(|_| rows(sums.cross)));
        reduced.extend(self.gram.then(|| rows(sums.gram)));
        let inner = ReducedSum { buffer: sums.inner, words: sums.inner_words.into(), kind: SumKind::Pairs };
        reduced.extend(self.inner.then_some(inner));
        reduced
    }
}

/// A pass over some panels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    /// The panels in the order in which they are visited.
    pub panels: &'a [Panel],
    /// Where the sums are stored.
    pub sums: &'a Sums,
    /// Power of two by which activations are multiplied.
    pub scale: f32,
    /// The segments of the tokens, and who has them.
    pub distribution: &'a Distribution,
}

impl Pass<'_> {
    /// Records the pass. `visit` records what happens to a panel, and returns the sums to which the panel adds. A panel is finished before
    /// the next one begins. Commands before and after the pass are recorded before and after this call.
    pub fn record(&self, r: &mut Recording, mut visit: impl FnMut(&mut Recording, &Panel) -> PanelSums) {
        record_together(r, &[*self], |r, _, panel| visit(r, panel));
    }

    /// What becomes of these partial sums with a panel. The first panel of a segment starts them.
    pub fn inner_sum(&self, panel: &Panel) -> InnerSum {
        let place = self.panels.partition_point(|other| other.index < panel.index);
        if self.begins(place) { InnerSum::Started } else { InnerSum::Continued }
    }

    /// Records how a panel adds to the sums. Without `accumulate`, the panel starts the sums.
    fn add(&self, r: &mut Recording, panel: &Panel, leaving: &PanelSums, accumulate: bool) {
        let (x, y, sums) = (panel.activations, leaving.coefficients, self.sums);
        let mut in_parts = Vec::new();
        if let Some(precision) = leaving.cross {
            let out = sums.cross.first_rows(y.columns).first_columns(x.columns);
            let summation = Summation { precision, split: sums.cross_split };
            in_parts.extend(cross_product_parts(r, x, y, out, self.scale, accumulate, summation));
        }
        if leaving.gram {
            let out = sums.gram.first_rows(y.columns).first_columns(y.columns);
            in_parts.extend(coefficient_gram(r, y, out, accumulate, sums.gram_split));
        }
        fixed_order_sums(r, &in_parts);
    }

    /// Number of the segment that the panel at `place` is in, if there is one.
    fn segment(&self, place: usize) -> Option<u32> {
        self.panels.get(place).map(|panel| self.distribution.segment_of(panel))
    }

    /// Whether the panel at `place` is the first of its segment.
    fn begins(&self, place: usize) -> bool {
        place == 0 || self.segment(place - 1) != self.segment(place)
    }

    /// After the last panel of a segment, records the reduction of its sums.
    fn reduce(&self, r: &mut Recording, place: usize, leaving: &PanelSums) {
        let (Some(segment), next) = (self.segment(place), self.segment(place + 1)) else { return };
        if !self.distribution.is_whole() && next != Some(segment) {
            let segments = self.distribution.segments();
            r.reduce(Reduction { segment, segments, last: next.is_none(), sums: leaving.reduced(self.sums) });
        }
    }
}

/// Records passes of several fits as one, in which each panel of the activations is read once. The fits visit the panels, or samples of
/// their rows. `visit` gets the number of the pass. The commands of each pass, and their order, are those of the pass alone.
pub(crate) fn record_together(
    r: &mut Recording,
    passes: &[Pass<'_>],
    mut visit: impl FnMut(&mut Recording, usize, &Panel) -> PanelSums,
) {
    let last = passes.iter().filter_map(|pass| pass.panels.last()).map(|panel| panel.whole).max();
    for whole in 0..last.map_or(0, |last| last + 1) {
        for (number, pass) in passes.iter().enumerate() {
            // A sample may have no row in a panel, and a fit may visit a panel in parts.
            let first = pass.panels.partition_point(|panel| panel.whole < whole);
            let parts = pass.panels.iter().enumerate().skip(first).take_while(|(_, panel)| panel.whole == whole);
            for (place, panel) in parts {
                let leaving = visit(r, number, panel);
                pass.add(r, panel, &leaving, !pass.begins(place));
                pass.reduce(r, place, &leaving);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{ElementType, Resource, Workspace};
    use unmix_runtime::{CpuEngine, Engine, PanelLayout};

    use super::*;
    use crate::SemiNmf;
    use crate::panels::panels_of;
    use crate::sample::Sample;

    /// The panels that a pass binds, dispatch after dispatch, and whether its dispatches read what they add to.
    fn recorded(layout: &PanelLayout, panels: &[Panel]) -> (Vec<u32>, Vec<bool>) {
        let mut workspace = Workspace::default();
        let y = workspace.matrix("coefficients", 100, 3);
        let sums = Sums {
            cross: workspace.matrix("cross product", 3, 8),
            gram: workspace.matrix("Gram matrix", 3, 3),
            inner: workspace.words("inner products", 512),
            inner_words: 512,
            cross_split: None,
            gram_split: None,
        };
        let mut recording = Recording::new();
        let distribution = Distribution::alone(layout);
        Pass { panels, sums: &sums, scale: 1.0, distribution: &distribution }.record(&mut recording, |_, panel| {
            let coefficients = y.first_rows(panel.rows());
            PanelSums { cross: Some(Precision::F32), gram: true, ..PanelSums::of(coefficients) }
        });
        let bound = recording.dispatches().filter_map(|dispatch| match dispatch.bindings[0] {
            Resource::Panel(panel) => Some(panel),
            Resource::Buffer(_) => None,
        });
        let added = recording.dispatches().map(|dispatch| !dispatch.cost.moved[2].read.is_empty());
        (bound.collect(), added.collect())
    }

    #[test]
    fn the_first_panel_starts_the_sums_and_the_others_add_to_them() {
        let layout = PanelLayout { tokens: 250, neurons: 8, element: ElementType::F32, panel_rows: 100, stride: 8 };
        let panels = panels_of(&layout, 0, &SemiNmf::new(3).options(8), CpuEngine::new().limits());
        assert_eq!(recorded(&layout, &panels), (vec![0, 1, 2], vec![false, false, true, true, true, true]));
        // Of a sample the first panel may have no rows.
        let sample = Sample::of(&panels[1..], 70);
        assert_eq!(sample.panels.iter().map(|panel| panel.first_token).collect::<Vec<_>>(), [140, 210]);
        assert_eq!(recorded(&layout, &sample.panels), (vec![1, 2], vec![false, false, true, true]));
    }
}
