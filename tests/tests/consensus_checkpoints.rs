//! Checkpoints of a consensus: one that goes on from a checkpoint ends with the same bits as one without an interruption.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use unmix::{
    ActivationSource, Activations, CheckpointRuns, CheckpointSummary, Consensus, CpuEngine, ElementType, Engine,
    EngineKind, Error, Factorization, Init, Progress, SemiNmf, Solver, Stage, StopReason, StreamOptions,
};
use unmix_tests::{Dense, Store, Stored, assert_same, engines_with_panels, planted};

/// Longer than any consensus here takes.
const NEVER: Duration = Duration::from_secs(3600);
/// So short that every change is stored.
const ALWAYS: Duration = Duration::from_nanos(1);

/// Whether a stage is the one that is meant.
type IsStage = fn(&Stage) -> bool;

fn loaded(engine: &dyn Engine, x: &Dense) -> Activations {
    engine.load(&x.to_activations(ElementType::F32)).expect("loading")
}

fn assert_same_consensus(wanted: &Factorization, found: &Factorization, what: &str) {
    assert_same(what, wanted, found);
    assert_eq!(wanted.summary.consensus, found.summary.consensus, "{what}");
    assert_eq!(wanted.summary.stop_reason, found.summary.stop_reason, "{what}");
}

/// Goes on from checkpoints of a consensus, in memory for one number of runs or another, and compares each result with that of the consensus
/// without an interruption. These are all checkpoints on the CPU, and every third one on GPUs, because those of software take long. Returns that
/// consensus, and its checkpoints.
fn assert_checkpoints_lead_there(
    engine: &dyn Engine,
    activations: &Activations,
    consensus: &Consensus,
    what: &str,
) -> (Factorization, Vec<Stored>) {
    let what = format!("{what} on {}", engine.adapter());
    let wanted = consensus.fit(engine, activations).expect("a consensus");
    let store = Store::default();
    let watched = consensus.clone().checkpoint(ALWAYS, store.clone()).fit(engine, activations).expect("a consensus");
    assert_same_consensus(&wanted, &watched, &what);
    let is_tried = |number: usize| engine.kind() == EngineKind::Cpu || number % 3 == 1;
    for (number, checkpoint) in store.all().into_iter().enumerate().filter(|(number, _)| is_tried(*number)) {
        let at_once = 1 + number as u32 % 4;
        let resumed = Consensus::resume(checkpoint).expect("a checkpoint").at_once(at_once);
        let resumed = resumed.fit(engine, activations).expect("a consensus");
        assert_same_consensus(&wanted, &resumed, &format!("{what}, from {number}, {at_once} at once"));
    }
    (wanted, store.all())
}

#[test]
fn a_consensus_ends_with_the_same_bits_from_its_checkpoints() {
    let x = planted(12, 610, 45, 7, ElementType::F32);
    for engine in engines_with_panels(30_000) {
        let engine = engine.as_ref();
        let activations = loaded(engine, &x);
        for (solver, init, each) in [
            // After the start, after the iterations on samples, and at the end.
            (Solver::Hals, Init::Kmeans, 3),
            (Solver::ProjectedLs, Init::Kmeans, 3),
            // Only at the end: these begin with coefficients.
            (Solver::Hals, Init::Random, 1),
            (Solver::Mu, Init::Kmeans, 1),
        ] {
            let settings = SemiNmf::new(7).sparsity(0.2).solver(solver).init(init).seed(4);
            let consensus = Consensus::new(settings).runs(3).iterations(6).at_once(2);
            let what = format!("{} from {}", solver.name(), init.name());
            let (_, checkpoints) = assert_checkpoints_lead_there(engine, &activations, &consensus, &what);
            assert_eq!(checkpoints.len(), 2 * each, "{what}");
            let done = |stored: &Stored| CheckpointSummary::of_header(&stored.header).expect("a header").runs;
            let of_last = CheckpointRuns { runs: 3, iterations: Some(6), done: 3 };
            assert_eq!(checkpoints.last().and_then(done), Some(of_last), "{what}");
        }
    }
}

#[test]
fn runs_that_revive_features_go_on_with_the_random_numbers_that_they_would_have_had() {
    // Most runs start with several features of the tokens' first kind, all but one of which die. Which of the seven other kinds takes their
    // place is random.
    let kind = |token: usize| if token % 21 == 4 { 1 + token / 21 % 7 } else { 0 };
    let x = Dense::from_fn(600, 24, |i, j| if j / 3 == kind(i) { f64::from(j as u32 % 3) - 1.5 } else { 0.0 });
    for engine in engines_with_panels(60_000) {
        let activations = loaded(engine.as_ref(), &x);
        let consensus = Consensus::new(SemiNmf::new(3).sparsity(3.0 / 24.0)).runs(4).at_once(2);
        assert_checkpoints_lead_there(engine.as_ref(), &activations, &consensus, "kinds of tokens");
    }
}

