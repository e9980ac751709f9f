//! Fits of real activations: layer 12 of SmolLM2-135M-Instruct, the part that `unmix demo` shows.

use unmix::{CpuEngine, DenseMatrix, Engine, Factorization, Init, SemiNmf, Solver};
use unmix_data::{ActivationFile, OpenOptions};
use unmix_tests::{Dense, every_engine};

fn activations() -> ActivationFile {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/cli/data/demo/activations.safetensors");
    ActivationFile::open(file, &OpenOptions::default()).unwrap()
}

fn fit(engine: &dyn Engine, settings: &SemiNmf) -> Factorization {
    settings.fit(engine, &engine.load(&activations()).unwrap()).unwrap()
}

#[test]
fn engines_agree_within_a_thousandth_from_the_same_start() {
    let tokens = 1767;
    let start = DenseMatrix { rows: tokens, columns: 30, values: Dense::random_coefficients(1, tokens, 30).to_f32() };
    for solver in Solver::ALL {
        let settings =
            SemiNmf::new(30).solver(solver).init_coefficients(start.clone()).max_iterations(8).tolerance(0.0);
        let errors: Vec<f64> =
            every_engine().iter().map(|engine| fit(engine.as_ref(), &settings).summary.relative_error).collect();
        for error in &errors {
            assert!((error - errors[0]).abs() <= 1e-3 * errors[0], "{solver:?}: {errors:?}");
        }
    }
}

#[test]
fn thirty_iterations_end_below_what_the_published_iteration_reaches_in_three_hundred() {
    let engine = CpuEngine::new();
    let settings = SemiNmf::new(40).tolerance(0.0);
    let published = settings.clone().solver(Solver::Paper).init(Init::Random).keep_best(true).max_iterations(300);
    let published = fit(&engine, &published).summary.relative_error;
    for solver in [Solver::ProjectedLs, Solver::Hals] {
        let error = fit(&engine, &settings.clone().solver(solver).max_iterations(30)).summary.relative_error;
        assert!(error < published - 0.01, "{solver:?}: {error} against {published}");
    }
}

#[test]
fn features_come_out_sparse_and_alive() {
    let fit = fit(&CpuEngine::new(), &SemiNmf::new(40));
    assert_eq!(fit.summary.kept_per_feature, 140, "the default for 1,536 neurons");
    assert!(fit.summary.dead_features.is_empty(), "{:?}", fit.summary.dead_features);
    assert!(fit.summary.feature_statistics.iter().all(|s| s.nonzeros == 140 && s.explained_share > 0.0));
}
