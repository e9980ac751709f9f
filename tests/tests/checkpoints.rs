//! Checkpoints: a fit that goes on from a checkpoint ends with the same bits as a fit without an interruption.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use unmix::{
    Activations, CheckpointSummary, CpuEngine, DenseMatrix, ElementType, Engine, Error, Factorization, Init, SemiNmf,
    Solver, Stage, StopReason, StreamOptions,
};
use unmix_tests::{Dense, Store, Stored, engines, engines_with_panels, planted};

/// Longer than any fit here takes.
const NEVER: Duration = Duration::from_secs(3600);
/// So short that a checkpoint is taken between any two iterations.
const ALWAYS: Duration = Duration::from_nanos(1);

/// Asserts that two fits are equal in everything but times.
fn assert_same(wanted: &Factorization, found: &Factorization, what: &str) {
    let bits = |m: &DenseMatrix| m.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&wanted.features), bits(&found.features), "{what}: features");
    assert_eq!(bits(&wanted.coefficients), bits(&found.coefficients), "{what}: coefficients");
    let timeless = |fit: &Factorization| {
        let mut summary = fit.summary.clone();
        (summary.seconds, summary.start_seconds, summary.seconds_curve) = (0.0, 0.0, Vec::new());
        summary
    };
    assert_eq!(timeless(wanted), timeless(found), "{what}");
    assert_eq!(found.summary.seconds_curve.len(), found.summary.loss_curve.len(), "{what}");
    assert!(found.summary.seconds_curve.is_sorted(), "{what}: {:?}", found.summary.seconds_curve);
}

/// Resumes a fit from each of its checkpoints, and compares each result with the uninterrupted fit. Returns that fit
/// and the number of checkpoints.
fn assert_every_checkpoint_leads_there(
    engine: &dyn Engine,
    activations: &Activations,
    settings: &SemiNmf,
    what: &str,
) -> (Factorization, usize) {
    let wanted = settings.fit(engine, activations).unwrap();
    let store = Store::default();
    let watched = settings.clone().checkpoint(ALWAYS, store.clone()).fit(engine, activations).unwrap();
    assert_same(&wanted, &watched, what);
    let checkpoints = store.all();
    for (number, checkpoint) in checkpoints.iter().cloned().enumerate() {
        let resumed = SemiNmf::resume(checkpoint).unwrap().fit(engine, activations).unwrap();
        assert_same(&wanted, &resumed, &format!("{what}, from checkpoint {number}"));
    }
    (wanted, checkpoints.len())
}

#[test]
fn a_fit_of_streamed_activations_goes_on_to_the_same_bits_also_from_checkpoints_of_a_resident_one() {
    let x = planted(91, 700, 53, 6, ElementType::F16);
    for engine in engines_with_panels(10_000) {
        let engine = engine.as_ref();
        let source = Arc::new(x.to_activations(ElementType::F16));
        let (streamed, resident) =
            (engine.stream(source.clone(), &StreamOptions { slots: 2 }).unwrap(), engine.load(&source).unwrap());
        let settings = SemiNmf::new(7).sparsity(0.2).max_iterations(4).tolerance(0.0);
        let (wanted, count) = assert_every_checkpoint_leads_there(engine, &streamed, &settings, engine.adapter());
        assert!(count >= 3 && streamed.layout().panels() > 5);
        let store = Store::default();
        settings.clone().checkpoint(ALWAYS, store.clone()).fit(engine, &resident).unwrap();
        let resumed = SemiNmf::resume(store.all().swap_remove(1)).unwrap().fit(engine, &streamed).unwrap();
        assert_same(&wanted, &resumed, engine.adapter());
    }
}

#[test]
fn a_fit_ends_with_the_same_bits_from_every_checkpoint() {
    let x = planted(12, 610, 45, 7, ElementType::F16);
    for engine in engines() {
        let activations = engine.load(&x.to_activations(ElementType::F16)).unwrap();
        for solver in Solver::ALL {
            let settings = SemiNmf::new(7).sparsity(0.1).solver(solver).max_iterations(6).tolerance(0.0);
            let what = format!("{} on {}", solver.name(), engine.adapter());
            let (fit, checkpoints) = assert_every_checkpoint_leads_there(&*engine, &activations, &settings, &what);
            // There is one before each iteration, and one after the last.
            assert_eq!((fit.summary.iterations, checkpoints), (6, 7), "{what}");
        }
    }
}

