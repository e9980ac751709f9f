//! How well directions tell the prompts of concepts from others: S_CD and the area under the ROC curve.

use rayon::prelude::*;
use unmix::DenseMatrix;

/// The value that a smaller mean cosine counts as, because logarithms need something positive.
const LEAST_MEAN: f64 = 1e-6;

/// S_CD, the concept-detection score of Shafran, Geiger and Geva (2026): ln(concept / neutral). `concept` and `neutral`
/// are means of each prompt's largest cosine, over the prompts of a concept and over neutral prompts. Means below 1e-6,
/// including negative ones, count as 1e-6. So a feature that is active in neither has an S_CD of 0.
pub fn s_cd(concept: f64, neutral: f64) -> f64 {
    (concept.max(LEAST_MEAN) / neutral.max(LEAST_MEAN)).ln()
}

/// The prompts of one half: for each direction, the largest cosine in each prompt, and the prompt's rank by it.
pub struct Evidence {
    directions: usize,
    /// \[prompts, K\].
    maxima: Vec<f64>,
    /// \[prompts, K\], from 1. Prompts with equal cosines share the mean of their ranks.
    ranks: Vec<f64>,
    /// Variance of each direction's ranks. It is smaller if prompts are equal.
    variances: Vec<f64>,
}

impl Evidence {
    /// Evidence of the prompts with these numbers, which are rows of `maxima` \[prompts, K\].
    pub fn new(maxima: &DenseMatrix, prompts: &[usize]) -> Evidence {
        let directions = maxima.columns;
        let values: Vec<f64> =
            prompts.iter().flat_map(|&prompt| maxima.row(prompt)).map(|&value| f64::from(value)).collect();
        let columns: Vec<Vec<f64>> = (0..directions)
            .into_par_iter()
            .map(|k| mean_ranks(&values.iter().skip(k).step_by(directions.max(1)).copied().collect::<Vec<_>>()))
            .collect();
        let ranks = (0..prompts.len()).flat_map(|prompt| columns.iter().map(move |column| column[prompt])).collect();
        let mean = (prompts.len() + 1) as f64 / 2.0;
        let variance =
            |ranks: &Vec<f64>| ranks.iter().map(|rank| (rank - mean).powi(2)).sum::<f64>() / ranks.len().max(1) as f64;
        let variances = columns.iter().map(variance).collect();
        Evidence { directions, maxima: values, ranks, variances }
    }

    /// The measures for `groups`, the concept of each prompt. The number `concepts` stands for neutral.
    pub fn measure(&self, groups: &[usize], concepts: usize) -> Measures<'_> {
        let directions = self.directions;
        let mut sizes = vec![0usize; concepts + 1];
        let mut maxima = vec![0f64; (concepts + 1) * directions];
        let mut ranks = maxima.clone();
        for (prompt, &group) in groups.iter().enumerate() {
            sizes[group] += 1;
            for (sums, values) in [(&mut maxima, &self.maxima), (&mut ranks, &self.ranks)] {
                let sums = &mut sums[group * directions..][..directions];
                sums.iter_mut().zip(&values[prompt * directions..]).for_each(|(sum, value)| *sum += value);
            }
        }
        let total = (0..directions).map(|k| (0..=concepts).map(|group| maxima[group * directions + k]).sum()).collect();
        Measures { evidence: self, directions, concepts, prompts: groups.len(), sizes, maxima, ranks, total }
    }
}

/// Sums over groups of prompts, and the scores that follow from them.
pub struct Measures<'a> {
    evidence: &'a Evidence,
    directions: usize,
    concepts: usize,
    prompts: usize,
    sizes: Vec<usize>,
    /// \[concepts + 1, K\].
    maxima: Vec<f64>,
    /// \[concepts + 1, K\].
    ranks: Vec<f64>,
    total: Vec<f64>,
}

