//! The affine encoder, against oracles that compute entry by entry.

use proptest::prelude::*;
use unmix::{ActivationSource, DenseMatrix, HostActivations};
use unmix_interpret::export::{AffineEncoder, ScaledFit, affine_encoder};

use crate::fixtures::{NEURONS, RANK, TOKENS, fit, noise, values, with_dead_features};

/// ‖X − relu(XW + b)Ẑ‖² / ‖X‖², entry by entry.
fn error_through(encoder: &AffineEncoder, fit: &ScaledFit, x: &[f64]) -> f64 {
    let (mut residual, mut total) = (0.0, 0.0);
    for x in x.chunks_exact(NEURONS) {
        let y = encoded(encoder, x);
        for (j, x) in x.iter().enumerate() {
            let own: f64 = y.iter().enumerate().map(|(k, y)| y * f64::from(fit.features.row(k)[j])).sum();
            residual += (x - own).powi(2);
            total += x * x;
        }
    }
    residual / total
}

fn encoded(encoder: &AffineEncoder, x: &[f64]) -> Vec<f64> {
    let one = |k: usize| x.iter().enumerate().map(|(j, x)| x * f64::from(encoder.weights.row(j)[k])).sum::<f64>();
    encoder.bias.iter().enumerate().map(|(k, &b)| (one(k) + f64::from(b)).max(0.0)).collect()
}

/// Solves A b = c by Gaussian elimination.
fn solve(mut a: Vec<Vec<f64>>, mut c: Vec<f64>) -> Vec<f64> {
    let n = c.len();
    for p in 0..n {
        let best = (p..n).max_by(|&i, &j| a[i][p].abs().total_cmp(&a[j][p].abs())).expect("a row");
        a.swap(p, best);
        c.swap(p, best);
        for i in p + 1..n {
            let factor = a[i][p] / a[p][p];
            let (above, below) = a.split_at_mut(i);
            below[0].iter_mut().zip(&above[p]).skip(p).for_each(|(own, pivot)| *own -= factor * pivot);
            c[i] -= factor * c[p];
        }
    }
    for p in (0..n).rev() {
        c[p] = (c[p] - (p + 1..n).map(|j| a[p][j] * c[j]).sum::<f64>()) / a[p][p];
    }
    c
}

#[test]
fn the_encoder_reports_the_error_that_it_has() {
    let (record, activations) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let encoder = affine_encoder(&fit, Some(&activations)).expect("an encoder");
    let x = values(&activations);
    let reported = encoder.report.relative_error.expect("known");
    assert!((reported - error_through(&encoder, &fit, &x)).abs() < 1e-5);
    assert!((encoder.report.fit_relative_error - record.run.summary.relative_error).abs() < 1e-4);
    let active: Vec<usize> =
        x.chunks_exact(NEURONS).map(|x| encoded(&encoder, x).iter().filter(|&&y| y > 1e-6).count()).collect();
    assert_eq!(encoder.report.most_active, active.iter().max().copied());
    let mean = active.iter().sum::<usize>() as f64 / TOKENS as f64;
    assert!((encoder.report.mean_active.expect("known") - mean).abs() < 0.05);
}

/// The sum that the encoder minimises for feature `k`.
fn objective(encoder: &AffineEncoder, fit: &ScaledFit, x: &[f64], k: usize) -> f64 {
    let rows = x.chunks_exact(NEURONS).enumerate();
    rows.map(|(i, x)| {
        let own = f64::from(fit.coefficients.row(i)[k]);
        let one: f64 = x.iter().enumerate().map(|(j, x)| x * f64::from(encoder.weights.row(j)[k])).sum();
        let given = one + f64::from(encoder.bias[k]);
        if own > 0.0 { (given - own).powi(2) } else { given.max(0.0).powi(2) }
    })
    .sum()
}

