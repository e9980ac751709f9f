//! Places of features on a map. Features that use the same neurons, or are active at the same tokens, lie close
//! together.

use bhtsne::tSNE;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unmix::DenseMatrix;

use crate::rows::normalize;

/// Most tokens that are looked at. If there are more, every second, third, … token is.
const TOKENS: usize = 16_384;
/// Fewest features for which t-SNE is used.
const FEWEST: usize = 8;
const EPOCHS: usize = 600;
/// Distance that dots keep from one another, in widths of the map.
const APART: f64 = 0.014;
/// Where the living features end if there are dead ones, which lie on a line at 1.
const DEAD_MARGIN: f32 = 0.94;

/// A place [x, y] for each feature (row of `features`, [K, d]). Both coordinates are in 0..=1 and never NaN.
///
/// The distance of two features is the mean of two terms: 1 − the cosine of the features and, if `coefficients` [n, K]
/// are given, 1 − the cosine of their columns. Exact t-SNE (van der Maaten and Hinton, "Visualizing Data using t-SNE",
/// 2008) places the features, starting from the two principal axes of these similarities. With fewer than 8 features,
/// the two axes are the map. Features that are zero, or active at no token, lie apart on a line at y = 1. The same
/// input and seed give the same map.
///
/// # Panics
/// If `coefficients` does not have K columns.
pub fn map_positions(features: &DenseMatrix, coefficients: Option<&DenseMatrix>, seed: u64) -> Vec<[f32; 2]> {
    let rank = features.rows;
    if let Some(coefficients) = coefficients {
        assert_eq!(coefficients.columns, rank, "one column of coefficients for each feature");
    }
    let directions = unit_rows(rank, features.columns, |k, i| features.values[k * features.columns + i]);
    let columns = coefficients.map(|y| {
        let step = y.rows.div_ceil(TOKENS).max(1);
        unit_rows(rank, y.rows.div_ceil(step), |k, i| y.values[i * step * rank + k])
    });
    let is_dead = |k: usize| {
        let unused = |y: &DenseMatrix| !y.values.iter().skip(k).step_by(rank).any(|&v| v > 0.0);
        features.row(k).iter().all(|&v| v == 0.0 || !v.is_finite()) || coefficients.is_some_and(unused)
    };
    let (dead, live): (Vec<usize>, Vec<usize>) = (0..rank).partition(|&k| is_dead(k));

    let mut similarity = gram(&directions, &live);
    if let Some(columns) = &columns {
        let other = gram(columns, &live);
        similarity = Mat::from_fn(live.len(), live.len(), |i, j| 0.5 * (similarity[(i, j)] + other[(i, j)]));
    }
    let start = principal_axes(&similarity, seed);
    let placed = if live.len() < FEWEST { None } else { neighbour_embedding(&similarity, &start) };
    let mut placed = fit_square(placed.unwrap_or(start));
    keep_apart(&mut placed);
    let placed = fit_square(placed);

    let mut positions = vec![[0.5, 1.0]; rank];
    let height = if dead.is_empty() { 1.0 } else { DEAD_MARGIN };
    for (&k, [x, y]) in live.iter().zip(placed) {
        positions[k] = [x as f32, y as f32 * height];
    }
    for (i, &k) in dead.iter().enumerate() {
        positions[k] = [(i as f32 + 0.5) / dead.len() as f32, 1.0];
    }
    positions
}

