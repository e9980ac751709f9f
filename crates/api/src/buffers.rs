//! Every buffer of a fit, planned before anything is allocated.

use std::collections::HashSet;

use unmix_kernels::{
    BufferId, CholeskyFactor, DESCENT_SUM_WORDS, Features, LeastSquares, MAXIMUM_PARTIALS, Matrix, PARTIAL_WORDS,
    STATE_WORDS, Split, Workspace, is_sparse, report_words,
};
use unmix_runtime::EngineLimits;

use crate::kept_entries::KeptEntries;
use crate::panels::Panel;
use crate::pass::Sums;
use crate::sample::COMPARED_NEURONS;
use crate::widths;
use crate::{Init, Options};

/// What a fit keeps of the tokens of one panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBuffers {
    /// Y [rows, K].
    pub coefficients: Matrix,
    /// Y of the best iterate; the same as `coefficients` where the last iterate is wanted, or Y can be found again.
    pub best_coefficients: Matrix,
    /// ‖xᵢ‖² of the scaled activations \[rows\].
    pub squared_norms: BufferId,
}

impl TokenBuffers {
    /// Whether the best iterate's coefficients have memory of their own.
    pub fn has_copy(&self) -> bool {
        self.best_coefficients != self.coefficients
    }
}

/// Matrices [rows of a panel, K] that are written before they are read in the visit to a panel. Fits that visit panels one after the other may
/// share them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scratch {
    projections: Matrix,
    previous: Matrix,
}

/// The buffers of a fit.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    /// One for each panel.
    pub tokens: Vec<TokenBuffers>,
    pub features: Features,
    /// The kept entries of the best iterate; those of `features` where the last iterate is wanted.
    pub best_kept: KeptEntries,
    pub sums: Sums,
    /// Some of the sums as operands of least squares.
    pub least_squares: LeastSquares,
    pub feature_gram: Matrix,
    pub scales: BufferId,
    scratch: Scratch,
    pub gram_terms: BufferId,
    pub state: BufferId,
    pub report: BufferId,
    pub maxima: BufferId,
    /// A chosen token's activations [1, d].
    pub gathered: Matrix,
    /// Chosen tokens: one, or one a cluster.
    pub gathered_tokens: BufferId,
    /// One word a token of a panel: its cluster, or its residual.
    pub token_words: BufferId,
    /// Clusters' centroids [K, neurons compared]; the dense features, where those have memory of their own.
    pub centroids: Matrix,
    pub centroid_norms: BufferId,
    /// Number of tokens of each cluster of k-means \[K\].
    pub cluster_sizes: BufferId,
    /// ‖xᵢ‖² of each panel's sampled tokens.
    pub sample_norms: Vec<BufferId>,
}

impl Buffers {
    /// Plans a fit of activations cut into `panels`, among the buffers that `w` has already.
    pub fn plan(w: &mut Workspace, panels: &[Panel], options: &Options, limits: &EngineLimits) -> Self {
        Self::plan_beside(w, panels, options, limits, &[])
    }

