//! Which numbers of features are tried: those that were asked for, and then some around the best.

use super::grid_point::GridPoint;
use super::point::SweepPoint;
use super::recommendation::recommend;

/// Neighbours whose ratio is at most this need no rank between them.
const CLOSE: f64 = 1.12;

/// Numbers of features for activations \[tokens, neurons\] of which nothing is known: 25, 50, 100, 200 and 400, as far as
/// there are eight tokens and two neurons for each feature. For smaller activations, they are a sixteenth, an eighth, a
/// quarter and a half of what is possible.
pub fn default_ranks(tokens: u64, neurons: u64) -> Vec<u32> {
    let most = u32::try_from((tokens / 8).min(neurons / 2)).unwrap_or(u32::MAX);
    if most >= 100 {
        return [25, 50, 100, 200, 400].into_iter().filter(|&rank| rank <= most).collect();
    }
    let mut ranks: Vec<u32> = [8, 4, 2, 1].map(|part| (most / part).max(1)).to_vec();
    ranks.dedup();
    ranks
}

/// The number of features that should be tried next between others, to find the best one more precisely. `None` if the
/// neighbours of the best are close, or if it is the smallest or largest with nothing between it and its neighbour.
pub(super) fn refinement(points: &[SweepPoint]) -> Option<GridPoint> {
    let best = recommend(points)?;
    let line: Vec<&SweepPoint> = points.iter().filter(|point| point.sparsity == best.sparsity).collect();
    let of_line = || line.iter().map(|point| point.rank);
    let below = of_line().filter(|&rank| rank < best.rank).max();
    let above = of_line().filter(|&rank| rank > best.rank).min();
    let is_between = |rank: u32| {
        let apart = |other: u32| f64::from(rank.max(other)) / f64::from(rank.min(other)) > CLOSE.sqrt();
        of_line().all(apart) && below.is_none_or(|below| below < rank) && above.is_none_or(|above| rank < above)
    };
    // With too many features, those that come back are as many as there are to find.
    let reproducible = |rank: u32| {
        let point = line.iter().find(|point| point.rank == rank)?;
        Some(point.reproducible()?.round() as u32)
    };
    let found = [above, Some(best.rank)].into_iter().flatten().filter_map(reproducible).find(|&rank| is_between(rank));
    let middle = |low: u32, high: u32| {
        let ratio = f64::from(high) / f64::from(low);
        (ratio > CLOSE).then(|| (ratio, (f64::from(low) * f64::from(high)).sqrt().round() as u32))
    };
    let gaps = [below.and_then(|below| middle(below, best.rank)), above.and_then(|above| middle(best.rank, above))];
    let widest = gaps.into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, rank)| rank);
    let rank = found.or(widest).filter(|&rank| rank > 0 && of_line().all(|other| other != rank))?;
    Some(GridPoint { rank, sparsity: best.sparsity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_ranks_leave_tokens_and_neurons_for_each_feature() {
        assert_eq!(default_ranks(9_256, 1_536), [25, 50, 100, 200, 400]);
        assert_eq!(default_ranks(1_900, 1_536), [25, 50, 100, 200]);
        assert_eq!(default_ranks(1_900, 64), [4, 8, 16, 32]);
        assert_eq!(default_ranks(20, 6), [1, 2]);
        assert_eq!(default_ranks(1, 1), [1]);
    }
}
