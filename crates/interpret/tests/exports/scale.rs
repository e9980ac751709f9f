//! The scale of exports.

use unmix::DenseMatrix;
use unmix_interpret::export::ScaledFit;

use crate::fixtures::{NEURONS, RANK, TOKENS, fit};

#[test]
fn the_scale_moves_into_the_coefficients() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    for k in 0..RANK {
        let norm: f64 = fit.features.row(k).iter().map(|&z| f64::from(z).powi(2)).sum();
        assert!((norm - 1.0).abs() < 1e-6);
    }
    let product = |y: &DenseMatrix, z: &DenseMatrix, i: usize, j: usize| -> f64 {
        (0..RANK).map(|k| f64::from(y.row(i)[k]) * f64::from(z.row(k)[j])).sum()
    };
    for i in 0..TOKENS {
        for j in 0..NEURONS {
            let (own, given) = (
                product(&fit.coefficients, &fit.features, i, j),
                product(&record.coefficients, &record.features, i, j),
            );
            assert!((own - given).abs() < 1e-5, "{own} {given}");
        }
    }
}

#[test]
fn coefficients_beyond_f32_are_refused() {
    let (mut record, _) = fit();
    record.features.values[..NEURONS].fill(3e38);
    record.coefficients.values[0] = 2.0;
    let error = ScaledFit::new(&record).expect_err("too large").to_string();
    assert!(error.contains("token 0, feature 0") && error.contains("smaller scale"), "{error}");
}
