//! The scores that labels without meaning give: the same choices and scores, with shuffled labels.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::detection::Evidence;
use super::pairs::largest_standard_score;
use super::scores::{Baseline, Spread};
use super::selection::{Figures, choose_and_score};

/// One half of the prompts: their cosines, and the concept of each prompt.
pub struct HalfOfPrompts {
    pub evidence: Evidence,
    pub groups: Vec<usize>,
}

/// The outcomes of all permutations.
pub struct Permuted {
    figures: Vec<Figures>,
    /// For each permutation, the area under the ROC curve of each concept's feature.
    auc: Vec<Vec<Option<f64>>>,
    /// For each permutation, the largest standard score of any pair of a feature and a concept.
    largest: Vec<f64>,
}

/// Chooses and scores with shuffled labels. They are shuffled over the prompts of each half, so that halves and
/// concepts keep their sizes. Permutation i draws from stream i of the generator of `seed`, so the result does not
/// depend on the number of cores.
pub fn permuted(
    halves: [&HalfOfPrompts; 2],
    alive: &[bool],
    concepts: usize,
    permutations: usize,
    seed: u64,
) -> Permuted {
    let (figures, (auc, largest)) = (0..permutations)
        .into_par_iter()
        .map(|permutation| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(permutation as u64);
            let [choosing, scoring] = halves.map(|half| {
                let mut groups = half.groups.clone();
                groups.shuffle(&mut rng);
                half.evidence.measure(&groups, concepts)
            });
            let choices = choose_and_score(&choosing, &scoring, alive, concepts);
            let auc = choices.concepts.iter().map(|chosen| chosen.map(|chosen| chosen.auc)).collect::<Vec<_>>();
            (choices.figures(), (auc, largest_standard_score([&choosing, &scoring], alive, concepts)))
        })
        .unzip();
    Permuted { figures, auc, largest }
}

impl Permuted {
    /// The spread of each figure. Absent without permutations.
    pub fn baseline(&self) -> Option<Baseline> {
        let spread = |figure: fn(&Figures) -> Option<f64>| Spread::of(self.figures.iter().filter_map(figure).collect());
        Some(Baseline {
            permutations: self.figures.len(),
            detects: spread(|figures| figures.detects)?,
            s_cd_median: spread(|figures| figures.s_cd_median)?,
            auc_mean: spread(|figures| figures.auc_mean)?,
        })
    }

    /// The area that chance reaches for `concept`. Absent without permutations.
    pub fn auc_of(&self, concept: usize) -> Option<Spread> {
        Spread::of(self.auc.iter().filter_map(|found| found[concept]).collect())
    }

    /// How often chance reaches `auc` for `concept`. The true labels count as one of the permutations, so the result is
    /// never below 1 / (permutations + 1). Absent without permutations.
    pub fn p_value(&self, concept: usize, auc: f64) -> Option<f64> {
        let reached = self.auc.iter().filter(|found| found[concept].is_some_and(|found| found >= auc)).count();
        (!self.auc.is_empty()).then(|| (1 + reached) as f64 / (1 + self.auc.len()) as f64)
    }

    /// How often any pair of a feature and a concept reaches `standard_score` by chance. This is the p-value of a pair,
    /// corrected for all pairs that were tried. The true labels count as one of the permutations. Absent without
    /// permutations.
    pub fn corrected_p_value(&self, standard_score: f64) -> Option<f64> {
        // Sums of the same ranks in another order differ by rounding.
        let reached = self.largest.iter().filter(|&&largest| largest >= standard_score - 1e-9).count();
        (!self.largest.is_empty()).then(|| (1 + reached) as f64 / (1 + self.largest.len()) as f64)
    }
}