    /// Plans a fit beside `others` of the same session. What it needs only during a visit to a panel, it shares with one of them that has as
    /// many features, if there are already as many such fits as may run side by side.
    pub fn plan_beside(
        w: &mut Workspace,
        panels: &[Panel],
        options: &Options,
        limits: &EngineLimits,
        others: &[&Buffers],
    ) -> Self {
        let neurons = panels.first().map_or(1, |panel| panel.activations.columns);
        let rank = options.rank;
        let kept = options.kept(neurons);
        let (cross, dense) = if take_turns(options, kept, neurons) {
            let both = w.matrix("features or cross product", rank, neurons);
            (both, both)
        } else {
            (w.matrix("cross product", rank, neurons), w.matrix("features", rank, neurons))
        };
        // The warm-up may begin with wider features, in the same memory.
        let widest = Features::in_workspace(w, dense, widths::widest(options, kept, neurons));
        let features = Features { kept, ..widest };
        let by_kmeans = options.init == Init::Kmeans;
        let centroids = if dense == cross && by_kmeans {
            w.matrix("centroids", rank, neurons.min(COMPARED_NEURONS))
        } else {
            dense
        };
        let best_kept = plan_best_kept(w, options, &features);
        let tokens = plan_tokens(w, panels, options, kept);
        let rows = panels.iter().map(Panel::rows).max().unwrap_or(1);
        let shape = |scratch: &Scratch| (scratch.projections.rows, scratch.projections.columns);
        let alike = others.iter().map(|other| other.scratch).filter(|scratch| shape(scratch) == (rows, rank));
        let alike: Vec<Scratch> = alike.collect();
        let scratch = match alike.len().checked_sub(limits.side_by_side) {
            Some(number) => alike[number],
            None => Scratch {
                projections: w.matrix("projections", rows, rank),
                previous: w.matrix("previous coefficients", rows, rank),
            },
        };
        let gram = w.matrix("coefficient Gram matrix", rank, rank);
        let factor = CholeskyFactor::in_workspace(w, rank);
        let penalized = options.solver.updates().coefficients.is_penalized();
        let gram_parts = parts_to_fill(rank, rank, rows, limits).max(parts_to_sum(rows, limits));
        let gram_parts = gram_parts.min(parts_in_memory(gram, limits));
        let cross_parts = parts_to_fill(rank, neurons, rows, limits).min(parts_in_memory(cross, limits));
        Buffers {
            tokens,
            features,
            best_kept,
            sums: Sums {
                cross,
                gram,
                inner: w.words("inner products", DESCENT_SUM_WORDS.into()),
                inner_words: if penalized { DESCENT_SUM_WORDS } else { PARTIAL_WORDS },
                cross_split: split(w, "cross product parts", cross_parts, cross),
                gram_split: split(w, "coefficient Gram parts", gram_parts, gram),
            },
            least_squares: LeastSquares { gram, cross, factor },
            feature_gram: w.matrix("feature Gram matrix", rank, rank),
            scales: w.words("scales", rank.into()),
            scratch,
            gram_terms: w.words("Gram terms", PARTIAL_WORDS.into()),
            state: w.words("state", STATE_WORDS.into()),
            report: w.words("report", report_words(rank).into()),
            maxima: w.words("maxima", MAXIMUM_PARTIALS.into()),
            gathered: w.matrix("gathered token", 1, neurons),
            gathered_tokens: w.words("tokens to gather", if by_kmeans { rank.into() } else { 1 }),
            token_words: w.words("words of the panel's tokens", rows.into()),
            centroids,
            centroid_norms: w.words("centroid norms", if by_kmeans { rank.into() } else { 1 }),
            cluster_sizes: w.words("cluster sizes", if by_kmeans { rank.into() } else { 1 }),
            sample_norms: panels
                .iter()
                .map(|panel| if by_kmeans { panel.rows() } else { 1 })
                .map(|rows| w.words("norms of sampled tokens", rows.into()))
                .collect(),
        }
    }

    /// The same buffers for a fit over the first `neurons` neurons, whose features keep `kept` of them.
    pub fn first_neurons(&self, neurons: u32, kept: u32) -> Self {
        let cross = self.sums.cross.first_columns(neurons);
        Buffers {
            features: Features { dense: self.features.dense.first_columns(neurons), kept, ..self.features },
            sums: Sums { cross, ..self.sums },
            least_squares: LeastSquares { cross, ..self.least_squares },
            centroids: self.centroids.first_columns(self.centroids.columns.min(neurons)),
            ..self.clone()
        }
    }

    /// The buffers that carry what a fit keeps of the tokens of a panel from one iteration to the next, and what was measured of them.
    pub fn carried_of_panel(&self, panel: usize) -> Vec<BufferId> {
        let TokenBuffers { coefficients, best_coefficients, squared_norms, .. } = self.tokens[panel];
        distinct(vec![coefficients.buffer(), best_coefficients.buffer(), squared_norms])
    }

    /// The buffers that carry the rest of a fit's state from one iteration to the next. All others are written before they are read.
    pub fn carried_of_fit(&self) -> Vec<BufferId> {
        let mut carried = Vec::new();
        let Features { dense, indices, values, .. } = self.features;
        let KeptEntries { indices: best_indices, values: best_values } = self.best_kept;
        carried.extend([dense.buffer(), indices, values, best_indices.buffer(), best_values.buffer()]);
        carried.extend([self.sums.cross.buffer(), self.sums.gram.buffer(), self.feature_gram.buffer()]);
        carried.extend([self.scales, self.state]);
        distinct(carried)
    }

    /// Y of a panel's tokens; of a sample, the panel's first rows.
    pub fn coefficients(&self, panel: &Panel) -> Matrix {
        self.tokens[panel.index].coefficients.first_rows(panel.rows())
    }

    /// ‖xᵢ‖² of a panel's tokens.
    pub fn squared_norms(&self, panel: &Panel) -> BufferId {
        if panel.every > 1 { self.sample_norms[panel.index] } else { self.tokens[panel.index].squared_norms }
    }

