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
    /// Links from strong to weak. Each feature has at most six to either side, its counterpart, and those that are the
    /// strongest of the other feature.
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
    let nearest = Nearest::of(similarities, measure.linked_from());
    Links {
        measure,
        persistence: persistence(&nearest, measure, &matching),
        links: linked(similarities, measure.linked_from(), &matching, &nearest),
    }
}

/// The most similar feature of the other side, of those that are similar enough for a link.
struct Nearest {
    of_first: Vec<Option<usize>>,
    of_second: Vec<Option<usize>>,
}

impl Nearest {
    fn of(similarities: &DenseMatrix, least: f32) -> Nearest {
        let at = |first: usize, second: usize| similarities.row(first)[second];
        let (rows, columns) = (similarities.rows, similarities.columns);
        let (mut of_first, mut of_second) = (vec![None; rows], vec![None; columns]);
        for (first, nearest_of_first) in of_first.iter_mut().enumerate() {
            for second in (0..columns).filter(|&second| at(first, second) >= least) {
                if nearest_of_first.is_none_or(|nearest| at(first, second) > at(first, nearest)) {
                    *nearest_of_first = Some(second);
                }
                if of_second[second].is_none_or(|nearest| at(first, second) > at(nearest, second)) {
                    of_second[second] = Some(first);
                }
            }
        }
        Nearest { of_first, of_second }
    }
}

fn linked(similarities: &DenseMatrix, least: f32, matching: &Matching, nearest: &Nearest) -> Vec<Link> {
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
        // Otherwise a feature would stand there without a link, as if it had nothing in common with any.
        let is_strongest =
            nearest.of_first[link.first] == Some(link.second) || nearest.of_second[link.second] == Some(link.first);
        let keeps = has_room || link.is_match || is_strongest;
        of_first[link.first] += usize::from(keeps);
        of_second[link.second] += usize::from(keeps);
        keeps
    });
    all
}

fn persistence(nearest: &Nearest, measure: Measure, matching: &Matching) -> Persistence {
    let Nearest { of_first, of_second } = nearest;
    let at_least_two = |nearest: &[Option<usize>], count: usize| {
        let mut found = vec![0usize; count];
        nearest.iter().flatten().for_each(|&other| found[other] += 1);
        found.into_iter().filter(|&count| count >= 2).count()
    };
    let alone = |nearest: &[Option<usize>]| nearest.iter().filter(|nearest| nearest.is_none()).count();
    Persistence {
        same: matching.at_least(measure.same_from()),
        split: at_least_two(of_second, of_first.len()),
        merged: at_least_two(of_first, of_second.len()),
        lost: alone(of_first),
        new: alone(of_second),
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
        // A row of forty, of which each but the last ten has more in common with a feature of its own.
        let mut many = similarities(40, &vec![0.0; 31 * 40]);
        for second in 0..40 {
            many.values[second] = 0.5 + second as f32 / 100.0;
            if second < 30 {
                many.values[(second + 1) * 40 + second] = 0.95;
            }
        }
        let found = links(&many, Measure::Cosine);
        let of_the_row = found.links.iter().filter(|link| link.first == 0).map(|link| link.second);
        // The last ten have no stronger link, so none of them is without one.
        assert_eq!(of_the_row.collect::<Vec<_>>(), [39, 38, 37, 36, 35, 34, 33, 32, 31, 30]);
        assert_eq!(found.persistence, Persistence { same: 31, split: 1, merged: 0, lost: 0, new: 0 });
        many.values[30..40].fill(0.0);
        let found = links(&many, Measure::Cosine);
        assert_eq!(found.links.iter().filter(|link| link.first == 0).count(), 6);
        assert_eq!((found.persistence.lost, found.persistence.new), (0, 10));
        assert!(links(&similarities(3, &[]), Measure::Correlation).links.is_empty());
    }
}
