//! Which features of two fits have something in common.

use serde::Serialize;
use unmix::{DenseMatrix, Matching, match_similarities};

use super::measure::Measure;

/// Most links of a feature to the features of another fit.
const MOST_LINKS: usize = 6;

/// A feature of one fit that has something in common with a feature of another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Feature of the first fit.
    pub first: usize,
    /// Feature of the second fit.
    pub second: usize,
    /// Their similarity, above 0.
    pub similarity: f32,
    /// Whether they are counterparts in the one-to-one matching of all features.
    pub is_match: bool,
}

/// The links between two fits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Links {
    /// What similarities are.
    pub measure: Measure,
    /// Links from strong to weak. Each feature has at most six to either side, and its counterpart.
    pub links: Vec<Link>,
    /// What became of the features of the first fit.
    pub persistence: Persistence,
}

/// What became of the features of a fit in another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Persistence {
    /// Features that are there again: their counterpart is so similar that it is the same.
    pub same: usize,
    /// Features that have split: two or more features of the second fit have something of them, and each of these has
    /// nothing as similar in the first fit.
    pub split: usize,
    /// Features of the second fit into which two or more features of the first have merged.
    pub merged: usize,
    /// Features of the first fit without a link.
    pub lost: usize,
    /// Features of the second fit without a link.
    pub new: usize,
}

/// Links the features of two fits by their similarities [A, B].
pub fn links(similarities: &DenseMatrix, measure: Measure) -> Links {
    let matching = match_similarities(similarities);
    let linked = linked(similarities, measure.linked_from(), &matching);
    Links { measure, persistence: persistence(similarities, measure, &linked, &matching), links: linked }
}

fn linked(similarities: &DenseMatrix, least: f32, matching: &Matching) -> Vec<Link> {
    let (rows, columns) = (similarities.rows, similarities.columns);
    let mut is_match = vec![false; rows * columns];
    matching.pairs.iter().for_each(|pair| is_match[pair.first * columns + pair.second] = true);
    let at = |first: usize, second: usize| similarities.row(first)[second];
    let link = |first: usize, second: usize| Link {
        first,
        second,
        similarity: at(first, second),
        is_match: is_match[first * columns + second],
    };
    let mut all: Vec<Link> = (0..rows)
        .flat_map(|first| (0..columns).map(move |second| (first, second)))
        .filter(|&(first, second)| at(first, second) >= least)
        .map(|(first, second)| link(first, second))
        .collect();
    all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then((a.first, a.second).cmp(&(b.first, b.second))));
    let (mut of_first, mut of_second) = (vec![0; rows], vec![0; columns]);
    all.retain(|link| {
        let has_room = of_first[link.first] < MOST_LINKS && of_second[link.second] < MOST_LINKS;
        let keeps = has_room || link.is_match;
        of_first[link.first] += usize::from(keeps);
        of_second[link.second] += usize::from(keeps);
        keeps
    });
    all
}

fn persistence(similarities: &DenseMatrix, measure: Measure, links: &[Link], matching: &Matching) -> Persistence {
    let (rows, columns) = (similarities.rows, similarities.columns);
    // The most similar feature of the other side, among those that are linked.
    let mut nearest_of_second: Vec<Option<usize>> = vec![None; columns];
    let mut nearest_of_first: Vec<Option<usize>> = vec![None; rows];
    for link in links {
        nearest_of_second[link.second].get_or_insert(link.first);
        nearest_of_first[link.first].get_or_insert(link.second);
    }
    let at_least_two = |nearest: &[Option<usize>], count: usize| {
        let mut found = vec![0usize; count];
        nearest.iter().flatten().for_each(|&other| found[other] += 1);
        found.into_iter().filter(|&count| count >= 2).count()
    };
    Persistence {
        same: matching.at_least(measure.same_from()),
        split: at_least_two(&nearest_of_second, rows),
        merged: at_least_two(&nearest_of_first, columns),
        lost: nearest_of_first.iter().filter(|nearest| nearest.is_none()).count(),
        new: nearest_of_second.iter().filter(|nearest| nearest.is_none()).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarities(columns: usize, values: &[f32]) -> DenseMatrix {
        DenseMatrix { rows: values.len() / columns, columns, values: values.to_vec() }
    }

    #[test]
    fn features_that_stay_split_vanish_and_appear_are_told_apart() {
        // The first feature stays, the second splits into two, the third vanishes, and the last of the second fit is new.
        let found =
            links(&similarities(4, &[0.95, 0.1, 0.0, 0.2, 0.1, 0.7, 0.65, 0.0, 0.0, 0.1, 0.1, -0.5]), Measure::Cosine);
        assert_eq!(found.persistence, Persistence { same: 1, split: 1, merged: 0, lost: 1, new: 1 });
        let pairs: Vec<_> = found.links.iter().map(|link| (link.first, link.second, link.is_match)).collect();
        assert_eq!(pairs, [(0, 0, true), (1, 1, true), (1, 2, false)]);
        // Seen from the other side, the two merge.
        let turned =
            links(&similarities(3, &[0.95, 0.1, 0.0, 0.1, 0.7, 0.1, 0.0, 0.65, 0.1, 0.2, 0.0, -0.5]), Measure::Cosine);
        assert_eq!(turned.persistence, Persistence { same: 1, split: 0, merged: 1, lost: 1, new: 1 });
    }

    #[test]
    fn a_feature_has_few_links_and_the_strongest() {
        let many = similarities(40, &(0..40).map(|l| 0.5 + l as f32 / 100.0).collect::<Vec<_>>());
        let found = links(&many, Measure::Cosine);
        assert_eq!(found.links.iter().map(|link| link.second).collect::<Vec<_>>(), [39, 38, 37, 36, 35, 34]);
        assert!(links(&similarities(3, &[]), Measure::Correlation).links.is_empty());
    }
}
