//! The order in which features should be read: those that can be trusted first, and of these the clearest.

use unmix::FeatureStatistics;

/// A feature is reproducible from this mean cosine with the nearest features of consensuses of half of the runs on. Most of the features above it are
/// found by an independent consensus with a cosine of at least 0.8, and about a third of those below it, as measured on layers of a
/// language model.
pub const REPRODUCIBLE: f64 = 0.8;

/// The features in the order in which they should be read. Features that other runs do not find again, because
/// their reproducibility is below [`REPRODUCIBLE`], come last. Among those of a kind, the most interpretable come first, by the scores of
/// [`Interpretability`](crate::Interpretability), then those that explain most. Features of a single run count as
/// reproducible, because nothing is known about them.
///
/// # Panics
/// If there is not one score for each feature.
pub fn reading_order(statistics: &[FeatureStatistics], interpretability: &[f64]) -> Vec<usize> {
    assert_eq!(statistics.len(), interpretability.len(), "one score for each feature");
    let mut order: Vec<usize> = (0..statistics.len()).collect();
    order.sort_by(|&a, &b| {
        let larger = |value: &dyn Fn(usize) -> f64| value(b).total_cmp(&value(a));
        is_doubtful(&statistics[a])
            .cmp(&is_doubtful(&statistics[b]))
            .then(larger(&|k| interpretability[k]))
            .then(larger(&|k| statistics[k].explained_share))
    });
    order
}

/// Whether other runs do not find a feature again.
fn is_doubtful(statistics: &FeatureStatistics) -> bool {
    statistics.reproducibility.is_some_and(|reproducibility| reproducibility < REPRODUCIBLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_runs_find_comes_first_and_then_what_can_be_read() {
        let feature = |reproducibility, explained_share| FeatureStatistics {
            reproducibility,
            explained_share,
            ..FeatureStatistics::default()
        };
        let statistics =
            [feature(Some(0.3), 0.9), feature(Some(0.9), 0.1), feature(Some(0.8), 0.2), feature(Some(0.95), 0.3)];
        assert_eq!(reading_order(&statistics, &[1.0, 0.2, 0.7, 0.2]), [2, 3, 1, 0]);
        // Of a single run nothing is known, so all features count the same.
        let single: Vec<FeatureStatistics> =
            statistics.iter().map(|s| FeatureStatistics { reproducibility: None, ..s.clone() }).collect();
        assert_eq!(reading_order(&single, &[1.0, 0.2, 0.7, 0.2]), [0, 2, 3, 1]);
        assert!(reading_order(&[], &[]).is_empty());
    }
}
