//! Which number of features to take, and why.

use serde::{Deserialize, Serialize};

use super::point::{SweepPoint, mean};

/// Share of what the best point explains of held-out neurons that another point may explain less. Between points so close
/// the stability decides. It has a sharp peak at the number of features that there are, where the held-out error is flat.
const CLOSE_TO_BEST: f64 = 0.05;
/// Stabilities that differ by no more than this are equal. Of points that are equally stable, the smallest is taken.
const EQUALLY_STABLE: f64 = 0.005;

/// The number of features to take, with the figures that speak for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Number of features K.
    pub rank: u32,
    /// Share of the neurons that a feature keeps.
    pub sparsity: f64,
    /// Whether the best may lie beyond the ranks that were tried.
    pub edge: Option<Edge>,
    /// Why, in a sentence or two.
    pub reason: String,
}

/// An end of the ranks that were tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// The smallest rank is recommended. A smaller one may be better.
    Smallest,
    /// The largest rank is recommended, or has the least held-out error. A larger one may be better.
    Largest,
}

/// Chooses among the points. `None` without points, or if no token uses any feature, as with activations that are zero.
///
/// The points with nearly the least held-out error come into question: those whose error is above the least by at most a
/// standard error of the difference over the folds, or by 5% of what the best point explains. Among them, the one with
/// the most stable features is taken, and of equally stable ones the smallest. With fewer features than there are to find, two fits choose different ones. With
/// more, features split in different ways. So stability is highest where the number is right. But it is high as well for
/// a few strong features that leave much unexplained, which the held-out error excludes.
///
/// Without held-out errors, stability alone decides. With a single seed, the smallest number that comes into question is
/// taken.
pub fn recommend(points: &[SweepPoint]) -> Option<Recommendation> {
    if points.iter().all(|point| point.dead_features >= f64::from(point.rank)) {
        return None;
    }
    let candidates = candidates(points);
    let most_stable = candidates.iter().filter_map(|point| point.stability()).fold(0.0, f64::max);
    let is_stable = |point: &&SweepPoint| point.stability().is_none_or(|s| s >= most_stable - EQUALLY_STABLE);
    let held_out = |point: &SweepPoint| point.held_out_error().unwrap_or(0.0);
    let smaller = |a: &&SweepPoint, b: &&SweepPoint| a.rank.cmp(&b.rank).then(held_out(a).total_cmp(&held_out(b)));
    let best = candidates.iter().copied().filter(is_stable).min_by(smaller)?;
    let edge = edge(points, best);
    Some(Recommendation {
        rank: best.rank,
        sparsity: best.sparsity,
        edge,
        reason: reason(points, &candidates, best, edge),
    })
}

/// The point with the least held-out error.
fn least(points: &[SweepPoint]) -> Option<&SweepPoint> {
    let errors = points.iter().filter_map(|point| Some((point, point.held_out_error()?)));
    errors.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.rank.cmp(&b.0.rank))).map(|(point, _)| point)
}

/// The points that come into question: all of them if nothing was held out.
fn candidates(points: &[SweepPoint]) -> Vec<&SweepPoint> {
    let Some(least) = least(points) else { return points.iter().collect() };
    let least_error = least.held_out_error().unwrap_or(0.0);
    let is_close = |point: &&SweepPoint| {
        let above = point.held_out_error().map(|error| error - least_error);
        let tolerated = (CLOSE_TO_BEST * (1.0 - least_error)).max(standard_error(point, least));
        above.is_some_and(|above| above <= tolerated)
    };
    points.iter().filter(is_close).collect()
}

