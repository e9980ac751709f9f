//! Pairs of a feature and a concept, and how clearly the feature ranks the concept's prompts.

use super::detection::{Measures, RankExcess};

/// How far the prompts of a concept rank above those of shuffled labels for a feature, over both halves together.
pub fn standard_score(halves: [&Measures<'_>; 2], concept: usize, feature: usize) -> f64 {
    RankExcess::standard_score(halves.map(|half| half.rank_excess(concept, feature)))
}

/// The pairs of a living feature and a concept with prompts in both halves.
pub fn pairs(halves: [&Measures<'_>; 2], alive: &[bool], concepts: usize) -> impl Iterator<Item = (usize, usize)> {
    let scored: Vec<usize> = (0..concepts).filter(|&c| halves.iter().all(|half| half.can_score(c))).collect();
    let living = (0..alive.len()).filter(|&k| alive[k]);
    living.flat_map(move |feature| scored.clone().into_iter().map(move |concept| (feature, concept)))
}

/// The largest standard score of any pair.
pub fn largest_standard_score(halves: [&Measures<'_>; 2], alive: &[bool], concepts: usize) -> f64 {
    pairs(halves, alive, concepts)
        .map(|(feature, concept)| standard_score(halves, concept, feature))
        .fold(0.0, f64::max)
}
