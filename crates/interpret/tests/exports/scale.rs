//! The scale of exports.

use unmix::DenseMatrix;
use unmix_data::FitRecord;
use unmix_interpret::export::{ScaledFit, saedashboard};

use crate::fixtures::{Folder, NEURONS, RANK, TOKENS, fit, site};

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
fn exports_say_how_reproducible_the_features_of_a_consensus_are() {
    let (mut record, _) = fit();
    let exported = |record: &FitRecord| {
        let folder = Folder::new();
        let scaled = ScaledFit::new(record).expect("scaled");
        saedashboard(&folder.out(), &scaled, &site(), false).expect("written");
        folder.json("vectors.json")["unmix"]["reproducibility"].clone()
    };
    assert!(exported(&record).is_null(), "nothing is known of a single run");
    for (k, statistics) in record.run.summary.feature_statistics.iter_mut().enumerate() {
        statistics.reproducibility = Some(k as f64 / 8.0);
    }
    assert_eq!(exported(&record), serde_json::json!([0.0, 0.125, 0.25, 0.375, 0.5]));
}

#[test]
fn coefficients_beyond_f32_are_refused() {
    let (mut record, _) = fit();
    record.features.values[..NEURONS].fill(3e38);
    record.coefficients.values[0] = 2.0;
    let error = ScaledFit::new(&record).expect_err("too large").to_string();
    assert!(error.contains("token 0, feature 0") && error.contains("smaller scale"), "{error}");
}