#[test]
fn the_encoder_minimises_what_the_relu_leaves() {
    let (record, activations) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let encoder = affine_encoder(&fit, Some(&activations)).expect("an encoder");
    let x = values(&activations);
    // The same regression, entry by entry, with many more iterations.
    let p: Vec<Vec<f64>> = x
        .chunks_exact(NEURONS)
        .map(|x| {
            let one = |k: usize| x.iter().zip(fit.features.row(k)).map(|(x, &z)| x * f64::from(z)).sum::<f64>();
            (0..RANK).map(one).chain([1.0]).collect()
        })
        .collect();
    let normal: Vec<Vec<f64>> =
        (0..=RANK).map(|a| (0..=RANK).map(|b| p.iter().map(|p| p[a] * p[b]).sum()).collect()).collect();
    for k in 0..RANK {
        let own = |i: usize| f64::from(fit.coefficients.row(i)[k]);
        let mut solution = vec![0.0; RANK + 1];
        let given = |solution: &[f64], i: usize| p[i].iter().zip(solution).map(|(p, s)| p * s).sum::<f64>();
        let mut ridge_sum = 0.0;
        for pass in 0..4000 {
            let target = |i: usize| if own(i) > 0.0 { own(i) } else { given(&solution, i).min(0.0) };
            let targets: Vec<f64> = (0..TOKENS).map(target).collect();
            let right = (0..=RANK).map(|a| p.iter().zip(&targets).map(|(p, t)| p[a] * t).sum()).collect();
            solution = solve(normal.clone(), right);
            let sum = |i: usize| if own(i) > 0.0 { given(&solution, i) - own(i) } else { given(&solution, i).max(0.0) };
            if pass == 0 {
                ridge_sum = (0..TOKENS).map(|i| sum(i).powi(2)).sum::<f64>();
            }
        }
        let sum = |i: usize| if own(i) > 0.0 { given(&solution, i) - own(i) } else { given(&solution, i).max(0.0) };
        let least = (0..TOKENS).map(|i| sum(i).powi(2)).sum::<f64>();
        let found = objective(&encoder, &fit, &x, k);
        assert!(
            found >= least * 0.999 && found <= least + 0.15 * (ridge_sum - least) + 1e-6,
            "{found} {least} {ridge_sum}"
        );
    }
}

#[test]
fn without_activations_the_encoder_is_the_pseudo_inverse() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let encoder = affine_encoder(&fit, None).expect("an encoder");
    assert_eq!((encoder.report.fitted, encoder.report.relative_error), (false, None));
    assert_eq!(encoder.bias, [0.0; RANK]);
    // Ẑ W is the identity.
    for k in 0..RANK {
        for l in 0..RANK {
            let one: f64 =
                (0..NEURONS).map(|j| f64::from(fit.features.row(k)[j]) * f64::from(encoder.weights.row(j)[l])).sum();
            assert!((one - f64::from(u8::from(k == l))).abs() < 1e-4, "{k} {l} {one}");
        }
    }
}

#[test]
fn dead_features_encode_to_zero() {
    let (record, activations) = with_dead_features();
    let fit = ScaledFit::new(&record).expect("scaled");
    for source in [None, Some(&activations as &dyn ActivationSource)] {
        let encoder = affine_encoder(&fit, source).expect("an encoder");
        assert!(encoder.weights.values.iter().chain(&encoder.bias).all(|w| w.is_finite()));
        for k in [2, 3] {
            assert!((0..NEURONS).all(|j| encoder.weights.row(j)[k] == 0.0) && encoder.bias[k] == 0.0, "feature {k}");
        }
        assert!((0..NEURONS).any(|j| encoder.weights.row(j)[0] != 0.0));
    }
}

#[test]
fn activations_of_another_shape_or_with_nan_are_refused() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let of = |values: Vec<f32>, tokens: usize| {
        let source = HostActivations::from_f32(values, tokens as u64, NEURONS as u64).expect("activations");
        affine_encoder(&fit, Some(&source)).expect_err("refused")
    };
    let error = of(vec![1.0; 3 * NEURONS], 3);
    assert!(error.is_usage() && error.to_string().contains("157 tokens × 37 neurons"), "{error}");
    let error = of(vec![f32::NAN; TOKENS * NEURONS], TOKENS).to_string();
    assert!(error.contains("NaN"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_shape_and_scale_gives_a_finite_encoder(
        (tokens, neurons, rank) in (1usize..40, 1usize..20, 1usize..8),
        power in -12i32..12,
        zeros in 0.0f32..1.0,
        seed in 0usize..1000,
    ) {
        let scale = 10f32.powi(power);
        let (mut record, _) = fit();
        let value = |at: usize| noise(at * 3 + seed * 97);
        let kept = |at: usize| if (noise(at * 11 + seed) + 1.0) / 2.0 < zeros { 0.0 } else { 1.0 };
        let matrix = |rows: usize, columns: usize, of: &dyn Fn(usize) -> f32| DenseMatrix {
            rows, columns, values: (0..rows * columns).map(of).collect(),
        };
        record.features = matrix(rank, neurons, &|at| value(at) * kept(at) * scale);
        record.coefficients = matrix(tokens, rank, &|at| value(at + 5).max(0.0) * kept(at + 3));
        let fit = ScaledFit::new(&record).expect("scaled");
        let x = (0..tokens * neurons).map(|at| value(at + 9) * scale).collect();
        let source = HostActivations::from_f32(x, tokens as u64, neurons as u64).expect("activations");
        for source in [None, Some(&source as &dyn ActivationSource)] {
            let encoder = affine_encoder(&fit, source).expect("an encoder");
            prop_assert!(encoder.weights.values.iter().chain(&encoder.bias).all(|w| w.is_finite()));
            prop_assert!(encoder.report.relative_error.is_none_or(f64::is_finite));
        }
    }
}
