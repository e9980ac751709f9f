//! Whether some neurons tell tokens apart as others do.

use rayon::prelude::*;

/// Cosines that differ by less than this are the same but for rounding.
const ROUNDING: f64 = 1e-6;

/// The cosines of all pairs of some tokens, whose activations are given. A token whose activations are zero has cosines of 0.
pub(crate) fn cosines(tokens: &[&[f32]]) -> Vec<f64> {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let norms: Vec<f64> = tokens.iter().map(|token| product(token, token).sqrt()).collect();
    let cosine = |(i, j): (usize, usize)| {
        let norms = norms[i] * norms[j];
        if norms > 0.0 { product(tokens[i], tokens[j]) / norms } else { 0.0 }
    };
    let pairs: Vec<_> = (0..tokens.len()).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
    pairs.into_par_iter().map(cosine).collect()
}

/// The correlation of two lists of as many cosines, or 0 if those of one list are all the same.
pub(crate) fn correlation(first: &[f64], second: &[f64]) -> f64 {
    let count = first.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (first_mean, second_mean) = (mean(first), mean(second));
    let product = |f: &dyn Fn(f64, f64) -> f64| {
        first.iter().zip(second).map(|(a, b)| f(a - first_mean, b - second_mean)).sum::<f64>() / count
    };
    let (first_variance, second_variance) = (product(&|a, _| a * a), product(&|_, b| b * b));
    if first_variance.min(second_variance) > ROUNDING * ROUNDING {
        product(&|a, b| a * b) / (first_variance * second_variance).sqrt()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neurons_that_tell_the_same_tokens_apart_agree() {
        let x: Vec<[f32; 4]> =
            (0..8).map(|i| [(i % 3) as f32, (i % 2) as f32, 2.0 * (i % 3) as f32, 3.0 * (i % 2) as f32]).collect();
        let part =
            |neurons: std::ops::Range<usize>| cosines(&x.iter().map(|x| &x[neurons.clone()]).collect::<Vec<_>>());
        assert_eq!(part(0..2).len(), 28);
        assert!(correlation(&part(0..2), &part(2..4)) > 0.9);
        assert!((correlation(&part(0..2), &part(0..2)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn constant_neurons_zeros_and_single_tokens_say_nothing() {
        let varied: Vec<[f32; 2]> = (0..6).map(|i| [(i % 3) as f32, 1.0]).collect();
        let varied = cosines(&varied.iter().map(|x| &x[..]).collect::<Vec<_>>());
        for value in [0.0, 0.1, 3.0] {
            let constant = [value; 7];
            assert_eq!(correlation(&cosines(&[&constant[..]; 6]), &varied), 0.0, "{value}");
        }
        assert_eq!(correlation(&[], &[]), 0.0);
        assert_eq!(correlation(&[0.5], &[0.5]), 0.0);
    }
}