#[test]
fn runs_that_see_some_neurons_at_first_end_with_the_same_bits() {
    let x = planted(3, 120, 2_200, 4, ElementType::F32);
    for engine in engines_with_panels(500_000) {
        let activations = loaded(engine.as_ref(), &x);
        for solver in [Solver::Hals, Solver::ProjectedLs] {
            let consensus = Consensus::new(SemiNmf::new(4).solver(solver).sparsity(0.1)).runs(2).iterations(6);
            let (_, checkpoints) =
                assert_checkpoints_lead_there(engine.as_ref(), &activations, &consensus, solver.name());
            // Features over all neurons are one more part.
            assert_eq!(checkpoints.len(), 5, "{}", solver.name());
        }
    }
}

#[test]
fn runs_that_agree_too_little_go_on_to_the_same_bits() {
    // Six features of noise agree far too little, whatever the processor rounds.
    let x = Dense::random(7, 90, 24, ElementType::F32);
    for engine in engines_with_panels(20_000) {
        let activations = loaded(engine.as_ref(), &x);
        let consensus = Consensus::new(SemiNmf::new(6).sparsity(0.3)).runs(4).at_once(2);
        let (fit, checkpoints) = assert_checkpoints_lead_there(engine.as_ref(), &activations, &consensus, "noise");
        assert_eq!(fit.summary.consensus.map(|consensus| consensus.more_iterations), Some(4));
        // Three of each of the two groups, and one of each group that goes on.
        assert_eq!(checkpoints.len(), 8);
    }
}

#[test]
fn a_consensus_of_streamed_activations_goes_on_from_a_checkpoint_of_a_resident_one() {
    let x = planted(91, 700, 53, 6, ElementType::F32);
    for engine in engines_with_panels(30_000) {
        let engine = engine.as_ref();
        let source: Arc<dyn ActivationSource + Send> = Arc::new(x.to_activations(ElementType::F32));
        let streamed = engine.stream(source, &StreamOptions { slots: 2 }).expect("a stream");
        let consensus = Consensus::new(SemiNmf::new(5).sparsity(0.2)).runs(3).iterations(5);
        let (wanted, checkpoints) = assert_checkpoints_lead_there(engine, &streamed, &consensus, "streamed");
        // All runs are in memory at once.
        assert_eq!(checkpoints.len(), 3);
        let store = Store::default();
        let resident = consensus.at_once(1).checkpoint(ALWAYS, store.clone());
        resident.fit(engine, &loaded(engine, &x)).expect("a consensus");
        assert_eq!(store.all().len(), 9);
        for checkpoint in store.all() {
            let resumed = Consensus::resume(checkpoint).expect("a checkpoint").fit(engine, &streamed);
            assert_same_consensus(&wanted, &resumed.expect("a consensus"), engine.adapter());
        }
    }
}

