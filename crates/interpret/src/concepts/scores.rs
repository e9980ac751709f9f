//! The scores as callers get them.

use serde::Serialize;

use super::ConceptLevel;

/// How well features detect concepts. All choices were made on one half of the prompts and scored on the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConceptScores {
    /// Whether concepts or their parents were scored.
    pub level: ConceptLevel,
    /// Prompts with activations.
    pub prompts: usize,
    /// Prompts on which features and concepts were chosen for each other.
    pub choosing_prompts: usize,
    /// Prompts about nothing in particular. If there are none, all other concepts take their place.
    pub neutral_prompts: usize,
    /// For each concept, in alphabetical order, the feature that recognises its prompts best.
    pub concepts: Vec<ScoredConcept>,
    /// For each feature, the concept that it is about.
    pub features: Vec<ScoredFeature>,
    /// The pairs of a feature and a concept that are beyond chance, sorted by feature, the clearest of a feature first.
    /// Empty without permutations.
    pub detected: Vec<Detected>,
    /// A summary of these scores.
    pub summary: ScoreSummary,
    /// The summary with shuffled labels. Absent without permutations.
    pub baseline: Option<Baseline>,
}

/// The feature for a concept. Scores are absent if a half has no prompts of the concept, or no other prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoredConcept {
    /// The concept.
    pub concept: String,
    /// Number of its prompts in both halves together.
    pub prompts: usize,
    /// The feature with the largest area under the ROC curve on the half for choosing.
    pub best_feature: Option<usize>,
    /// The feature's area under the ROC curve; 0.5 is chance. It is the share of pairs of a prompt of the concept and
    /// another prompt in which the concept's prompt has the larger maximum cosine.
    pub auc: Option<f64>,
    /// The feature's S_CD: ln of the mean maximum cosine of the concept's prompts over the mean for neutral prompts.
    pub s_cd: Option<f64>,
    /// How often a feature that is chosen with shuffled labels reaches that area.
    pub p_value: Option<f64>,
    /// The area that a feature chosen with shuffled labels reaches. Absent without permutations.
    pub chance: Option<Spread>,
    /// How often, with shuffled labels, any pair of a feature and a concept is recognised as clearly, as in
    /// [`Detected::p_value`].
    pub corrected_p_value: Option<f64>,
    /// The same scores for the difference of mean activations, a direction made from the labels of the half for
    /// choosing. They show what supervision reaches.
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
    /// The concept with the largest excess of its mean maximum cosine over the neutral one, on the half for choosing.
    pub best_concept: Option<String>,
    /// S_CD for that concept.
    pub s_cd: Option<f64>,
    /// Area under the ROC curve for that concept.
    pub auc: Option<f64>,
    /// How often, with shuffled labels, any pair of a feature and a concept is recognised as clearly, as in
    /// [`Detected::p_value`].
    pub corrected_p_value: Option<f64>,
    /// How alike the feature's strongest tokens are. Absent if they are not known.
    #[serde(flatten)]
    pub purity: Option<Purity>,
}

/// A feature that detects a concept beyond chance.
///
/// The labels of each half are shuffled many times. For every pair of a feature and a concept, the ranks of the
/// concept's prompts are summed, and the sum is expressed in standard deviations. A pair is detected if no pair at all
/// reaches its score in 95% of the shuffles, and if the half for scoring shows it by itself as well. Features know no
/// labels, so both halves can be used. All pairs compete, which accounts for the choice among them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detected {
    /// Number of the feature.
    pub feature: usize,
    /// The concept.
    pub concept: String,
    /// Number of its prompts in both halves together.
    pub prompts: usize,
    /// Area under the ROC curve on the half for scoring.
    pub auc: f64,
    /// Share of the shuffles in which any pair of a feature and a concept is recognised as clearly. This corrects for
    /// all pairs.
    pub p_value: f64,
}

/// How alike a feature's strongest tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Purity {
    /// Share of them that come from prompts of one concept, the most frequent one. Neutral counts as a concept.
    pub purity: f64,
    /// Share of them that are the same token, the most frequent one. Absent without token ids.
    pub token_purity: Option<f64>,
    /// The larger of the two: a feature may be about a concept or about a token.
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
    /// Median over concepts of the S_CD of the difference of means. It is above 10 if the cosines of neutral prompts
    /// are not positive.
    pub diff_means_s_cd_median: Option<f64>,
}

/// The summary with labels shuffled over the prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Baseline {
    /// Number of shuffles.
    pub permutations: usize,
    /// Spread of [`ScoreSummary::detects`].
    pub detects: Spread,
    /// Spread of [`ScoreSummary::s_cd_median`].
    pub s_cd_median: Spread,
    /// Spread of [`ScoreSummary::auc_mean`].
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
