//! The scores as they are handed out.

use serde::Serialize;

use super::ConceptLevel;

/// How well features detect concepts. Whatever was chosen was chosen on one half of the prompts and scored on the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConceptScores {
    /// Whether concepts or their parents were scored.
    pub level: ConceptLevel,
    /// Prompts with activations.
    pub prompts: usize,
    /// Those on which features and concepts were chosen for each other.
    pub choosing_prompts: usize,
    /// Those about nothing in particular. Where there are none, all other concepts take their place.
    pub neutral_prompts: usize,
    /// For each concept, in alphabetical order, the feature that tells its prompts best.
    pub concepts: Vec<ScoredConcept>,
    /// For each feature, the concept that it is about.
    pub features: Vec<ScoredFeature>,
    /// The pairs of a feature and a concept that are beyond chance, by features, and of each feature the clearest first. Empty
    /// without permutations.
    pub detected: Vec<Detected>,
    /// What they come to.
    pub summary: ScoreSummary,
    /// What chance comes to; absent without permutations.
    pub baseline: Option<Baseline>,
}

/// The feature for a concept. Scores are absent where one of the halves has none of the concept's prompts, or no others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoredConcept {
    /// The concept.
    pub concept: String,
    /// Its prompts, both halves together.
    pub prompts: usize,
    /// The feature with the largest area under the ROC curve on the half for choosing.
    pub best_feature: Option<usize>,
    /// The feature's area under the ROC curve, 0.5 being chance: the share of pairs of a prompt of the concept and another
    /// one in which the concept's has the larger maximum cosine.
    pub auc: Option<f64>,
    /// The feature's S_CD: ln of the mean maximum cosine of the concept's prompts over that of neutral prompts.
    pub s_cd: Option<f64>,
    /// How often the feature that is chosen with shuffled labels reaches that area.
    pub p_value: Option<f64>,
    /// How often any pair of a feature and a concept is told as clearly with shuffled labels, as in [`Detected::p_value`].
    pub corrected_p_value: Option<f64>,
    /// The same scores for the difference of mean activations, a direction made from the labels of the half for choosing:
    /// what supervision reaches.
    pub diff_means: Option<DirectionScore>,
}

/// Scores of a direction for a concept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DirectionScore {
    /// Area under the ROC curve.
    pub auc: f64,
    /// S_CD.
    pub s_cd: f64,
}

/// The concept for a feature. Scores are absent for a dead feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoredFeature {
    /// Number of the feature.
    pub feature: usize,
    /// Whether it is zero or no token uses it.
    pub dead: bool,
    /// The concept whose mean maximum cosine exceeds the neutral one most on the half for choosing.
    pub best_concept: Option<String>,
    /// S_CD for it.
    pub s_cd: Option<f64>,
    /// Area under the ROC curve for it.
    pub auc: Option<f64>,
    /// How often any pair of a feature and a concept is told as clearly with shuffled labels, as in [`Detected::p_value`].
    pub corrected_p_value: Option<f64>,
    /// How alike its strongest tokens are; absent where they are not known.
    #[serde(flatten)]
    pub purity: Option<Purity>,
}

/// A feature that detects a concept beyond chance.
///
/// The labels of each half are shuffled, and for every pair of a feature and a concept the ranks of the concept's prompts are
/// summed, in standard deviations of their sum. Detected is what no pair reaches in 95% of the shuffles, and what the half for
/// scoring shows by itself as well. Features know no labels, so both halves can tell; that all pairs compete pays for the
/// choice among them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detected {
    /// Number of the feature.
    pub feature: usize,
    /// The concept.
    pub concept: String,
    /// Its prompts, both halves together.
    pub prompts: usize,
    /// Area under the ROC curve on the half for scoring.
    pub auc: f64,
    /// Share of the shuffles in which any pair of a feature and a concept is told as clearly: corrected for all pairs.
    pub p_value: f64,
}

/// How alike a feature's strongest tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Purity {
    /// Share of them from prompts of one concept, the most frequent; neutral counts as one.
    pub purity: f64,
    /// Share of them that are one and the same token; absent without token ids.
    pub token_purity: Option<f64>,
    /// The larger of the two: a feature is about a concept or about a token.
    pub either: f64,
}

/// Means over features that are not dead, and over concepts that could be scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreSummary {
    /// Features that are not dead.
    pub alive: usize,
    /// Share of features whose S_CD for their concept is above 0.
    pub detects: Option<f64>,
    /// Median over features of S_CD.
    pub s_cd_median: Option<f64>,
    /// Mean over concepts of their best feature's area under the ROC curve.
    pub auc_mean: Option<f64>,
    /// Mean of [`Purity::purity`].
    pub purity_mean: Option<f64>,
    /// Mean of [`Purity::token_purity`].
    pub token_purity_mean: Option<f64>,
    /// Mean of [`Purity::either`].
    pub either_mean: Option<f64>,
    /// Mean over concepts of the area under the ROC curve of the difference of means.
    pub diff_means_auc_mean: Option<f64>,
    /// Median over concepts of the difference of means' S_CD. Above 10 where neutral prompts' cosines are not positive.
    pub diff_means_s_cd_median: Option<f64>,
}

/// The summary with labels shuffled over prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Baseline {
    /// Number of shuffles.
    pub permutations: usize,
    /// Of [`ScoreSummary::detects`].
    pub detects: Spread,
    /// Of [`ScoreSummary::s_cd_median`].
    pub s_cd_median: Spread,
    /// Of [`ScoreSummary::auc_mean`].
    pub auc_mean: Spread,
}

/// Mean and upper end of a figure over shuffles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The 95th percentile: the least value that at least 95% of the shuffles do not exceed.
    pub p95: f64,
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let p95 = values.get((values.len() * 95).div_ceil(100).checked_sub(1)?)?;
        Some(Spread { mean: values.iter().sum::<f64>() / values.len() as f64, p95: *p95 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_in_a_hundred_lie_above_the_95th_percentile() {
        let spread = Spread::of((1..=100).rev().map(f64::from).collect()).expect("values");
        assert_eq!((spread.mean, spread.p95), (50.5, 95.0));
        assert_eq!(Spread::of(vec![3.0]), Some(Spread { mean: 3.0, p95: 3.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