    /// The centroids' first neurons, by which k-means compares tokens.
    pub fn compared_centroids(&self) -> Matrix {
        self.centroids.first_columns(self.centroids.columns.min(COMPARED_NEURONS))
    }

    /// P for a panel, which the next panel's takes the place of.
    pub fn projections(&self, panel: &Panel) -> Matrix {
        self.scratch.projections.first_rows(panel.rows())
    }

    /// A second matrix of that shape.
    pub fn previous(&self, panel: &Panel) -> Matrix {
        self.scratch.previous.first_rows(panel.rows())
    }
}

/// Each buffer once.
fn distinct(mut buffers: Vec<BufferId>) -> Vec<BufferId> {
    let mut seen = HashSet::new();
    buffers.retain(|buffer| seen.insert(*buffer));
    buffers
}

fn plan_best_kept(w: &mut Workspace, options: &Options, features: &Features) -> KeptEntries {
    let current = KeptEntries::of(features);
    if !options.keep_best {
        return current;
    }
    let mut copy =
        |name: &str, entries: Matrix| Matrix { resource: w.words(name, entries.elements()).into(), ..entries };
    KeptEntries {
        indices: copy("best kept neurons", current.indices),
        values: copy("best kept values", current.values),
    }
}

fn plan_tokens(w: &mut Workspace, panels: &[Panel], options: &Options, kept: u32) -> Vec<TokenBuffers> {
    let neurons = panels.first().map_or(1, |panel| panel.activations.columns);
    let copies = options.keep_best && !finds_again(options, kept, neurons);
    let mut plan = |panel: &Panel| {
        let (rows, panel) = (panel.rows(), panel.number);
        let coefficients = w.matrix(format!("coefficients of panel {panel}"), rows, options.rank);
        TokenBuffers {
            coefficients,
            best_coefficients: if copies {
                w.matrix(format!("best coefficients of panel {panel}"), rows, options.rank)
            } else {
                coefficients
            },
            squared_norms: w.words(format!("squared norms of panel {panel}"), rows.into()),
        }
    };
    panels.iter().map(&mut plan).collect()
}

/// Whether the dense features and the cross product can have the same memory. The update of the features turns this into those, and
/// the next pass needs but the kept entries. Not where features are updated in place, where dense projections read features while the
/// sums are gathered, or where the start uses both at once.
fn take_turns(options: &Options, kept: u32, neurons: u32) -> bool {
    finds_again(options, kept, neurons) && options.init != Init::Svd
}

/// Whether the best iterate's coefficients need no copy, for they can be found again from its features, by least squares. A copy
/// would be a matrix of tokens × features, and would be written in most iterations.
fn finds_again(options: &Options, kept: u32, neurons: u32) -> bool {
    options.solver.updates().alternate_least_squares() && is_sparse(kept, neurons)
}

/// Parts into which a product is split over tokens so that its tiles, too few by themselves, fill the device.
fn parts_to_fill(rank: u32, columns: u32, rows: u32, limits: &EngineLimits) -> u32 {
    const FEWEST_ROWS: u32 = 256;
    let tiles = rank.div_ceil(64) * columns.div_ceil(64);
    // Some 32 workgroups for each part that the device likes keep its cores busy; the product's tiles already give some.
    (limits.product_splits * 32).div_ceil(tiles).min(limits.product_splits).min(rows / FEWEST_ROWS)
}

/// The Gram matrix enters the loss as it is, so that long f32 sums would cost the digits by which iterates differ.
fn parts_to_sum(rows: u32, limits: &EngineLimits) -> u32 {
    const MOST_PARTS: u32 = 64;
    rows.div_ceil(limits.summation_rows).min(MOST_PARTS)
}

/// Most parts of a sum that ends up in `out`, so that they fit one binding and little memory. With many features a single part has work
/// for all cores.
fn parts_in_memory(out: Matrix, limits: &EngineLimits) -> u32 {
    const MOST_BYTES: u64 = 256 << 20;
    let most = MOST_BYTES.min(limits.max_binding_bytes) / (out.elements() * 4).max(1);
    u32::try_from(most).unwrap_or(u32::MAX).max(1)
}

/// Room for the parts of a sum that ends up in `out`.
fn split(w: &mut Workspace, name: &str, parts: u32, out: Matrix) -> Option<Split> {
    (parts > 1).then(|| Split { parts, partials: w.words(name, u64::from(parts) * out.elements()) })
}
