//! A result is verified before it is returned: cases that once went wrong.

use std::ops::ControlFlow;

use unmix::{
    CpuEngine, DenseMatrix, ElementType, Encoder, Engine, Error, HostActivations, Init, SemiNmf, Solver, Stage,
};
use unmix_data::{ActivationFile, OpenOptions};
use unmix_tests::{Dense, engines, oracle};

fn open(name: &str) -> ActivationFile {
    let path = format!("{}/data/verification/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    ActivationFile::open(path, &OpenOptions::default()).unwrap()
}

#[test]
fn coefficients_found_again_do_not_explode_where_a_feature_has_nearly_vanished() {
    for engine in engines() {
        let activations = engine.load(&open("exploding")).unwrap();
        let fit =
            SemiNmf::new(33).solver(Solver::ProjectedLs).init(Init::Random).fit(engine.as_ref(), &activations).unwrap();
        // Rounding decides the loss of the iterate that is returned. Its coefficients must explain as much.
        let summary = &fit.summary;
        let in_its_iteration = summary.loss_curve[summary.best_iteration as usize - 1] / summary.squared_norm;
        let found = summary.relative_error;
        assert!(found <= 1.01 * in_its_iteration + 1e-3 && found <= 1.0 + 1e-6, "{}: {found}", engine.adapter());
        let largest = fit.summary.feature_statistics.iter().map(|s| s.energy_share).fold(0.0, f64::max);
        assert!(largest < 1e8, "no features that cancel: {largest:e}");
    }
}

#[test]
fn no_result_is_worse_than_features_of_zero() {
    for engine in engines() {
        let activations = engine.load(&open("worse-than-zero")).unwrap();
        let settings =
            SemiNmf::new(8).solver(Solver::ProjectedLs).sparsity(0.5).init(Init::Random).seed(610).ridge(0.0);
        let fit = settings.fit(engine.as_ref(), &activations).unwrap();
        assert!(fit.summary.relative_error <= 1.0, "{}: {}", engine.adapter(), fit.summary.relative_error);
    }
}

#[test]
fn numbers_beyond_f32_are_refused() {
    let activations = HostActivations::from_f32(vec![1.0; 12], 4, 3).unwrap();
    let engine = CpuEngine::new();
    let resident = engine.load(&activations).unwrap();
    for (option, settings) in [
        ("ridge", SemiNmf::new(2).ridge(1e39)),
        ("penalty", SemiNmf::new(2).solver(Solver::Hals).penalty(1e39)),
        ("sweeps", SemiNmf::new(2).sweeps(1_001)),
    ] {
        match settings.fit(&engine, &resident) {
            Err(Error::Option { option: refused, .. }) => assert_eq!(refused, option),
            other => panic!("{option}: {other:?}"),
        }
    }
}

#[test]
fn the_error_of_an_exact_fit_is_exact() {
    // There are few distinct tokens, and more features than those. Gram matrices lose the loss to rounding, but the
    // residual does not.
    let distinct = Dense::random(7, 3, 32, ElementType::F32);
    let x = Dense::from_fn(150, 32, |i, j| f64::from(distinct.at(i / 50, j) as f32));
    for engine in engines() {
        for (solver, init) in
            [(Solver::ProjectedLs, Init::Svd), (Solver::Hals, Init::Kmeans), (Solver::Mu, Init::Random)]
        {
            let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
            let settings = SemiNmf::new(10).sparsity(1.0).solver(solver).init(init).penalty(0.0);
            let fit = settings.fit(engine.as_ref(), &activations).unwrap();
            let dense = |m: &DenseMatrix| Dense {
                rows: m.rows,
                columns: m.columns,
                values: m.values.iter().map(|&v| v.into()).collect(),
            };
            let exact = oracle::loss(&x, &dense(&fit.coefficients), &dense(&fit.features)) / oracle::inner(&x, &x);
            let told = fit.summary.relative_error;
            assert!((told - exact).abs() <= (1e-4 * exact).max(1e-9), "{solver:?}: {told:e} for {exact:e}");
        }
    }
}

#[test]
fn coefficients_that_are_optimal_for_their_features_leave_nothing_to_gain() {
    // One feature, and tokens along it. The slope of the coefficients vanishes, and so does that of the feature.
    let z = Dense::random(8, 1, 40, ElementType::F32);
    let x = Dense::from_fn(60, 40, |i, j| f64::from(((1 + i % 5) as f64 * z.at(0, j)) as f32));
    for engine in engines() {
        let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
        let fit = SemiNmf::new(1).sparsity(1.0).fit(engine.as_ref(), &activations).unwrap();
        let optimality = fit.summary.optimality.unwrap();
        assert!(optimality.coefficients < 1e-4 && optimality.features < 1e-4, "{}: {optimality:?}", engine.adapter());
        // Compared with features that are cut, least squares would still gain.
        let x = Dense::random(9, 60, 40, ElementType::F32);
        let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
        let fit = SemiNmf::new(3).sparsity(0.1).max_iterations(1).fit(engine.as_ref(), &activations).unwrap();
        assert!(fit.summary.optimality.unwrap().features > 1e-3, "{}", engine.adapter());
    }
}

#[test]
fn encoded_coefficients_beyond_f32_are_an_error() {
    let engine = CpuEngine::new();
    let activations = engine.load(&HostActivations::from_f32(vec![1.0, 2.0, 3.0, 4.0], 2, 2).unwrap()).unwrap();
    let features = DenseMatrix { rows: 1, columns: 2, values: vec![1e-40, 1e-40] };
    let error = Encoder::new(features).encode(&engine, &activations).unwrap_err();
    assert!(matches!(error, Error::Option { option: "features", .. }), "{error}");
}

#[test]
fn a_fit_that_is_stopped_in_its_warm_up_still_has_a_result() {
    let x = Dense::random(10, 800, 64, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
    for stop_in in [Stage::Measure, Stage::Start, Stage::WarmUp { iteration: 3, of: 50 }] {
        let mut stages = Vec::new();
        let fit = SemiNmf::new(5)
            .solver(Solver::ProjectedLs)
            .sparsity(0.1)
            .warm_up(50)
            .fit_with(&engine, &activations, |progress| {
                stages.push(progress.stage);
                if progress.stage == stop_in { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        assert_eq!(fit.summary.iterations, 1, "{stop_in:?}");
        assert!(fit.summary.relative_error < 1.0);
        assert!(!stages.contains(&Stage::WarmUp { iteration: 5, of: 50 }), "{stages:?}");
        assert_eq!(stages.last(), Some(&Stage::Verify));
    }
}