#[test]
fn every_start_over_several_panels_ends_with_the_same_bits() {
    let x = planted(5, 523, 40, 5, ElementType::F32);
    let engine = CpuEngine::new().panel_bytes(100 * 160);
    let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
    assert_eq!(activations.layout().panels(), 6);
    let start = DenseMatrix { rows: 523, columns: 5, values: Dense::random_coefficients(2, 523, 5).to_f32() };
    for solver in Solver::ALL {
        for init in [Init::Kmeans, Init::Random, Init::Svd, Init::Given] {
            for sparsity in [0.1, 0.6] {
                let settings = SemiNmf::new(5).sparsity(sparsity).solver(solver).max_iterations(5).tolerance(0.0);
                let settings = match init {
                    Init::Given => settings.init_coefficients(start.clone()),
                    other => settings.init(other),
                };
                let what = format!("{} from {}, {sparsity}", solver.name(), init.name());
                assert_every_checkpoint_leads_there(&engine, &activations, &settings, &what);
            }
        }
    }
}

#[test]
fn revival_convergence_and_settings_go_on_as_they_would_have() {
    let x = planted(12, 240, 60, 8, ElementType::F32);
    for engine in engines() {
        let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
        for solver in [Solver::ProjectedLs, Solver::Hals] {
            // A start in which three features have no coefficients at all.
            let mut y = Dense::random_coefficients(13, 240, 8);
            (0..240).for_each(|i| y.values[i * 8..i * 8 + 3].fill(0.0));
            let start = DenseMatrix { rows: 240, columns: 8, values: y.to_f32() };
            let settings = SemiNmf::new(8).sparsity(0.1).solver(solver).init_coefficients(start);
            let what = format!("{} on {}", solver.name(), engine.adapter());
            let revived = settings.clone().max_iterations(12).tolerance(0.0);
            let (fit, _) = assert_every_checkpoint_leads_there(&*engine, &activations, &revived, &what);
            assert!(!fit.summary.revived.is_empty(), "{what}");
            let converging = settings.tolerance(0.02).debias(true).sweeps(1).ridge(1e-5).seed(7);
            let (fit, _) = assert_every_checkpoint_leads_there(&*engine, &activations, &converging, &what);
            assert_eq!(fit.summary.stop_reason, StopReason::Converged, "{what}");
        }
    }
}

