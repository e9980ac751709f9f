//! The binary tree in which sums over segments are added. A node is a range of segments. The halves of a node are as long as the largest
//! power of two below its own length, and what is left. The tree depends on the number of segments alone.

use std::ops::Range;

/// The segments of one rank: about the same number for each.
pub(crate) fn share(segments: u32, ranks: u32, rank: u32) -> Range<u32> {
    let first = |rank: u32| (u64::from(segments) * u64::from(rank) / u64::from(ranks)) as u32;
    first(rank)..first(rank + 1)
}

/// The halves of a node that has more than one segment.
fn halves(node: &Range<u32>) -> [Range<u32>; 2] {
    let middle = node.start + (node.len() as u32).next_power_of_two() / 2;
    [node.start..middle, middle..node.end]
}

/// The largest nodes below `node` that lie in `segments`, from the first to the last.
pub(crate) fn cover(node: Range<u32>, segments: &Range<u32>) -> Vec<Range<u32>> {
    if node.start >= segments.end || node.end <= segments.start {
        return Vec::new();
    }
    if segments.start <= node.start && node.end <= segments.end {
        return vec![node];
    }
    halves(&node).into_iter().flat_map(|half| cover(half, segments)).collect()
}

/// The sum of a node. `known` gives the sums of some nodes, and of every segment that no such node has.
///
/// # Panics
/// If the sum of a segment is missing.
pub(crate) fn sum<T>(node: Range<u32>, known: &dyn Fn(&Range<u32>) -> Option<T>, add: &dyn Fn(T, T) -> T) -> T {
    if let Some(known) = known(&node) {
        return known;
    }
    assert!(node.len() > 1, "the sum of segment {} is missing", node.start);
    let [left, right] = halves(&node);
    add(sum(left, known, add), sum(right, known, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which the sum of all segments is taken on so many ranks.
    fn order(segments: u32, ranks: u32) -> String {
        let text = |node: &Range<u32>| (node.len() == 1).then(|| node.start.to_string());
        let add = |a: String, b: String| format!("({a}+{b})");
        let nodes: Vec<(Range<u32>, String)> = (0..ranks)
            .flat_map(|rank| cover(0..segments, &share(segments, ranks, rank)))
            .map(|node| (node.clone(), sum(node, &text, &add)))
            .collect();
        sum(0..segments, &|node| nodes.iter().find(|(own, _)| own == node).map(|(_, sum)| sum.clone()), &add)
    }

    #[test]
    fn sums_are_taken_in_the_same_order_on_any_number_of_ranks() {
        assert_eq!(order(8, 1), "(((0+1)+(2+3))+((4+5)+(6+7)))");
        assert_eq!(order(5, 1), "(((0+1)+(2+3))+4)");
        for segments in 1..=20 {
            let alone = order(segments, 1);
            assert!((1..=segments).all(|ranks| order(segments, ranks) == alone), "{segments} segments");
        }
    }

    #[test]
    fn ranks_share_the_segments_evenly() {
        let shares = |segments, ranks| (0..ranks).map(|rank| share(segments, ranks, rank)).collect::<Vec<_>>();
        assert_eq!(shares(8, 4), [0..2, 2..4, 4..6, 6..8]);
        assert_eq!(shares(8, 3), [0..2, 2..5, 5..8]);
        assert_eq!(cover(0..8, &(2..5)), [2..4, 4..5]);
    }
}
