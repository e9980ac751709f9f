//! A thousand fits of matrices that break naive solvers: no NaN, no panic, coefficients at least 0.

use unmix::{DenseMatrix, ElementType, Engine, Error, Factorization, Init, SemiNmf, Solver};
use unmix_tests::{Dense, engines};

/// Names of the matrices. [`matrix`] makes each of them for a seed.
const CASES: [&str; 14] = [
    "all zeros",
    "zero rows",
    "zero columns",
    "constant columns",
    "duplicate tokens",
    "one token repeated",
    "one nonzero",
    "one outlier token",
    "one outlier neuron",
    "rank one",
    "rank near n",
    "one neuron",
    "negative only",
    "magnitudes from 1e-10 to 1e10",
];

/// Scales at which every case is tried in f32.
const SCALES: [f64; 5] = [1e-20, 1e-6, 1.0, 1e6, 1e20];

fn matrix(case: &str, seed: u64) -> (Dense, u32) {
    let (n, d) = (20 + seed as usize % 13, 11 + seed as usize % 7);
    let r = Dense::random(seed, n, d, ElementType::F32);
    let make = |f: &dyn Fn(usize, usize) -> f64| Dense::from_fn(n, d, f);
    match case {
        "all zeros" => (make(&|_, _| 0.0), 4),
        "zero rows" => (make(&|i, j| if i % 3 == 0 { 0.0 } else { r.at(i, j) }), 5),
        "zero columns" => (make(&|i, j| if j % 2 == 0 { 0.0 } else { r.at(i, j) }), 5),
        "constant columns" => (make(&|i, j| if j % 2 == 0 { 3.0 } else { r.at(i, j) }), 5),
        "duplicate tokens" => (make(&|i, j| r.at(i % 4, j)), 7),
        "one token repeated" => (make(&|_, j| r.at(0, j)), 6),
        "one nonzero" => (make(&|i, j| if (i, j) == (3, 2) { 1.0 } else { 0.0 }), 3),
        "one outlier token" => (make(&|i, j| if i == 2 { 1e4 * r.at(i, j) } else { r.at(i, j) }), 5),
        "one outlier neuron" => (make(&|i, j| if j == 2 { 1e4 * r.at(i, j) } else { r.at(i, j) }), 5),
        "rank one" => (make(&|i, j| r.at(i, 0).abs() * r.at(0, j)), 5),
        "rank near n" => (Dense::random(seed, 12, 40, ElementType::F32), 12),
        "one neuron" => (Dense::random(seed, n, 1, ElementType::F32), 1),
        "negative only" => (make(&|i, j| -r.at(i, j).abs()), 4),
        _ => (make(&|i, j| r.at(i, j) * 10f64.powi((i as i32 % 5 - 2) * 5)), 6),
    }
}

fn check(what: &str, result: Result<Factorization, Error>) {
    let fit = match result {
        Ok(fit) => fit,
        Err(error) => panic!("{what}: {error}"),
    };
    assert!(fit.coefficients.values.iter().all(|y| y.is_finite() && *y >= 0.0), "{what}: coefficients");
    assert!(fit.features.values.iter().all(|z| z.is_finite()), "{what}: features");
    let summary = &fit.summary;
    assert!(summary.relative_error.is_finite(), "{what}: {}", summary.relative_error);
    assert!(summary.loss_curve.iter().all(|loss| loss.is_finite()), "{what}: losses");
    let finite = |s: &unmix::FeatureStatistics| {
        s.explained_share.is_finite() && s.energy_share.is_finite() && s.norm.is_finite()
    };
    assert!(summary.feature_statistics.iter().all(finite), "{what}: statistics");
}

fn fit(engine: &dyn Engine, x: &Dense, element: ElementType, settings: &SemiNmf) -> Result<Factorization, Error> {
    settings.fit(engine, &engine.load(&x.to_activations(element))?)
}