/// `rows` × `columns` values, with each row scaled to unit norm. Values that are not finite count as zero, and rows of
/// zeros stay zero.
fn unit_rows(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Mat<f32> {
    // Each column is one feature.
    let mut unit = Mat::from_fn(columns, rows, |i, k| Some(value(k, i)).filter(|v| v.is_finite()).unwrap_or_default());
    for k in 0..rows {
        if let Some(feature) = unit.col_mut(k).try_as_col_major_mut() {
            normalize(feature.as_slice_mut());
        }
    }
    unit
}

/// Cosines of the chosen columns of `unit`.
fn gram(unit: &Mat<f32>, chosen: &[usize]) -> Mat<f32> {
    let picked = Mat::from_fn(unit.nrows(), chosen.len(), |i, k| unit[(i, chosen[k])]);
    let mut cosines = Mat::zeros(chosen.len(), chosen.len());
    let picked: MatRef<'_, f32> = picked.as_ref();
    // In a single thread, so that the order of the sums is always the same.
    matmul(cosines.as_mut(), Accum::Replace, picked.transpose(), picked, 1.0, Par::Seq);
    cosines
}

/// Coordinates of points with these inner products on their two principal axes, by orthogonal iteration.
fn principal_axes(similarity: &Mat<f32>, seed: u64) -> Vec<[f64; 2]> {
    let count = similarity.nrows();
    let means: Vec<f64> =
        (0..count).map(|i| similarity.col(i).iter().map(|&s| f64::from(s)).sum::<f64>() / count as f64).collect();
    let mean = means.iter().sum::<f64>() / count.max(1) as f64;
    let centred = |i: usize, j: usize| f64::from(similarity[(j, i)]) - means[i] - means[j] + mean;

    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut axes: Vec<[f64; 2]> =
        (0..count).map(|_| [random.random::<f64>() - 0.5, random.random::<f64>() - 0.5]).collect();
    for _ in 0..40 {
        orthonormalize(&mut axes);
        axes = (0..count)
            .map(|i| {
                let mut sums = [0.0; 2];
                for (j, axis) in axes.iter().enumerate() {
                    let weight = centred(i, j);
                    sums[0] += weight * axis[0];
                    sums[1] += weight * axis[1];
                }
                sums
            })
            .collect();
    }
    axes
}

/// Gram–Schmidt on two columns. A column that vanishes becomes zero.
fn orthonormalize(axes: &mut [[f64; 2]]) {
    for c in 0..2 {
        if c == 1 {
            let along: f64 = axes.iter().map(|a| a[0] * a[1]).sum();
            axes.iter_mut().for_each(|a| a[1] -= along * a[0]);
        }
        let norm = axes.iter().map(|a| a[c] * a[c]).sum::<f64>().sqrt();
        let scale = if norm > 1e-12 { 1.0 / norm } else { 0.0 };
        axes.iter_mut().for_each(|a| a[c] *= scale);
    }
}

/// Exact t-SNE from `start`. None if a coordinate overflows, or no thread can be started.
fn neighbour_embedding(similarity: &Mat<f32>, start: &[[f64; 2]]) -> Option<Vec<[f64; 2]>> {
    let count = start.len();
    let spread = start.iter().flatten().fold(0.0, |most: f64, v| most.max(v.abs()));
    let scale = if spread > 0.0 { 1e-2 / spread } else { 0.0 };
    // Points lie a little apart even if two features are the same, because forces between equal places are zero.
    let nudge = |i: usize, c: usize| 1e-5 * (i as f64 * 2.4 + c as f64 * 1.57).cos();
    let seeds: Vec<f32> = (0..2 * count).map(|i| (start[i / 2][i % 2] * scale + nudge(i / 2, i % 2)) as f32).collect();
    let members: Vec<usize> = (0..count).collect();
    // The library adds up in an order that depends on how threads share the work. A single thread has only one order.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()?;
    let flat = pool.install(|| {
        let mut embedding: tSNE<'_, f32, usize> = tSNE::new(&members);
        let perplexity = (count as f32 / 10.0).clamp(2.0, 15.0);
        embedding.perplexity(perplexity).epochs(EPOCHS).stop_lying_epoch(150).momentum_switch_epoch(150);
        embedding.initial_embedding(seeds).exact(|&a, &b| (1.0 - similarity[(a, b)]).max(0.0)).embedding()
    });
    let pairs: Vec<[f64; 2]> = flat.chunks_exact(2).map(|p| [p[0].into(), p[1].into()]).collect();
    pairs.iter().flatten().all(|v| v.is_finite()).then_some(pairs)
}

/// Stretches the points over the unit square. If they have no extent along an axis, they lie in its middle.
fn fit_square(mut points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    for c in 0..2 {
        let low = points.iter().map(|p| p[c]).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|p| p[c]).fold(f64::NEG_INFINITY, f64::max);
        for point in &mut points {
            point[c] = if high - low > 1e-12 { (point[c] - low) / (high - low) } else { 0.5 };
        }
    }
    points
}

