//! Every buffer of a fit, planned before anything is allocated.

use unmix_kernels::{
    BufferId, ElementType, Features, LeastSquares, MAXIMUM_PARTIALS, Matrix, PARTIAL_WORDS, Precision, Recording,
    STATE_WORDS, STATUS_WORDS, Split, Summation, Workspace, coefficient_gram, cross_product, is_sparse, report_words,
};
use unmix_runtime::{EngineLimits, PanelLayout};

use crate::kmeans::COMPARED_NEURONS;
use crate::{Init, Options, Solver, warm_up};

/// Rows that [`gathered`](Buffers::gathered) holds.
pub(crate) const GATHERED_ROWS: u32 = 8;

/// What belongs to one row panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PanelBuffers {
    /// Token of the whole matrix with which the panel starts.
    pub first_row: u32,
    /// X [rows, d].
    pub activations: Matrix,
    /// Y [rows, K].
    pub coefficients: Matrix,
    /// Y of the best iterate; the same as `coefficients` where the last iterate is wanted, or Y can be found again.
    pub best_coefficients: Matrix,
    /// ‖xᵢ‖² of the scaled activations [rows].
    pub squared_norms: BufferId,
    /// ‖xᵢ‖ as a column [rows, 1]; only for [`Solver::Hals`].
    pub norms: Option<Matrix>,
}

/// The kept entries of all features, each list as one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptEntries {
    /// Kept neurons of feature after feature, m of each.
    pub indices: Matrix,
    /// Their values.
    pub values: Matrix,
}

impl KeptEntries {
    /// Those of `features`.
    pub fn of(features: &Features) -> Self {
        let count = features.dense.rows * features.kept;
        let row = |buffer: BufferId| Matrix {
            resource: buffer.into(),
            element: ElementType::F32,
            rows: 1,
            columns: count,
            stride: count.next_multiple_of(4),
            first: 0,
        };
        KeptEntries { indices: row(features.indices), values: row(features.values) }
    }
}

/// The buffers of a fit.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    pub panels: Vec<PanelBuffers>,
    pub features: Features,
    /// The kept entries of the best iterate; those of `features` where the last iterate is wanted.
    pub best_kept: KeptEntries,
    pub least_squares: LeastSquares,
    pub feature_gram: Matrix,
    pub scales: BufferId,
    /// P of the panel at hand.
    pub projections: Matrix,
    /// A second matrix of that shape.
    pub previous: Matrix,
    pub inner: BufferId,
    pub gram_terms: BufferId,
    pub state: BufferId,
    pub report: BufferId,
    /// Σᵢ ‖xᵢ‖ y_ik [1, K]; only for [`Solver::Hals`].
    pub weighted_sums: Option<Matrix>,
    pub maxima: BufferId,
    /// Chosen tokens' activations.
    pub gathered: Matrix,
    pub gathered_tokens: BufferId,
    /// One word a token of a panel: its cluster, or its residual.
    pub token_words: BufferId,
    /// Clusters' centroids [K, neurons compared]; the dense features, where those have memory of their own.
    pub centroids: Matrix,
    pub centroid_norms: BufferId,
    /// ‖xᵢ‖² of a panel's sampled tokens.
    pub sample_norms: BufferId,
    cross_split: Option<Split>,
    gram_split: Option<Split>,
}

