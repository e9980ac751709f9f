//! How features nest: the features are factorized, then the features of that factorization, and so on (the recursion of
//! Shafran et al. 2026, section on hierarchy).

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use serde::Serialize;
use unmix::{Activations, DenseMatrix, Engine, Error, Factorization, HostActivations, SemiNmf, Solver, unit_features};

use crate::contexts::{Activation, StrongestTokens};
use crate::distribution::largest_coefficients;
use crate::rows::norms;

/// Options of the recursion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HierarchyOptions {
    /// Number of features of each level above the first. Each level has fewer than the one before.
    pub ranks: Vec<u32>,
    /// A child is shown if its strength is at least this share of the strength of the parent's strongest child. In (0,
    /// 1].
    pub threshold: f64,
    /// Most children that are shown for a parent.
    pub most_children: usize,
    /// Seed of the factorizations.
    pub seed: u64,
}

impl HierarchyOptions {
    /// Options for a fit of `rank` features: levels of a half, a quarter and an eighth of them, unless that is fewer
    /// than 4; children from 0.3 of the strongest on, at most 8 of them; seed 0.
    pub fn new(rank: u32) -> Self {
        let ranks = [rank / 2, rank / 4, rank / 8].into_iter().filter(|&r| r >= 4).collect();
        HierarchyOptions { ranks, threshold: 0.3, most_children: 8, seed: 0 }
    }

    /// Checks the options for a fit of `features` features.
    ///
    /// # Errors
    /// If a rank is 0 or not below the one before it, or the threshold is outside (0, 1].
    pub fn check(&self, features: u32) -> Result<(), Error> {
        let refuse =
            |option: &'static str, given: String, expected: String| Err(Error::Option { option, given, expected });
        let mut before = features;
        for &next in &self.ranks {
            if next == 0 || next >= before {
                let expected = format!("each rank must be at least 1 and below the one before, here {before}");
                return refuse("ranks", next.to_string(), expected);
            }
            before = next;
        }
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            let expected = "a share above 0 and up to 1 is needed".to_owned();
            return refuse("threshold", self.threshold.to_string(), expected);
        }
        Ok(())
    }
}

/// Weight of the penalty on strengths.
const PENALTY: f64 = 0.1;

/// A level of parents, above the features of the level below.
#[derive(Clone, Debug)]
pub struct HierarchyLevel {
    /// The level's features [K', d]. They have unit norm, unless they are zero.
    pub features: DenseMatrix,
    /// Strengths [K, K'] ≥ 0 of this level's features (columns) in those below (rows, of unit norm): below ≈ strengths
    /// × features.
    pub strengths: DenseMatrix,
    /// ‖below − strengths × features‖² / ‖below‖².
    pub relative_error: f64,
    /// The children that are shown of each parent, strongest first.
    pub children: Vec<Vec<Child>>,
}

/// A feature below a parent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Child {
    /// Its number in the level below.
    pub feature: usize,
    /// How much of the child the parent makes up: the length of the parent's part, relative to a child of length 1.
    pub strength: f32,
}

/// The features of a fit and the levels above them, first to last.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    /// The levels.
    pub levels: Vec<HierarchyLevel>,
}

/// Factorizes the features Z [K, d] of a fit, scaled to unit norm, with the first rank, then the features found with
/// the second rank, and so on. `kept` is the number of neurons that each feature of Z keeps. All features of a level
/// together keep as many neurons as those of the fit, so that a parent can hold what its children hold.
///
/// # Errors
/// If a rank is 0 or not below the one before it, the threshold is outside (0, 1], or the engine fails.
pub fn hierarchy(
    engine: &dyn Engine,
    features: &DenseMatrix,
    kept: u32,
    options: &HierarchyOptions,
) -> Result<Hierarchy, Error> {
    options.check(features.rows as u32)?;
    let mut levels: Vec<HierarchyLevel> = Vec::new();
    let mut below = unit_features(features);
    for &rank in &options.ranks {
        let (rows, neurons) = (below.rows as u64, below.columns as u64);
        let activations = engine.load(&HostActivations::from_f32(below.values.clone(), rows, neurons)?)?;
        let wanted = f64::from(kept) * features.rows as f64 / f64::from(rank);
        let sparsity = (wanted / below.columns as f64).clamp(1.0 / below.columns as f64, 1.0);
        // The rank must not exceed the number of neurons.
        let rank = rank.min(below.columns as u32);
        // With the penalty, a child has few parents. Without it, parents cancel one another out.
        let builder =
            SemiNmf::new(rank).sparsity(sparsity).solver(Solver::Hals).penalty(PENALTY).tolerance(1e-3).patience(3);
        let fit = best_fit(engine, &activations, &builder, options.seed)?;
        let norms = norms(&fit.features);
        let mut strengths = fit.coefficients;
        for row in strengths.values.chunks_exact_mut(strengths.columns) {
            row.iter_mut().zip(&norms).for_each(|(s, norm)| *s = (f64::from(*s) * norm) as f32);
        }
        below = unit_features(&fit.features);
        levels.push(HierarchyLevel {
            children: (0..strengths.columns).map(|parent| children(&strengths, parent, options)).collect(),
            features: below.clone(),
            strengths,
            relative_error: fit.summary.relative_error,
        });
    }
    Ok(Hierarchy { levels })
}