#[test]
fn an_interrupted_consensus_leaves_a_last_checkpoint_from_which_it_goes_on() {
    let x = Dense::random(7, 90, 24, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = loaded(&engine, &x);
    let consensus = Consensus::new(SemiNmf::new(6).sparsity(0.3)).runs(4).at_once(2);
    let all = |_: &Progress| ControlFlow::Continue(());
    let wanted = consensus.fit_and_runs(&engine, &activations, all).expect("a consensus");
    assert_eq!(wanted.runs.len(), 4);
    // What is asked to stop, and what is told first when the consensus goes on.
    let stages: [(&str, IsStage, IsStage); 7] = [
        (
            "the first group",
            |stage| matches!(stage, Stage::Runs { first: 1, iteration: 4, .. }),
            |stage| matches!(stage, Stage::Runs { first: 1, iteration: 1, .. }),
        ),
        (
            "its last iterations",
            |stage| matches!(stage, Stage::Runs { first: 1, iteration: 9, .. }),
            |stage| matches!(stage, Stage::Runs { first: 1, iteration: 8, .. }),
        ),
        (
            "the start of the second group",
            |stage| matches!(stage, Stage::StartRuns { first: 3, .. }),
            |stage| matches!(stage, Stage::StartRuns { first: 3, .. }),
        ),
        ("the comparison", |stage| matches!(stage, Stage::Agree), |stage| matches!(stage, Stage::Agree)),
        (
            "runs that go on",
            |stage| matches!(stage, Stage::Runs { first: 3, iteration: 12, .. }),
            |stage| matches!(stage, Stage::Agree),
        ),
        ("the result", |stage| matches!(stage, Stage::Iterate), |stage| matches!(stage, Stage::Agree)),
        (
            "a run that is kept",
            |stage| matches!(stage, Stage::KeepRun { run: 3, .. }),
            |stage| matches!(stage, Stage::Agree),
        ),
    ];
    for (what, stops, begins) in stages {
        let store = Store::default();
        let stopped = consensus.clone().checkpoint(NEVER, store.clone()).fit_and_runs(&engine, &activations, |told| {
            if stops(&told.stage) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(stopped.expect("a consensus").runs.len() < 4, "{what}");
        let [checkpoint] = &store.all()[..] else { panic!("{what}: one checkpoint") };
        let mut told = Vec::new();
        let resumed = Consensus::resume(checkpoint.clone()).expect("a checkpoint").fit_and_runs(
            &engine,
            &activations,
            |progress| {
                told.push(progress.stage);
                ControlFlow::Continue(())
            },
        );
        let resumed = resumed.expect("a consensus");
        assert!(told[0] == Stage::Measure && begins(&told[1]), "{what}: {:?}", told[1]);
        assert_same_consensus(&wanted.consensus, &resumed.consensus, what);
        assert_eq!(resumed.runs.len(), 4, "{what}");
        wanted.runs.iter().zip(&resumed.runs).for_each(|(wanted, found)| assert_same(what, wanted, found));
    }
}

#[test]
fn a_consensus_that_goes_on_can_be_interrupted_again() {
    let x = Dense::random(7, 90, 24, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = loaded(&engine, &x);
    let consensus = Consensus::new(SemiNmf::new(6).sparsity(0.3)).runs(4).at_once(2);
    let wanted = consensus.fit(&engine, &activations).expect("a consensus");
    // Each time some stages further, and in the end to the end.
    let (mut next, mut times) = (consensus, 0);
    loop {
        let store = Store::default();
        let mut stages = 0;
        let fit = next.checkpoint(NEVER, store.clone()).fit_with(&engine, &activations, |_| {
            stages += 1;
            if stages > 12 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let fit = fit.expect("a consensus");
        match store.all().pop() {
            Some(checkpoint) => next = Consensus::resume(checkpoint).expect("a checkpoint"),
            None => {
                assert_same_consensus(&wanted, &fit, "in the end");
                break;
            }
        }
        times += 1;
        assert!(times < 20 && fit.summary.stop_reason == StopReason::Interrupted, "it does not get further");
    }
    assert!(times >= 3, "{times}");
}

#[test]
fn a_start_of_the_first_runs_that_was_cut_short_leaves_no_checkpoint() {
    let engine = CpuEngine::new();
    let activations = loaded(&engine, &planted(3, 300, 40, 4, ElementType::F32));
    for stage in [Stage::Measure, Stage::StartRuns { first: 1, last: 3, of: 3 }] {
        let store = Store::default();
        let consensus = Consensus::new(SemiNmf::new(4).sparsity(0.1)).runs(3).checkpoint(ALWAYS, store.clone());
        let stop =
            |told: &Progress| if told.stage == stage { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let fit = consensus.fit_with(&engine, &activations, stop).expect("a consensus");
        assert_eq!(fit.summary.stop_reason, StopReason::Interrupted);
        assert!(store.all().is_empty());
    }
}

#[test]
fn checkpoints_of_a_consensus_are_taken_when_their_time_has_come_and_something_has_changed() {
    let engine = CpuEngine::new();
    let activations = loaded(&engine, &planted(3, 200, 20, 3, ElementType::F32));
    for every in [Duration::ZERO, NEVER] {
        let store = Store::default();
        Consensus::new(SemiNmf::new(3)).runs(3).checkpoint(every, store.clone()).fit(&engine, &activations).unwrap();
        assert!(store.all().is_empty(), "{every:?}");
    }
    let store = Store::default();
    let consensus = Consensus::new(SemiNmf::new(3)).runs(3).iterations(10);
    let slow = consensus.checkpoint(Duration::from_millis(50), store.clone());
    slow.fit_with(&engine, &activations, |_| {
        std::thread::sleep(Duration::from_millis(60));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(store.all().len(), 3);
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_consensus_and_the_earlier_one_stays() {
    let engine = CpuEngine::new();
    let activations = loaded(&engine, &planted(3, 200, 20, 3, ElementType::F32));
    let consensus = Consensus::new(SemiNmf::new(3).sparsity(0.2)).runs(3).at_once(1);
    let store = Store::with_room(4);
    let error = consensus.clone().checkpoint(ALWAYS, store.clone()).fit(&engine, &activations).unwrap_err();
    assert!(matches!(error, Error::CheckpointWrite { .. }), "{error}");
    let earlier = store.all().pop().expect("a checkpoint");
    let resumed = Consensus::resume(earlier).unwrap().fit(&engine, &activations).unwrap();
    assert_same_consensus(&consensus.fit(&engine, &activations).unwrap(), &resumed, "after a full disk");
}

#[test]
fn the_consensus_of_one_run_takes_the_checkpoints_of_a_fit() {
    let engine = CpuEngine::new();
    let activations = loaded(&engine, &planted(3, 200, 20, 3, ElementType::F32));
    let settings = SemiNmf::new(3).max_iterations(4).tolerance(0.0);
    let store = Store::default();
    let one = Consensus::new(settings).runs(1).checkpoint(ALWAYS, store.clone());
    let wanted = one.fit(&engine, &activations).unwrap();
    let checkpoint = store.all().swap_remove(2);
    assert_same("one run", &wanted, &SemiNmf::resume(checkpoint).unwrap().fit(&engine, &activations).unwrap());
}

#[test]
fn a_checkpoint_of_another_consensus_is_refused_with_the_reason() {
    let x = planted(3, 200, 20, 3, ElementType::F32);
    let engine = CpuEngine::new();
    let activations = loaded(&engine, &x);
    let store = Store::default();
    let consensus = Consensus::new(SemiNmf::new(3).sparsity(0.2)).runs(3).at_once(1);
    consensus.checkpoint(ALWAYS, store.clone()).fit(&engine, &activations).unwrap();
    let checkpoint = store.all().remove(4);
    let is_refused = |error: Error, reason: &str| {
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error} does not say {reason:?}");
    };
    let refused = |changed: Stored, engine: &dyn Engine, activations: &Activations, reason: &str| {
        let error = Consensus::resume(changed).and_then(|resumed| resumed.fit(engine, activations)).unwrap_err();
        is_refused(error, reason);
    };
    let header = |from: &str, to: &str| {
        assert!(checkpoint.header.contains(from), "{}", checkpoint.header);
        Stored { header: checkpoint.header.replace(from, to), ..checkpoint.clone() }
    };
    let version = format!("\"version\":{:?}", env!("CARGO_PKG_VERSION"));
    refused(header(&version, "\"version\":\"0.0.1\""), &engine, &activations, "version 0.0.1 of unmix wrote it");
    refused(header("\"engine\":\"cpu\"", "\"engine\":\"gpu\""), &engine, &activations, "resume on that engine");
    let other = loaded(&engine, &planted(3, 201, 20, 3, ElementType::F32));
    refused(checkpoint.clone(), &engine, &other, "201 × 20 in f32");
    let small = CpuEngine::new().panel_bytes(50 * 80);
    refused(checkpoint.clone(), &small, &loaded(&small, &x), "cuts them into panels of 50");
    // What is damaged is no reason to panic.
    let mut damaged = checkpoint.clone();
    damaged.buffers.remove("values of run 1").unwrap();
    refused(damaged, &engine, &activations, "`values of run 1` cannot be read");
    let mut damaged = checkpoint.clone();
    damaged.buffers.get_mut("neurons of run 2").unwrap()[..4].copy_from_slice(&99u32.to_le_bytes());
    refused(damaged, &engine, &activations, "a neuron 99 of 20");
    refused(header("\"gone_on\":0", "\"gone_on\":9"), &engine, &activations, "of its runs is impossible");
    refused(header("\"kept\":4", "\"kept\":400"), &engine, &activations, "of its runs is impossible");
    refused(header("\"kept\":4", "\"kept\":2"), &engine, &activations, "of other neurons");
    // One with other options, or another number of runs or iterations, is another consensus.
    let resumed = || Consensus::resume(checkpoint.clone()).unwrap();
    is_refused(resumed().runs(4).fit(&engine, &activations).unwrap_err(), "has 3 runs whose number of iterations");
    is_refused(resumed().iterations(9).fit(&engine, &activations).unwrap_err(), "has 3 runs of 9 iterations");
    // Neither a fit goes on from it, nor a consensus from a fit's.
    is_refused(SemiNmf::resume(checkpoint.clone()).unwrap_err(), "a consensus of 3 runs, and not to one fit");
    is_refused(resumed().runs(1).fit(&engine, &activations).unwrap_err(), "a consensus of 3 runs, and not to one fit");
    let store = Store::default();
    SemiNmf::new(3).checkpoint(ALWAYS, store.clone()).fit(&engine, &activations).unwrap();
    let of_fit = store.all().remove(0);
    is_refused(Consensus::resume(of_fit.clone()).unwrap_err(), "one fit, and not to a consensus");
    let runs = Consensus::new(SemiNmf::resume(of_fit).unwrap()).runs(3);
    is_refused(runs.fit(&engine, &activations).unwrap_err(), "one fit, and not to a consensus");
}