impl Measures<'_> {
    /// Whether there are prompts of `concept`, and others to compare them with.
    pub fn can_score(&self, concept: usize) -> bool {
        self.sizes[concept] > 0 && self.sizes[concept] < self.prompts
    }

    /// The means of the largest cosine over the concept's prompts, and over neutral ones. If no prompt is neutral, the
    /// second mean is over all other prompts.
    fn means(&self, concept: usize, direction: usize) -> (f64, f64) {
        let mean = |group: usize| self.maxima[group * self.directions + direction] / self.sizes[group] as f64;
        let neutral = if self.sizes[self.concepts] > 0 {
            mean(self.concepts)
        } else {
            let others = self.total[direction] - self.maxima[concept * self.directions + direction];
            others / (self.prompts - self.sizes[concept]) as f64
        };
        (mean(concept), neutral)
    }

    /// By how much the concept's mean exceeds the neutral one.
    pub fn excess(&self, concept: usize, direction: usize) -> f64 {
        let (concept, neutral) = self.means(concept, direction);
        concept - neutral
    }

    /// [`s_cd`] of the two means.
    pub fn s_cd(&self, concept: usize, direction: usize) -> f64 {
        let (concept, neutral) = self.means(concept, direction);
        s_cd(concept, neutral)
    }

    /// The area under the ROC curve: the share of pairs of a prompt of the concept and another prompt in which the
    /// concept's prompt has the larger cosine. A pair of equal cosines counts half.
    pub fn auc(&self, concept: usize, direction: usize) -> f64 {
        let (own, others) = (self.sizes[concept] as f64, (self.prompts - self.sizes[concept]) as f64);
        (self.ranks[concept * self.directions + direction] - own * (own + 1.0) / 2.0) / (own * others)
    }

    /// How much larger the sum of the ranks of the concept's prompts is than with shuffled labels.
    pub fn rank_excess(&self, concept: usize, direction: usize) -> RankExcess {
        let (own, all) = (self.sizes[concept] as f64, self.prompts as f64);
        let excess = self.ranks[concept * self.directions + direction] - own * (all + 1.0) / 2.0;
        // The variance of a sum of `own` ranks drawn without replacement.
        let variance = self.evidence.variances[direction] * own * (all - own) / (all - 1.0).max(1.0);
        RankExcess { excess, variance }
    }
}

/// How far the ranks of a concept's prompts lie above those of shuffled labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct RankExcess {
    /// Sum of the ranks, minus its mean over all ways to shuffle.
    excess: f64,
    /// Variance of the sum over all ways to shuffle.
    variance: f64,
}

impl RankExcess {
    /// The excess over both halves in standard deviations. The labels of each half are shuffled by themselves. 0 if all
    /// prompts are equal.
    pub fn standard_score(halves: [RankExcess; 2]) -> f64 {
        let [first, second] = halves;
        let variance = first.variance + second.variance;
        if variance > 0.0 { (first.excess + second.excess) / variance.sqrt() } else { 0.0 }
    }
}

/// The rank of each value, from 1. Equal values share the mean of their ranks.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    // -0 and 0 are the same cosine, although a total order tells them apart.
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = first as f64 + (equals.len() + 1) as f64 / 2.0;
        equals.iter().for_each(|&prompt| ranks[prompt] = mean);
        first += equals.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(mean_ranks(&[0.5, 0.1, 0.5, -0.0, 0.0, 0.5]), [5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
    }

    #[test]
    fn the_excess_of_ranks_is_in_standard_deviations_of_all_ways_to_shuffle() {
        // Six prompts with a tie, two of them of concept 0. The test goes through all 15 ways to choose two.
        let values = [0.1f32, 0.5, 0.5, 0.9, 0.2, 0.7];
        let evidence = Evidence::new(&DenseMatrix { rows: 6, columns: 1, values: values.into() }, &[0, 1, 2, 3, 4, 5]);
        let mut found = Vec::new();
        for (a, b) in (0..6).flat_map(|a| (a + 1..6).map(move |b| (a, b))) {
            let groups: Vec<usize> = (0..6).map(|prompt| usize::from(prompt != a && prompt != b)).collect();
            found.push(RankExcess::standard_score([
                evidence.measure(&groups, 1).rank_excess(0, 0),
                RankExcess::default(),
            ]));
        }
        let mean = found.iter().sum::<f64>() / 15.0;
        let variance = found.iter().map(|z| z * z).sum::<f64>() / 15.0;
        assert!(found.len() == 15 && mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-12, "{mean}, {variance}");
        assert_eq!(RankExcess::standard_score([RankExcess::default(); 2]), 0.0);
    }

    #[test]
    fn means_that_are_not_positive_count_as_the_least() {
        assert_eq!(s_cd(-0.3, -0.5), 0.0);
        assert_eq!(s_cd(0.0, 0.0), 0.0);
        assert!((s_cd(0.2, -1.0) - (0.2f64 / 1e-6).ln()).abs() < 1e-12);
        assert!((s_cd(-1.0, 0.2) + (0.2f64 / 1e-6).ln()).abs() < 1e-12);
    }
}