#[test]
fn an_interrupted_fit_leaves_a_last_checkpoint_from_which_it_goes_on() {
    let x = planted(3, 400, 40, 5, ElementType::F32);
    for engine in engines() {
        let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
        for stop_at in 1..=5 {
            let settings = SemiNmf::new(5).sparsity(0.1).max_iterations(6).tolerance(0.0);
            let what = format!("stopped at {stop_at} on {}", engine.adapter());
            let wanted = settings.fit(&*engine, &activations).unwrap();
            let store = Store::default();
            let writing = settings.checkpoint(NEVER, store.clone());
            let stopped = writing
                .fit_with(&*engine, &activations, |progress| {
                    if progress.iteration == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
            assert_eq!(stopped.summary.stop_reason, StopReason::Interrupted, "{what}");
            let [checkpoint] = &store.all()[..] else { panic!("{what}: one checkpoint") };
            let summary = CheckpointSummary::of_header(&checkpoint.header).unwrap();
            assert_eq!((summary.iterations, summary.options.rank), (stop_at, 5));
            let mut told = Vec::new();
            let resumed = SemiNmf::resume(checkpoint.clone())
                .unwrap()
                .fit_with(&*engine, &activations, |progress| {
                    told.push((progress.stage, progress.iteration));
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_same(&wanted, &resumed, &what);
            let iterated: Vec<u32> =
                told.iter().filter(|(stage, _)| *stage == Stage::Iterate).map(|(_, iteration)| *iteration).collect();
            assert_eq!(iterated, (stop_at..=6).collect::<Vec<_>>(), "{what}");
            assert_eq!(told.first().map(|(stage, _)| *stage), Some(Stage::Iterate), "{what}: no start again");
        }
    }
}

#[test]
fn a_start_that_was_cut_short_leaves_no_checkpoint() {
    let x = planted(3, 400, 40, 5, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
    let store = Store::default();
    let fit = SemiNmf::new(5)
        .checkpoint(ALWAYS, store.clone())
        .fit_with(&engine, &activations, |progress| match progress.stage {
            Stage::WarmUp { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
    assert_eq!(fit.summary.stop_reason, StopReason::Interrupted);
    assert!(store.all().is_empty());
}

#[test]
fn checkpoints_are_taken_when_their_time_has_come() {
    let x = planted(3, 200, 20, 3, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
    for every in [Duration::ZERO, NEVER] {
        let store = Store::default();
        SemiNmf::new(3).checkpoint(every, store.clone()).fit(&engine, &activations).unwrap();
        assert!(store.all().is_empty(), "{every:?}");
    }
    let store = Store::default();
    let slow = SemiNmf::new(3).max_iterations(8).tolerance(0.0).checkpoint(Duration::from_millis(50), store.clone());
    slow.fit_with(&engine, &activations, |_| {
        std::thread::sleep(Duration::from_millis(20));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!((1..=5).contains(&store.all().len()), "{}", store.all().len());
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_fit_and_the_earlier_one_stays() {
    let x = planted(3, 200, 20, 3, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
    let settings = SemiNmf::new(3).max_iterations(8).tolerance(0.0);
    let store = Store::with_room(3);
    let error = settings.clone().checkpoint(ALWAYS, store.clone()).fit(&engine, &activations).unwrap_err();
    assert!(matches!(error, Error::CheckpointWrite { .. }), "{error}");
    let earlier = store.all().pop().unwrap();
    let resumed = SemiNmf::resume(earlier).unwrap().fit(&engine, &activations).unwrap();
    assert_same(&settings.fit(&engine, &activations).unwrap(), &resumed, "after a full disk");
}

#[test]
fn a_checkpoint_of_another_fit_is_refused_with_the_reason() {
    let x = planted(3, 200, 20, 3, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
    let store = Store::default();
    SemiNmf::new(3).checkpoint(ALWAYS, store.clone()).fit(&engine, &activations).unwrap();
    let checkpoint = store.all().remove(1);
    let refused = |changed: Stored, engine: &dyn Engine, activations: &Activations, reason: &str| {
        let error = SemiNmf::resume(changed).and_then(|resumed| resumed.fit(engine, activations)).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error} does not say {reason:?}");
    };
    let header = |from: &str, to: &str| {
        assert!(checkpoint.header.contains(from));
        Stored { header: checkpoint.header.replace(from, to), ..checkpoint.clone() }
    };
    let version = format!("\"version\":{:?}", env!("CARGO_PKG_VERSION"));
    refused(header(&version, "\"version\":\"0.0.1\""), &engine, &activations, "version 0.0.1 of unmix wrote it");
    refused(header("\"summary\"", "\"nothing\""), &engine, &activations, "header cannot be read");
    refused(header("\"engine\":\"cpu\"", "\"engine\":\"gpu\""), &engine, &activations, "resume on that engine");
    let other = engine.load(&planted(3, 201, 20, 3, ElementType::F32).to_activations(ElementType::F32)).unwrap();
    refused(checkpoint.clone(), &engine, &other, "201 × 20 in f32");
    let other = engine.load(&x.to_activations(ElementType::F16)).unwrap();
    refused(checkpoint.clone(), &engine, &other, "200 × 20 in f16");
    let small = CpuEngine::new().panel_bytes(50 * 80);
    let cut = small.load(&x.to_activations(ElementType::F32)).unwrap();
    refused(checkpoint.clone(), &small, &cut, "cuts them into panels of 50");
    let mut damaged = checkpoint.clone();
    damaged.buffers.remove("coefficients of panel 0").unwrap();
    refused(damaged, &engine, &activations, "`coefficients of panel 0` cannot be read");
    let changed = SemiNmf::resume(checkpoint).unwrap().seed(1).fit(&engine, &activations).unwrap_err();
    assert!(changed.to_string().contains("other options"), "{changed}");
}