fn attempt(engine: &dyn Engine, case: &str, scale: f64, solver: Solver, init: Init, seed: u64) {
    let (x, rank) = matrix(case, seed);
    let x = Dense::from_fn(x.rows, x.columns, |i, j| f64::from((x.at(i, j) * scale) as f32));
    let settings = SemiNmf::new(rank).sparsity(0.3).solver(solver).init(init).seed(seed).max_iterations(8);
    let what = format!("{case}, scale {scale:e}, {solver:?}, {init:?}, seed {seed}, {}", engine.adapter());
    check(&what, fit(engine, &x, ElementType::F32, &settings));
}

#[test]
fn a_thousand_adversarial_fits_on_the_cpu() {
    let engine = unmix::CpuEngine::new();
    let mut fits = 0;
    for (seed, init) in [(1, Init::Kmeans), (2, Init::Random), (3, Init::Svd), (4, Init::Kmeans)] {
        for case in CASES {
            for scale in SCALES {
                for solver in Solver::ALL {
                    attempt(&engine, case, scale, solver, init, seed);
                    fits += 1;
                }
            }
        }
    }
    assert!(fits >= 1000, "{fits}");
}

#[test]
fn adversarial_fits_on_every_engine() {
    for engine in engines() {
        for (index, case) in CASES.into_iter().enumerate() {
            for solver in Solver::ALL {
                let init = [Init::Kmeans, Init::Random, Init::Svd][index % 3];
                attempt(engine.as_ref(), case, SCALES[(index * 2 + solver as usize) % 5], solver, init, index as u64);
            }
        }
    }
}

#[test]
fn coefficients_that_start_at_zero_or_at_extremes_do_no_harm() {
    let x = Dense::random(5, 40, 30, ElementType::F16);
    for engine in engines() {
        for value in [0.0, 1e-30, 1e-6, 1.0, 1e6, 1e15] {
            for solver in Solver::ALL {
                let start = DenseMatrix { rows: 40, columns: 5, values: vec![value; 200] };
                let settings = SemiNmf::new(5).sparsity(0.2).solver(solver).init_coefficients(start).max_iterations(10);
                let what = format!("all coefficients {value:e}, {solver:?}, {}", engine.adapter());
                let result = fit(engine.as_ref(), &x, ElementType::F16, &settings);
                // The ridge of the published iteration is an absolute number. Beside such a Gram matrix, which is
                // singular, it is nothing.
                if value >= 1e6 && solver == Solver::Paper && matches!(result, Err(Error::Unsound { .. })) {
                    continue;
                }
                check(&what, result);
            }
        }
    }
}

#[test]
fn magnitudes_beyond_what_f32_products_hold_are_refused() {
    for engine in engines() {
        for scale in [1e36, 1e-36] {
            let x = Dense::from_fn(9, 7, |i, j| scale * (1.0 + (i * j) as f64));
            let result = fit(engine.as_ref(), &x, ElementType::F32, &SemiNmf::new(2));
            assert!(matches!(result, Err(Error::OutOfRange { .. })), "{scale:e}");
        }
    }
}

#[test]
fn half_precision_at_its_limits_is_no_trouble() {
    for engine in engines() {
        for (element, largest) in [(ElementType::F16, 65504.0), (ElementType::Bf16, 1e31), (ElementType::F16, 6e-8)] {
            let r = Dense::random(6, 50, 30, ElementType::F32);
            let most = r.values.iter().fold(0f64, |m, v| m.max(v.abs()));
            let x = Dense::from_fn(50, 30, |i, j| r.at(i, j) / most * largest);
            for solver in Solver::ALL {
                let settings = SemiNmf::new(6).sparsity(0.2).solver(solver).max_iterations(6);
                let what = format!("{element} up to {largest:e}, {solver:?}, {}", engine.adapter());
                check(&what, fit(engine.as_ref(), &x, element, &settings));
            }
        }
    }
}
