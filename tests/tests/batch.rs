//! Fits of a batch equal fits alone, whatever they share a pass with.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use unmix::{
    ActivationSource, Activations, Batch, CheckpointBuffer, CheckpointWriter, ElementType, Engine, Error, Init,
    SemiNmf, Solver, Stage, StopReason, StreamOptions,
};
use unmix_tests::{Dense, assert_same, engines_with_panels, planted};

/// Fits that differ in solver, rank, start, seed and when they stop.
fn fits() -> Vec<SemiNmf> {
    let base = SemiNmf::new(6).sparsity(0.2).max_iterations(9).tolerance(0.0);
    let mut fits: Vec<SemiNmf> =
        Solver::ALL.into_iter().zip(3..).map(|(solver, seed)| base.clone().solver(solver).seed(seed)).collect();
    fits.push(base.clone().solver(Solver::Hals).seed(7).max_iterations(4));
    fits.push(
        SemiNmf::new(11)
            .sparsity(0.1)
            .solver(Solver::Hals)
            .penalty(0.1)
            .seed(8)
            .max_iterations(30)
            .tolerance(0.02)
            .patience(3),
    );
    fits.push(base.clone().init(Init::Random).keep_best(false).unshrink(true).debias(true).max_iterations(12));
    fits.push(SemiNmf::new(2).sparsity(1.0).init(Init::Svd).sweeps(5).max_iterations(1));
    fits
}

fn assert_batch_equals_fits_alone(engine: &dyn Engine, activations: &Activations) {
    let fits = fits();
    let together = Batch::new(fits.clone()).fit(engine, activations).expect("fits");
    for (number, (together, settings)) in together.iter().zip(&fits).enumerate() {
        let alone = settings.fit(engine, activations).expect("a fit");
        let what = format!("fit {number} on {}", engine.adapter());
        assert_same(&what, &alone, together);
        assert_eq!(alone.summary.stop_reason, together.summary.stop_reason, "{what}");
        assert_eq!(alone.summary.objective_curve, together.summary.objective_curve, "{what}");
        assert_eq!(alone.summary.revived, together.summary.revived, "{what}");
    }
    assert_eq!(together[5].summary.stop_reason, StopReason::Converged);
    assert!(together[5].summary.iterations != together[0].summary.iterations, "fits must stop at different times");
}

#[test]
fn each_fit_of_a_batch_has_the_bits_of_the_fit_alone() {
    // Each type on one of the engines.
    let engines = engines_with_panels(40_000);
    for (element, engine) in ElementType::ALL.into_iter().zip(engines.iter().cycle()) {
        let x = planted(5, 613, 130, 6, element).to_activations(element);
        let resident = engine.load(&x).expect("loading");
        assert!(resident.layout().panels() > 3);
        assert_batch_equals_fits_alone(engine.as_ref(), &resident);
        let source: Arc<dyn ActivationSource + Send> = Arc::new(x);
        let streamed = engine.stream(source, &StreamOptions { slots: 2 }).expect("a stream");
        assert_batch_equals_fits_alone(engine.as_ref(), &streamed);
    }
}

#[test]
fn activations_that_need_a_scale_and_features_that_die_are_the_same_in_a_batch() {
    for engine in engines_with_panels(30_000) {
        // Every third token is zero, and there are fewer distinct tokens than features.
        let x = Dense::from_fn(400, 50, |i, j| {
            if i % 3 == 0 { 0.0 } else { ((i % 7) * 13 + j * (i % 7 + 1)) as f64 % 9.0 * 1e-9 }
        });
        let activations = engine.load(&x.to_activations(ElementType::F32)).expect("loading");
        let fit = |seed| SemiNmf::new(12).sparsity(0.3).solver(Solver::Hals).seed(seed).max_iterations(8);
        let together = Batch::new((0..3).map(fit).collect()).fit(engine.as_ref(), &activations).expect("fits");
        assert!(together.iter().any(|fit| !fit.summary.revived.is_empty()), "nothing was revived");
        for (seed, together) in (0..).zip(&together) {
            let alone = fit(seed).fit(engine.as_ref(), &activations).expect("a fit");
            assert_same(&format!("seed {seed} on {}", engine.adapter()), &alone, together);
        }
    }
}

#[test]
fn a_batch_tells_the_progress_of_each_fit_and_stops_all_at_once() {
    let engine = &engines_with_panels(40_000)[0];
    let x = planted(6, 500, 64, 4, ElementType::F32).to_activations(ElementType::F32);
    let activations = engine.load(&x).expect("loading");
    let batch = Batch::new((0..3).map(|seed| SemiNmf::new(4).sparsity(0.2).seed(seed).tolerance(0.0)).collect());
    let mut told = vec![0; 3];
    let fits = batch
        .fit_with(engine.as_ref(), &activations, |fit, progress| {
            told[fit] += u32::from(progress.stage == Stage::Iterate && progress.iteration > 0);
            if progress.iteration == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .expect("fits");
    assert!(fits.iter().all(|fit| fit.summary.stop_reason == StopReason::Interrupted));
    assert!(fits.iter().all(|fit| (5..10).contains(&fit.summary.iterations)), "they stop after the same iteration");
    assert!(told.iter().all(|&told| told >= 5), "{told:?}");
}

/// Keeps nothing.
#[derive(Debug)]
struct Nowhere;

impl CheckpointWriter for Nowhere {
    fn begin(&mut self, _: &str, _: &[CheckpointBuffer]) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_batch_refuses_what_it_cannot_do_before_it_begins() {
    let engine = &engines_with_panels(40_000)[0];
    let x = planted(6, 100, 64, 4, ElementType::F32).to_activations(ElementType::F32);
    let activations = engine.load(&x).expect("loading");
    let refused = |fits: Vec<SemiNmf>| match Batch::new(fits).fit(engine.as_ref(), &activations) {
        Err(Error::Option { option, given, .. }) => (option, given),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Vec::new()), ("batch", "no fits".to_owned()));
    let with_checkpoints = SemiNmf::new(4).checkpoint(Duration::from_secs(60), Nowhere);
    let (option, given) = refused(vec![SemiNmf::new(4), with_checkpoints]);
    assert!(option == "batch" && given.contains("number 1"), "{given}");
    assert_eq!(refused(vec![SemiNmf::new(4), SemiNmf::new(65)]), ("rank", "65".to_owned()));
}