/// Pushes dots apart that cover each other.
fn keep_apart(points: &mut [[f64; 2]]) {
    for _ in 0..30 {
        let mut moved = false;
        for i in 0..points.len() {
            for j in 0..i {
                let (dx, dy) = (points[i][0] - points[j][0], points[i][1] - points[j][1]);
                let distance = dx.hypot(dy);
                if distance >= APART {
                    continue;
                }
                // Dots in equal places part in a direction that depends on the pair.
                let angle = (i * 7 + j) as f64;
                let (ux, uy) =
                    if distance > 1e-9 { (dx / distance, dy / distance) } else { (angle.cos(), angle.sin()) };
                let push = 0.5 * (APART - distance) + 1e-6;
                points[i] = [points[i][0] + ux * push, points[i][1] + uy * push];
                points[j] = [points[j][0] - ux * push, points[j][1] - uy * push];
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `groups` groups of `each` features. The features of a group share a direction, apart from some noise.
    fn grouped(groups: usize, each: usize, neurons: usize) -> DenseMatrix {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let centres: Vec<f32> = (0..groups * neurons).map(|_| random.random::<f32>() - 0.5).collect();
        let mut values = Vec::new();
        for k in 0..groups * each {
            values
                .extend((0..neurons).map(|i| centres[k % groups * neurons + i] + 0.3 * (random.random::<f32>() - 0.5)));
        }
        DenseMatrix { rows: groups * each, columns: neurons, values }
    }

    fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
        (a[0] - b[0]).hypot(a[1] - b[1])
    }

    fn in_square(positions: &[[f32; 2]]) -> bool {
        positions.iter().flatten().all(|v| (0.0..=1.0).contains(v))
    }

    #[test]
    fn a_features_nearest_on_the_map_is_of_its_group() {
        let positions = map_positions(&grouped(5, 9, 37), None, 3);
        assert!(in_square(&positions));
        let nearest = |k: usize| {
            let others = (0..positions.len()).filter(|&j| j != k);
            others
                .min_by(|&a, &b| distance(positions[k], positions[a]).total_cmp(&distance(positions[k], positions[b])))
        };
        let right = (0..positions.len()).filter(|&k| nearest(k).unwrap() % 5 == k % 5).count();
        assert!(right >= 43, "{right} of 45");
    }

    #[test]
    fn the_same_seed_gives_the_same_map() {
        let features = grouped(3, 11, 19);
        assert_eq!(map_positions(&features, None, 4), map_positions(&features, None, 4));
    }

    #[test]
    fn coefficients_count_beside_features() {
        // Orthogonal features. The even ones are active together, and so are the odd ones.
        let rank = 16;
        let identity = (0..rank * rank).map(|i| if i / rank == i % rank { 1.0 } else { 0.0 }).collect();
        let features = DenseMatrix { rows: rank, columns: rank, values: identity };
        let active = (0..50 * rank).map(|i| if (i / rank) % 2 == (i % rank) % 2 { 1.0 } else { 0.0 }).collect();
        let positions = map_positions(&features, Some(&DenseMatrix { rows: 50, columns: rank, values: active }), 0);
        let mean = |odd: usize| {
            let pairs: Vec<f32> = (0..rank)
                .flat_map(|a| (0..a).map(move |b| (a, b)))
                .filter(|(a, b)| (a + b) % 2 == odd)
                .map(|(a, b)| distance(positions[a], positions[b]))
                .collect();
            pairs.iter().sum::<f32>() / pairs.len() as f32
        };
        assert!(mean(0) < 0.5 * mean(1), "{} {}", mean(0), mean(1));
    }

    #[test]
    fn maps_of_few_equal_or_dead_features_have_no_nan_and_no_dot_hides_another() {
        for rank in [0, 1, 2, 3, 7, 8, 9, 23] {
            for dead in [0, 1, rank] {
                // All living features are equal.
                let values = (0..rank * 3).map(|i| if i / 3 < dead.min(rank) { 0.0 } else { 1.0 + (i % 3) as f32 });
                let features = DenseMatrix { rows: rank, columns: 3, values: values.collect() };
                let positions = map_positions(&features, None, 1);
                assert_eq!(positions.len(), rank);
                assert!(in_square(&positions), "{rank} {dead} {positions:?}");
                for a in 0..rank {
                    assert_eq!(dead > 0 && positions[a][1] > DEAD_MARGIN, a < dead.min(rank));
                    for b in 0..a {
                        assert!(distance(positions[a], positions[b]) > 1e-3, "{rank} {dead} {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_feature_that_no_token_uses_lies_apart() {
        let features = grouped(3, 4, 11);
        let values = (0..7 * 12).map(|i| if i % 12 == 5 { 0.0 } else { (i % 5) as f32 }).collect();
        let positions = map_positions(&features, Some(&DenseMatrix { rows: 7, columns: 12, values }), 1);
        assert_eq!(positions[5][1], 1.0);
        assert!((0..12).filter(|&k| k != 5).all(|k| positions[k][1] <= DEAD_MARGIN));
    }
}