/// The fit of least error from several starts. With so few rows, a start may take two from one group and none from
/// another.
fn best_fit(
    engine: &dyn Engine,
    activations: &Activations,
    builder: &SemiNmf,
    seed: u64,
) -> Result<Factorization, Error> {
    const STARTS: u64 = 4;
    let mut best = builder.clone().seed(seed).fit(engine, activations)?;
    for start in 1..STARTS {
        let fit = builder.clone().seed(seed.wrapping_add(start)).fit(engine, activations)?;
        if fit.summary.relative_error < best.summary.relative_error {
            best = fit;
        }
    }
    Ok(best)
}

fn children(strengths: &DenseMatrix, parent: usize, options: &HierarchyOptions) -> Vec<Child> {
    let mut all: Vec<Child> = (0..strengths.rows)
        .map(|feature| Child { feature, strength: strengths.row(feature)[parent] })
        .filter(|child| child.strength > 0.0)
        .collect();
    all.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.feature.cmp(&b.feature)));
    let least = all.first().map_or(0.0, |strongest| f64::from(strongest.strength) * options.threshold);
    all.retain(|child| f64::from(child.strength) >= least);
    all.truncate(options.most_children);
    all
}

impl Hierarchy {
    /// How the features of each level follow from the coefficients Y [n, K] of the fit: see [`NodeCoefficients`].
    pub fn node_coefficients(&self, coefficients: &DenseMatrix) -> NodeCoefficients {
        let largest = largest_coefficients(coefficients);
        NodeCoefficients { largest, weights: self.levels.iter().map(HierarchyLevel::weights).collect() }
    }
}

/// Coefficients of the features above those of a fit, all from 0 to 1. The coefficient of a parent is the mean of its
/// shown children's coefficients, weighted by their strengths. The coefficient of a feature of the fit is taken
/// relative to its largest one, so that loud features do not drown the others.
#[derive(Clone, Debug)]
pub struct NodeCoefficients {
    /// Largest coefficient of each feature of the fit.
    largest: Vec<f32>,
    /// For each level, the weight of each child in its parent's mean.
    weights: Vec<DenseMatrix>,
}

impl NodeCoefficients {
    /// The coefficients [rows, K'] of each level, for rows of Y, [rows, K].
    pub fn of_rows(&self, rows: &[f32]) -> Vec<Vec<f32>> {
        let mut below: Vec<f32> = rows.to_vec();
        for row in below.chunks_exact_mut(self.largest.len().max(1)) {
            let relative = |(y, &largest): (&mut f32, &f32)| *y = if largest > 0.0 { *y / largest } else { 0.0 };
            row.iter_mut().zip(&self.largest).for_each(relative);
        }
        let mut levels: Vec<Vec<f32>> = Vec::with_capacity(self.weights.len());
        for weights in &self.weights {
            levels.push(product(levels.last().unwrap_or(&below), weights));
        }
        levels
    }

    /// The tokens at which each feature of each level is strongest, `most` of each, strongest first.
    pub fn strongest_tokens(&self, coefficients: &DenseMatrix, most: usize) -> Vec<Vec<Vec<Activation>>> {
        const ROWS: usize = 4096;
        let mut found: Vec<StrongestTokens> =
            self.weights.iter().map(|weights| StrongestTokens::new(weights.columns, most)).collect();
        for (chunk, rows) in coefficients.values.chunks((ROWS * coefficients.columns).max(1)).enumerate() {
            for (values, found) in self.of_rows(rows).iter().zip(&mut found) {
                found.offer(chunk * ROWS, values);
            }
        }
        found.into_iter().map(StrongestTokens::finish).collect()
    }
}

impl HierarchyLevel {
    /// The weight of each shown child in its parent's mean, [K, K']. Columns sum to 1, or to 0 if there are no
    /// children.
    fn weights(&self) -> DenseMatrix {
        let (rows, columns) = (self.strengths.rows, self.strengths.columns);
        let mut weights = DenseMatrix { rows, columns, values: vec![0.0; rows * columns] };
        for (parent, children) in self.children.iter().enumerate() {
            let sum: f32 = children.iter().map(|child| child.strength).sum();
            for child in children {
                weights.values[child.feature * columns + parent] = child.strength / sum;
            }
        }
        weights
    }
}

