//! Which features detect which concepts beyond chance, although many pairs were tried.

use super::baseline::Permuted;
use super::detection::{Measures, RankExcess};
use super::pairs::{pairs, standard_score};
use super::scores::Detected;

/// A pair of a feature and a concept counts as detected up to this p-value, which is corrected for all pairs. With
/// labels that mean nothing, one labelling in twenty has any such pair.
pub const DETECTED_P: f64 = 0.05;
/// The half for scoring has to agree by itself, at 5% and without correction. In standard deviations above shuffled
/// labels.
const SCORING_STANDARD_SCORE: f64 = 1.645;

/// The pairs whose score is reached by any pair in at most a share of [`DETECTED_P`] of the shuffles. They are sorted
/// by feature, and the clearest of a feature comes first. `concept` gives a concept's name and number of prompts.
pub fn detected(
    choosing: &Measures<'_>,
    scoring: &Measures<'_>,
    alive: &[bool],
    chance: &Permuted,
    concept: impl Fn(usize) -> (String, usize),
    concepts: usize,
) -> Vec<Detected> {
    let halves = [choosing, scoring];
    let mut found: Vec<(f64, Detected)> = pairs(halves, alive, concepts)
        .filter_map(|(feature, index)| {
            let score = standard_score(halves, index, feature);
            let p_value = chance.corrected_p_value(score).filter(|&p| p <= DETECTED_P)?;
            let held_out = RankExcess::standard_score([scoring.rank_excess(index, feature), RankExcess::default()]);
            if held_out < SCORING_STANDARD_SCORE {
                return None;
            }
            let (concept, prompts) = concept(index);
            Some((score, Detected { feature, concept, prompts, auc: scoring.auc(index, feature), p_value }))
        })
        .collect();
    found.sort_by(|(a, one), (b, other)| one.feature.cmp(&other.feature).then(b.total_cmp(a)));
    found.into_iter().map(|(_, pair)| pair).collect()
}