/// The standard error of the difference of the held-out errors of two points, over the folds. 0 if they have other folds.
fn standard_error(a: &SweepPoint, b: &SweepPoint) -> f64 {
    let (a, b) = (&a.held_out_errors, &b.held_out_errors);
    if a.len() != b.len() || a.len() < 2 {
        return 0.0;
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let mean = mean(&differences).unwrap_or(0.0);
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    let count = differences.len() as f64;
    (squares / (count - 1.0) / count).sqrt()
}

fn edge(points: &[SweepPoint], best: &SweepPoint) -> Option<Edge> {
    let ranks = || points.iter().map(|point| point.rank);
    match (ranks().min(), ranks().max()) {
        (smallest, most) if smallest == most => None,
        (_, Some(most)) if most == best.rank => Some(Edge::Largest),
        (Some(smallest), _) if smallest == best.rank => Some(Edge::Smallest),
        (_, most) if most == least(points).map(|point| point.rank) => Some(Edge::Largest),
        _ => None,
    }
}

fn reason(points: &[SweepPoint], candidates: &[&SweepPoint], best: &SweepPoint, edge: Option<Edge>) -> String {
    let name = |point: &SweepPoint| {
        let several = points.iter().any(|other| other.sparsity != point.sparsity);
        let sparsity =
            if several { format!(" with {} of the neurons", percent(point.sparsity)) } else { String::new() };
        format!("K = {}{sparsity}", point.rank)
    };
    let back = match (best.reproducible(), best.seeds.len()) {
        (Some(found), 2) => format!("{} of {} features come back with the other seed", found.round(), best.rank),
        (Some(found), _) => {
            format!("{} of {} features come back with at least half of the other seeds", found.round(), best.rank)
        }
        (None, _) => String::new(),
    };
    let least = least(points);
    let mut text = match (least, best.held_out_error(), best.stability()) {
        (Some(least), Some(error), Some(_)) if least.place() == best.place() => {
            let close = candidates.len() - 1;
            let is_equal = |point: &&&SweepPoint| {
                point.place() != best.place() && point.stability() >= best.stability().map(|s| s - EQUALLY_STABLE)
            };
            let others = match (close, candidates.iter().filter(is_equal).count()) {
                (0, _) => "no other is close".to_owned(),
                (1, 0) => "the one that is close has less stable features".to_owned(),
                (_, 0) => format!("the {close} that are close have less stable features"),
                (1, _) => "the one that is close has about as stable features, and no fewer".to_owned(),
                (_, equal) => format!(
                    "of the {close} that are close, none has more stable features, and {equal} {} about as stable with no fewer",
                    if equal == 1 { "is" } else { "are" }
                ),
            };
            format!("The held-out error is least at {} ({error:.3}), and {others}. {back}.", name(best))
        }
        (Some(least), Some(error), Some(stability)) => format!(
            "Of the {} points whose held-out error is close to the least ({:.3} at {}), {} ({error:.3}) has the most stable \
             features (mean cosine {stability:.2}): {back}.",
            candidates.len(),
            least.held_out_error().unwrap_or(0.0),
            name(least),
            name(best)
        ),
        (Some(least), Some(error), None) => format!(
            "{} is the smallest rank whose held-out error ({error:.3}) is close to the least ({:.3} at {}). A single seed says \
             nothing about stability.",
            name(best),
            least.held_out_error().unwrap_or(0.0),
            name(least)
        ),
        (_, _, Some(stability)) => format!(
            "{} has the most stable features (mean cosine {stability:.2}): {back}. Nothing was held out, so fewer features are \
             favoured.",
            name(best)
        ),
        _ => format!(
            "{} is the smallest rank. With one seed and without held-out tokens, nothing else is known.",
            name(best)
        ),
    };
    match edge {
        Some(Edge::Largest) => {
            let largest = least.filter(|least| least.rank > best.rank);
            text += match largest {
                None => " It is the largest rank that was tried, so a larger one may be better.",
                Some(_) => {
                    " The largest rank that was tried has the least held-out error, so a larger one may be better."
                }
            };
            text += &gained(points, largest.unwrap_or(best)).unwrap_or_default();
        }
        Some(Edge::Smallest) => {
            text += " It is the smallest rank that was tried, so a smaller one may be better.";
        }
        None => {}
    }
    text
}

/// What the last step to the largest rank has gained.
fn gained(points: &[SweepPoint], largest: &SweepPoint) -> Option<String> {
    let smaller = points.iter().filter(|point| point.sparsity == largest.sparsity && point.rank < largest.rank);
    let before = smaller.max_by_key(|point| point.rank)?;
    let fall = before.held_out_error()? - largest.held_out_error()?;
    let more = (largest.reproducible()? - before.reproducible()?).round();
    let moves = if fall < 0.0 { "rises" } else { "falls" };
    let (count, features) = (more.abs(), if more.abs() == 1.0 { "feature comes" } else { "features come" });
    let which = if more < 0.0 { "fewer" } else { "more" };
    Some(format!(
        " From K = {} to {}, the held-out error {moves} by {:.3}, and {count} {which} {features} back.",
        before.rank,
        largest.rank,
        fall.abs()
    ))
}

/// `5%`, `0.5%`.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    format!("{}%", (percent * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rank: u32, held_out: f64, stability: f64) -> SweepPoint {
        SweepPoint::example(rank, held_out, stability)
    }

    fn recommended(points: &[SweepPoint]) -> Recommendation {
        recommend(points).expect("points")
    }

    #[test]
    fn of_the_points_close_to_the_least_error_the_most_stable_is_taken() {
        // The error is flat from 60 on, and few features are stable but explain little.
        let points = [
            point(15, 0.8, 0.99),
            point(30, 0.7, 0.7),
            point(60, 0.505, 0.96),
            point(80, 0.5, 0.9),
            point(120, 0.51, 0.7),
        ];
        let found = recommended(&points);
        assert_eq!((found.rank, found.edge), (60, None));
        assert!(found.reason.contains("0.500 at K = 80") && found.reason.contains("57 of 60"), "{}", found.reason);
    }

    #[test]
    fn of_equally_stable_points_the_smallest_is_taken() {
        let points = [point(2, 0.5, 0.7), point(3, 0.001, 0.999), point(4, 0.001, 1.0), point(6, 0.001, 0.98)];
        assert_eq!(recommended(&points).rank, 3);
    }

    #[test]
    fn a_rank_that_differs_by_less_than_its_standard_error_comes_into_question() {
        let mut uncertain = point(40, 0.55, 0.95);
        let points = |uncertain: &SweepPoint| [uncertain.clone(), point(60, 0.5, 0.9)];
        assert_eq!(recommended(&points(&uncertain)).rank, 60);
        uncertain.held_out_errors = vec![0.3, 0.5, 0.7, 0.7];
        assert_eq!(recommended(&points(&uncertain)).rank, 40);
    }

    #[test]
    fn the_ends_of_the_ranks_are_said_to_be_ends() {
        let falling = [point(25, 0.8, 0.7), point(50, 0.6, 0.7), point(100, 0.4, 0.7)];
        let found = recommended(&falling);
        assert_eq!((found.rank, found.edge), (100, Some(Edge::Largest)));
        let gained = "From K = 50 to 100, the held-out error falls by 0.200, and 35 more features come back.";
        assert!(found.reason.ends_with(gained), "{}", found.reason);
        let rising = [point(25, 0.4, 0.9), point(50, 0.6, 0.7), point(100, 0.8, 0.7)];
        let found = recommended(&rising);
        assert_eq!((found.rank, found.edge), (25, Some(Edge::Smallest)));
        assert_eq!(recommended(&rising[..1]).edge, None);
        assert_eq!(recommend(&[]), None);
        let unused = SweepPoint { dead_features: 25.0, ..point(25, 0.0, 0.0) };
        assert_eq!(recommend(&[unused]), None);
    }

    #[test]
    fn a_least_error_at_the_largest_rank_is_said_although_another_is_recommended() {
        let found = recommended(&[point(25, 0.8, 0.7), point(90, 0.41, 0.9), point(100, 0.4, 0.8)]);
        assert_eq!((found.rank, found.edge), (90, Some(Edge::Largest)));
        assert!(found.reason.contains("The largest rank that was tried has the least"), "{}", found.reason);
        assert!(found.reason.ends_with("falls by 0.010, and 1 fewer feature comes back."), "{}", found.reason);
    }

    #[test]
    fn equally_stable_points_are_not_said_to_be_less_stable() {
        let tied = |other: f64| recommended(&[point(2, 0.5, 0.9), point(3, 0.501, other), point(4, 0.9, 0.5)]).reason;
        assert!(
            tied(0.9).contains("the one that is close has about as stable features, and no fewer"),
            "{}",
            tied(0.9)
        );
        assert!(tied(0.8).contains("the one that is close has less stable features"), "{}", tied(0.8));
    }

    #[test]
    fn without_seeds_or_folds_the_reason_says_what_is_not_known() {
        let bare = |seeds: bool, folds: bool| {
            let points = [(25, 0.6), (50, 0.5), (100, 0.49)].map(|(rank, error)| {
                let mut point = point(rank, error, if rank == 50 { 0.9 } else { 0.8 });
                if !seeds {
                    point.stabilities.clear();
                    point.seeds.truncate(1);
                }
                if !folds {
                    point.held_out_errors.clear();
                }
                point
            });
            recommended(&points)
        };
        assert_eq!((bare(true, false).rank, bare(false, true).rank, bare(false, false).rank), (50, 50, 25));
        assert!(bare(true, false).reason.contains("Nothing was held out"));
        assert!(bare(false, true).reason.contains("A single seed says nothing"));
        assert!(bare(false, false).reason.contains("nothing else is known"));
    }
}