/// The product of the rows `a` [rows, K] and `b` [K, K'].
fn product(a: &[f32], b: &DenseMatrix) -> Vec<f32> {
    let rows = a.len() / b.rows.max(1);
    let mut out = vec![0f32; rows * b.columns];
    matmul(
        MatMut::from_row_major_slice_mut(&mut out, rows, b.columns),
        Accum::Replace,
        MatRef::from_row_major_slice(a, rows, b.rows),
        MatRef::from_row_major_slice(&b.values, b.rows, b.columns),
        1.0,
        Par::rayon(0),
    );
    out
}

#[cfg(test)]
mod tests {
    use unmix::CpuEngine;

    use super::*;

    /// Four pairs of features. The two of a pair share two neurons, and each has one of its own.
    fn paired() -> DenseMatrix {
        let (rank, neurons) = (8, 40);
        let mut z = DenseMatrix { rows: rank, columns: neurons, values: vec![0.0; rank * neurons] };
        for k in 0..rank {
            let pair = k / 2;
            let scale = (k + 1) as f32;
            for j in [pair * 2, pair * 2 + 1] {
                z.values[k * neurons + j] = 2.0 * scale;
            }
            z.values[k * neurons + 20 + k] = -scale;
        }
        z
    }

    fn options(ranks: &[u32]) -> HierarchyOptions {
        HierarchyOptions { ranks: ranks.to_vec(), ..HierarchyOptions::new(8) }
    }

    #[test]
    fn features_that_share_neurons_get_one_parent() {
        let found = hierarchy(&CpuEngine::new(), &paired(), 3, &options(&[4, 2])).expect("found");
        let mut pairs: Vec<Vec<usize>> = found.levels[0]
            .children
            .iter()
            .map(|children| {
                let mut features: Vec<usize> = children.iter().map(|child| child.feature).collect();
                features.sort_unstable();
                features
            })
            .collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [[0, 1], [2, 3], [4, 5], [6, 7]]);
        // Both features of a pair are 0.94 along the parent, whatever their scale was. The penalty takes some of that.
        for children in &found.levels[0].children {
            for child in children {
                assert!((0.8..0.95).contains(&child.strength), "{child:?}");
            }
        }
        assert_eq!(found.levels[1].children.len(), 2);
        assert!(found.levels[0].relative_error < 0.2);
    }

    #[test]
    fn a_parents_coefficient_is_the_weighted_mean_of_its_childrens() {
        let found = hierarchy(&CpuEngine::new(), &paired(), 3, &options(&[4, 2])).expect("found");
        // Feature 7 is a thousand times as loud as the others.
        let value = |at: usize| ((at * 7919) % 1013) as f32 / 1000.0 * if at % 8 == 7 { 1000.0 } else { 1.0 };
        let y = DenseMatrix { rows: 5000, columns: 8, values: (0..40_000).map(value).collect() };
        let tokens = found.node_coefficients(&y).strongest_tokens(&y, 3);
        let largest: Vec<f32> = (0..8).map(|k| (0..5000).map(|i| y.row(i)[k]).fold(0.0, f32::max)).collect();
        let mean = |children: &[Child], below: &dyn Fn(usize) -> f64| -> f64 {
            let sum: f64 = children.iter().map(|child| f64::from(child.strength)).sum();
            children.iter().map(|child| f64::from(child.strength) * below(child.feature)).sum::<f64>() / sum
        };
        for (parent, tokens) in tokens[1].iter().enumerate() {
            let at = |row: usize| {
                let feature = |k: usize| f64::from(y.row(row)[k]) / f64::from(largest[k]);
                let middle = |l: usize| mean(&found.levels[0].children[l], &feature);
                mean(&found.levels[1].children[parent], &middle)
            };
            let mut all: Vec<f64> = (0..5000).map(at).collect();
            all.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(tokens.len(), 3);
            for (found, wanted) in tokens.iter().zip(all) {
                assert!((f64::from(found.coefficient) - wanted).abs() < 1e-5, "{found:?} for {wanted}");
                assert!((at(found.row) - wanted).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn children_are_cut_by_threshold_and_number() {
        let strengths = DenseMatrix { rows: 5, columns: 1, values: vec![0.1, 1.0, 0.5, 0.0, 0.6] };
        let of = |threshold, most_children| {
            let options = HierarchyOptions { threshold, most_children, ..options(&[1]) };
            children(&strengths, 0, &options).iter().map(|child| child.feature).collect::<Vec<_>>()
        };
        assert_eq!(of(0.5, 8), [1, 4, 2]);
        assert_eq!(of(0.05, 8), [1, 4, 2, 0]);
        assert_eq!(of(0.05, 2), [1, 4]);
    }

    #[test]
    fn ranks_that_do_not_fall_are_refused() {
        for ranks in [&[8][..], &[4, 4], &[4, 0]] {
            let error = hierarchy(&CpuEngine::new(), &paired(), 3, &options(ranks)).expect_err("refused");
            assert!(error.to_string().contains("below the one before"), "{error}");
        }
        assert_eq!(HierarchyOptions::new(100).ranks, [50, 25, 12]);
        assert_eq!(HierarchyOptions::new(10).ranks, [5]);
    }
}