impl Buffers {
    /// Plans a fit of activations cut as `layout`.
    pub fn plan(layout: &PanelLayout, options: &Options, limits: &EngineLimits) -> (Workspace, Self) {
        let mut workspace = Workspace::default();
        let w = &mut workspace;
        let (rank, neurons) = (options.rank, layout.neurons);
        let kept = options.kept(neurons);
        let (cross, dense) = if take_turns(options, kept, neurons) {
            let both = w.matrix("features or cross product", rank, neurons);
            (both, both)
        } else {
            (w.matrix("cross product", rank, neurons), w.matrix("features", rank, neurons))
        };
        // The warm-up may begin with wider features, in the same memory.
        let widest = Features::in_workspace(w, dense, warm_up::widest(options, kept, neurons));
        let features = Features { kept, ..widest };
        let centroids = if dense == cross && options.init == Init::Kmeans {
            w.matrix("centroids", rank, neurons.min(COMPARED_NEURONS))
        } else {
            dense
        };
        let current = KeptEntries::of(&features);
        let best_kept = if options.keep_best {
            KeptEntries {
                indices: Matrix {
                    resource: w.words("best kept neurons", current.indices.elements()).into(),
                    ..current.indices
                },
                values: Matrix {
                    resource: w.words("best kept values", current.values.elements()).into(),
                    ..current.values
                },
            }
        } else {
            current
        };
        let hals = options.solver == Solver::Hals;
        let copies = options.keep_best && !finds_again(options, kept, neurons);
        let panels = (0..layout.panels())
            .map(|panel| {
                let activations = layout.panel(panel);
                let rows = activations.rows;
                let coefficients = w.matrix(format!("coefficients of panel {panel}"), rows, rank);
                PanelBuffers {
                    first_row: layout.rows(panel).start as u32,
                    activations,
                    coefficients,
                    best_coefficients: if copies {
                        w.matrix(format!("best coefficients of panel {panel}"), rows, rank)
                    } else {
                        coefficients
                    },
                    squared_norms: w.words(format!("squared norms of panel {panel}"), rows.into()),
                    norms: hals.then(|| w.matrix(format!("norms of panel {panel}"), rows, 1)),
                }
            })
            .collect();
        let rows = layout.panel_rows;
        let gram_parts = parts_to_fill(rank, rank, rows, limits).max(parts_to_sum(rows, limits));
        let buffers = Buffers {
            panels,
            features,
            best_kept,
            least_squares: LeastSquares {
                gram: w.matrix("coefficient Gram matrix", rank, rank),
                cross,
                factor: w.matrix("Cholesky factor", rank, rank),
                status: w.words("Cholesky status", STATUS_WORDS.into()),
            },
            feature_gram: w.matrix("feature Gram matrix", rank, rank),
            scales: w.words("scales", rank.into()),
            projections: w.matrix("projections", rows, rank),
            previous: w.matrix("previous coefficients", rows, rank),
            inner: w.words("inner products", PARTIAL_WORDS.into()),
            gram_terms: w.words("Gram terms", PARTIAL_WORDS.into()),
            state: w.words("state", STATE_WORDS.into()),
            report: w.words("report", report_words(rank).into()),
            weighted_sums: hals.then(|| w.matrix("weighted sums", 1, rank)),
            maxima: w.words("maxima", MAXIMUM_PARTIALS.into()),
            gathered: w.matrix("gathered tokens", GATHERED_ROWS, neurons),
            gathered_tokens: w.words("tokens to gather", GATHERED_ROWS.into()),
            token_words: w.words("words of the panel's tokens", rows.into()),
            centroids,
            centroid_norms: w.words("centroid norms", if options.init == Init::Kmeans { rank.into() } else { 1 }),
            sample_norms: w
                .words("norms of sampled tokens", if options.init == Init::Kmeans { rows.into() } else { 1 }),
            cross_split: split(w, "cross product parts", parts_to_fill(rank, neurons, rows, limits), rank, neurons),
            gram_split: split(w, "coefficient Gram parts", gram_parts, rank, rank),
        };
        (workspace, buffers)
    }

    /// Records what a panel adds to the cross product and the coefficient Gram matrix, or starts them with.
    pub fn record_sums(
        &self,
        recording: &mut Recording,
        panel: &PanelBuffers,
        coefficients: Matrix,
        scale: f32,
        accumulate: bool,
        precision: Precision,
    ) {
        self.record_cross(recording, panel.activations, coefficients, scale, accumulate, precision);
        self.record_gram(recording, coefficients, accumulate);
    }

    /// Records what some coefficients add to their Gram matrix, or start it with.
    pub fn record_gram(&self, recording: &mut Recording, coefficients: Matrix, accumulate: bool) {
        coefficient_gram(recording, coefficients, self.least_squares.gram, accumulate, self.gram_split);
    }

    /// Records what some rows add to the cross product alone.
    pub fn record_cross(
        &self,
        recording: &mut Recording,
        activations: Matrix,
        coefficients: Matrix,
        scale: f32,
        accumulate: bool,
        precision: Precision,
    ) {
        let cross = self.least_squares.cross;
        let out = cross.first_rows(coefficients.columns).first_columns(activations.columns);
        let summation = Summation { precision, split: self.cross_split };
        cross_product(recording, activations, coefficients, out, scale, accumulate, summation);
    }

    /// P for a panel.
    pub fn projections_of(&self, panel: &PanelBuffers) -> Matrix {
        self.projections.first_rows(panel.activations.rows)
    }

    /// The second matrix of that shape.
    pub fn previous_of(&self, panel: &PanelBuffers) -> Matrix {
        self.previous.first_rows(panel.activations.rows)
    }
}

/// Whether the dense features and the cross product can have the same memory: the features step turns this into those, and the
/// next pass needs but the kept entries. Coordinate descent updates features in place, dense projections read them while the
/// sums are gathered, and the other starts use both at once.
fn take_turns(options: &Options, kept: u32, neurons: u32) -> bool {
    options.solver == Solver::ProjectedLs && options.init != Init::Svd && is_sparse(kept, neurons)
}

/// Whether the best iterate's coefficients need no copy, for they can be found again from its features, by least squares: a copy
/// would be a matrix of tokens × features, and would be written in most iterations.
fn finds_again(options: &Options, kept: u32, neurons: u32) -> bool {
    options.solver == Solver::ProjectedLs && is_sparse(kept, neurons)
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

fn split(w: &mut Workspace, name: &str, parts: u32, rank: u32, columns: u32) -> Option<Split> {
    (parts > 1).then(|| {
        let words = u64::from(parts) * u64::from(rank) * u64::from(columns.next_multiple_of(4));
        Split { parts, partials: w.words(name, words) }
    })
}
