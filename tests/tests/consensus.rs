//! The consensus of several runs: what it finds, what it promises, and what it refuses.

use std::ops::ControlFlow;
use std::sync::Arc;

use unmix::{
    ActivationSource, Activations, Consensus, DenseMatrix, ElementType, Engine, EngineKind, Error, Factorization, Init,
    Progress, SemiNmf, Solver, Stage, StopReason, StreamOptions, feature_cosines, match_features,
};
use unmix_tests::{Dense, assert_same, engines_with_panels, oracle, planted};

/// Tokens made of sparse features and noise, and these features.
fn planted_with_features(tokens: usize, neurons: usize, rank: usize) -> (Dense, DenseMatrix) {
    let z = oracle::winner_take_all(&Dense::random(31, rank, neurons, ElementType::F32), neurons / 8);
    let mut y = Dense::random_coefficients(32, tokens, rank);
    y.values.iter_mut().for_each(|v| *v = if *v > 1.3 { *v } else { 0.0 });
    let (clean, noise) = (oracle::product(&y, &z), Dense::random(33, tokens, neurons, ElementType::F32));
    let x = Dense::from_fn(tokens, neurons, |i, j| f64::from((clean.at(i, j) + 0.05 * noise.at(i, j)) as f32));
    (x, DenseMatrix { rows: rank, columns: neurons, values: z.values.iter().map(|&v| v as f32).collect() })
}

fn loaded(engine: &dyn Engine, x: &Dense) -> Activations {
    engine.load(&x.to_activations(ElementType::F32)).expect("loading")
}

fn check_invariants(engine: &dyn Engine, x: &Dense, fit: &Factorization, runs: u32) {
    let summary = &fit.summary;
    let consensus = summary.consensus.as_ref().expect("a consensus");
    assert_eq!((consensus.runs, consensus.seeds.len()), (runs, runs as usize));
    assert!((0.0..=1.0).contains(&consensus.stability), "{}", consensus.stability);
    assert!(fit.coefficients.values.iter().all(|&y| y >= 0.0 && y.is_finite()));
    for (k, statistics) in summary.feature_statistics.iter().enumerate() {
        let (mean, found) = (statistics.reproducibility.expect("a mean"), statistics.found_in.expect("a number"));
        assert!((0.0..=1.0).contains(&mean) && found <= runs, "{statistics:?}");
        let nonzeros = fit.features.row(k).iter().filter(|z| **z != 0.0).count() as u32;
        assert!(nonzeros <= summary.kept_per_feature, "{nonzeros}");
        if summary.options.solver == Solver::Hals && nonzeros > 0 {
            assert!((statistics.norm - 1.0).abs() < 1e-5, "{}", statistics.norm);
        }
    }
    let dense = |m: &DenseMatrix| Dense {
        rows: m.rows,
        columns: m.columns,
        values: m.values.iter().map(|&v| v.into()).collect(),
    };
    let error = oracle::loss(x, &dense(&fit.coefficients), &dense(&fit.features)) / oracle::inner(x, x);
    let told = summary.relative_error;
    // Of an exact fit, rounding is all that is left.
    assert!((told - error).abs() <= 1e-4 * error + 1e-9, "{told:e} for {error:e} on {}", engine.adapter());
}

#[test]
fn tokens_that_are_zero_where_the_start_looks_leave_no_run_without_features() {
    // The sample of k-means is every third token, and these are the tokens that are zero.
    let (mut x, _) = planted_with_features(600, 64, 10);
    x.values.chunks_exact_mut(64).step_by(3).for_each(|row| row.fill(0.0));
    for engine in engines_with_panels(60_000) {
        let activations = loaded(engine.as_ref(), &x);
        let alone = SemiNmf::new(10).sparsity(0.125);
        let fit = Consensus::new(alone.clone()).runs(4).fit(engine.as_ref(), &activations).expect("a consensus");
        let alone = alone.fit(engine.as_ref(), &activations).expect("a fit");
        assert!(fit.summary.dead_features.is_empty(), "{:?}", fit.summary.dead_features);
        let (error, of_one) = (fit.summary.relative_error, alone.summary.relative_error);
        assert!(error < 2.0 * of_one + 0.1, "{error}, {of_one} of one fit");
    }
}

#[test]
fn planted_features_are_found_by_every_run_on_every_engine() {
    let (x, planted) = planted_with_features(700, 96, 8);
    for engine in engines_with_panels(60_000) {
        let activations = loaded(engine.as_ref(), &x);
        let fit = Consensus::new(SemiNmf::new(8).sparsity(0.125).seed(5)).runs(6);
        let fit = fit.fit(engine.as_ref(), &activations).expect("a consensus");
        check_invariants(engine.as_ref(), &x, &fit, 6);
        let found = match_features(&fit.features, &planted).expect("a matching");
        assert!(found.at_least(0.97) >= 7, "{:?} on {}", found.pairs, engine.adapter());
        // What was planted is what the runs agree on.
        let reproducibility = |k: usize| fit.summary.feature_statistics[k].reproducibility.unwrap_or(0.0);
        let of_planted: Vec<f64> =
            found.pairs.iter().filter(|pair| pair.cosine >= 0.97).map(|pair| reproducibility(pair.first)).collect();
        let mean = of_planted.iter().sum::<f64>() / of_planted.len() as f64;
        assert!(mean > 0.75 && of_planted.iter().all(|&mean| mean > 0.5), "{of_planted:?} on {}", engine.adapter());
        assert!(fit.summary.dead_features.is_empty());
    }
}

#[test]
fn dead_features_of_runs_are_revived_unless_that_is_not_wanted() {
    // There are three kinds of tokens, and nine of ten tokens are of the first kind. So most runs start with several features of that kind.
    // One of them takes all of its tokens, and the others are dead.
    let kind = |token: usize| [4, 11].iter().position(|&place| token % 21 == place).map_or(0, |kind| kind + 1);
    let x = Dense::from_fn(600, 24, |i, j| if j / 8 == kind(i) { f64::from(j as u32 % 5) - 1.5 } else { 0.0 });
    let kinds = DenseMatrix {
        rows: 3,
        columns: 24,
        values: [0, 4, 11]
            .iter()
            .flat_map(|&token| (0..24).map(move |j| (token, j)))
            .map(|(i, j)| x.at(i, j) as f32)
            .collect(),
    };
    for engine in engines_with_panels(60_000) {
        let activations = loaded(engine.as_ref(), &x);
        let found = |revive| {
            let fit = Consensus::new(SemiNmf::new(3).sparsity(8.0 / 24.0).revive(revive)).runs(5);
            let fit =
                fit.fit_and_runs(engine.as_ref(), &activations, |_| ControlFlow::Continue(())).expect("a consensus");
            let of = |run: &Factorization| match_features(&run.features, &kinds).expect("a matching").at_least(0.99);
            fit.runs.iter().map(of).collect::<Vec<_>>()
        };
        assert!(found(false).iter().any(|&kinds| kinds < 3), "no feature was dead on {}", engine.adapter());
        assert_eq!(found(true), [3; 5], "on {}", engine.adapter());
    }
}

#[test]
fn every_solver_has_a_consensus_whatever_the_numbers_of_runs_features_and_tokens() {
    for engine in engines_with_panels(8_000) {
        let x = planted(9, 70, 40, 3, ElementType::F32);
        let activations = loaded(engine.as_ref(), &x);
        for (solver, rank, runs) in [
            (Solver::Hals, 1, 2),
            (Solver::ProjectedLs, 5, 3),
            (Solver::Mu, 3, 2),
            (Solver::Paper, 4, 3),
            (Solver::Hals, 40, 2),
        ] {
            let settings = SemiNmf::new(rank).solver(solver).sparsity(0.2);
            let fit = Consensus::new(settings)
                .runs(runs)
                .iterations(4)
                .fit(engine.as_ref(), &activations)
                .expect("a consensus");
            check_invariants(engine.as_ref(), &x, &fit, runs);
            assert!(fit.summary.relative_error < 1.0);
        }
        let random = Consensus::new(SemiNmf::new(4).sparsity(0.2).init(Init::Random)).runs(3);
        check_invariants(engine.as_ref(), &x, &random.fit(engine.as_ref(), &activations).expect("a consensus"), 3);
        // Nothing can be found in zeros.
        let zeros = Dense::from_fn(30, 12, |_, _| 0.0);
        let activations = loaded(engine.as_ref(), &zeros);
        let fit = Consensus::new(SemiNmf::new(3)).runs(2).fit(engine.as_ref(), &activations).expect("a consensus");
        assert_eq!(fit.summary.dead_features, [0, 1, 2]);
        assert!(fit.summary.feature_statistics.iter().all(|s| s.found_in.is_some()));
    }
}

#[test]
fn features_are_found_whole_although_most_iterations_see_the_first_2048_neurons_alone() {
    let (tokens, neurons, rank) = (120, 2_200, 4);
    let (x, planted) = planted_with_features(tokens, neurons, rank);
    let consensus = |solver| Consensus::new(SemiNmf::new(rank as u32).solver(solver).sparsity(0.125)).runs(3);
    let found = |fit: &Factorization| match_features(&fit.features, &planted).expect("a matching").at_least(0.97);
    let engines = engines_with_panels(500_000);
    for engine in &engines {
        let fit = consensus(Solver::Hals).fit(engine.as_ref(), &loaded(engine.as_ref(), &x)).expect("a consensus");
        check_invariants(engine.as_ref(), &x, &fit, 3);
        assert!(found(&fit) >= 3, "{} on {}", found(&fit), engine.adapter());
    }
    let engine = engines[0].as_ref();
    let activations = loaded(engine, &x);
    let least_squares = consensus(Solver::ProjectedLs).fit(engine, &activations).expect("a consensus");
    check_invariants(engine, &x, &least_squares, 3);
    assert!(found(&least_squares) >= 3, "{}", found(&least_squares));
    // Runs that are stopped while they see some neurons have features over all of them.
    let stop = |progress: &Progress| match progress.stage {
        Stage::Runs { iteration: 4, .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let stopped = consensus(Solver::Hals).fit_with(engine, &activations, stop).expect("a consensus");
    check_invariants(engine, &x, &stopped, 3);
    let matching = match_features(&stopped.features, &planted).expect("a matching");
    assert!(matching.at_least(0.9) >= 3, "{:?}", matching.pairs);
    // Nothing can be found in zeros.
    let zeros = loaded(engine, &Dense::from_fn(20, neurons, |_, _| 0.0));
    let fit = consensus(Solver::Hals).fit(engine, &zeros).expect("a consensus");
    assert_eq!(fit.summary.dead_features, [0, 1, 2, 3]);
}

#[test]
fn features_are_found_although_the_first_2048_neurons_do_not_stand_for_the_others() {
    let (tokens, neurons, rank) = (120, 2_400, 4);
    let (others, planted) = planted_with_features(tokens, neurons - 2_048, rank);
    // Zeros, almost zero, one neuron alone, constants, and copies of one neuron.
    let of_first: [fn(usize, usize) -> f64; 5] = [
        |_, _| 0.0,
        |i, j| 1e-4 * ((7 * i + j) % 5) as f64,
        |i, j| if j == 0 { (i % 4) as f64 } else { 0.0 },
        |_, _| 0.25,
        |i, _| ((7 * i) % 5) as f64 / 8.0,
    ];
    for (kind, first) in of_first.into_iter().enumerate() {
        let value = |i: usize, j: usize| if j < 2_048 { first(i, j) } else { others.at(i, j - 2_048) };
        let x = Dense::from_fn(tokens, neurons, |i, j| f64::from(value(i, j) as f32));
        // Whether they do is found out on the host. So one kind is enough to see that other engines go on as the CPU does.
        let engines = engines_with_panels(500_000);
        for engine in engines.iter().filter(|engine| kind == 0 || engine.kind() == EngineKind::Cpu) {
            let activations = loaded(engine.as_ref(), &x);
            let fit = SemiNmf::new(rank as u32 + 1).sparsity(0.125);
            let alone = fit.fit(engine.as_ref(), &activations).expect("a fit");
            let consensus = Consensus::new(fit).runs(5).fit(engine.as_ref(), &activations).expect("a consensus");
            check_invariants(engine.as_ref(), &x, &consensus, 5);
            let found = |fit: &Factorization| {
                let others = fit.features.values.chunks(neurons).flat_map(|row| row[2_048..].to_vec()).collect();
                let others = DenseMatrix { rows: fit.features.rows, columns: neurons - 2_048, values: others };
                match_features(&others, &planted).expect("a matching").at_least(0.9)
            };
            let (of_runs, of_one) = (found(&consensus), found(&alone));
            assert!(of_runs >= of_one, "{kind}: {of_runs}, and {of_one} of one fit, on {}", engine.adapter());
            // Almost zero neurons mislead the starts. Where no features are missing, the consensus explains as much as one fit.
            let (error, of_one) = (consensus.summary.relative_error, alone.summary.relative_error);
            assert!(of_runs < rank || error <= of_one, "{kind}: {error}, {of_one} of one fit, on {}", engine.adapter());
        }
    }
}

#[test]
fn the_consensus_of_one_run_is_the_fit() {
    let engine = &engines_with_panels(20_000)[0];
    let activations = loaded(engine.as_ref(), &planted(3, 200, 64, 4, ElementType::F32));
    let settings = SemiNmf::new(5).sparsity(0.1).seed(3);
    let alone = settings.fit(engine.as_ref(), &activations).expect("a fit");
    let one = Consensus::new(settings).runs(1).fit(engine.as_ref(), &activations).expect("a fit");
    assert_same("one run", &alone, &one);
    assert!(one.summary.consensus.is_none());
}

#[test]
fn memory_and_where_the_activations_are_do_not_change_the_bits_of_a_consensus() {
    // There are tokens enough for each run to have half of them.
    let few_neurons = Consensus::new(SemiNmf::new(6).sparsity(0.1)).runs(5).iterations(5);
    let at_once = [(1, false), (2, true), (4, false), (5, true)];
    check_where_a_consensus_is_computed(&few_neurons, &planted(4, 503, 60, 4, ElementType::F16), 15_000, &at_once);
    // Some iterations see the first neurons alone.
    let many_neurons = Consensus::new(SemiNmf::new(2).sparsity(0.1)).runs(3).iterations(4);
    let at_once = [(1, false), (2, true)];
    check_where_a_consensus_is_computed(&many_neurons, &planted(4, 130, 2_100, 2, ElementType::F16), 200_000, &at_once);
    // Runs that agree too little go on.
    let disagreeing = |rank, runs| Consensus::new(SemiNmf::new(rank).sparsity(0.1)).runs(runs);
    let noise = |tokens, neurons| Dense::random(4, tokens, neurons, ElementType::F16);
    let more =
        check_where_a_consensus_is_computed(&disagreeing(3, 3), &noise(103, 60), 8_000, &[(1, false), (2, true)]);
    assert!(more.iter().all(|&iterations| iterations == 4), "{more:?}");
    let more = check_where_a_consensus_is_computed(&disagreeing(2, 3), &noise(40, 2_100), 100_000, &[(2, true)]);
    assert!(more.iter().all(|&iterations| iterations == 4), "{more:?}");
}

#[test]
fn runs_that_agree_too_little_go_on_unless_their_number_of_iterations_is_set() {
    // Every run finds the three kinds of tokens, and what it finds of noise depends on its start.
    // Six features of noise agree far too little, whatever the processor rounds.
    let kinds = Dense::from_fn(90, 24, |i, j| if j / 8 == i % 3 { f64::from(j as u32 % 5) - 1.5 } else { 0.0 });
    let noise = Dense::random(7, 90, 24, ElementType::F32);
    let settings = |rank| SemiNmf::new(rank).sparsity(8.0 / 24.0);
    for engine in engines_with_panels(8_000) {
        let iterations = |x: &Dense, consensus: Consensus| {
            let fit = consensus.runs(4).fit(engine.as_ref(), &loaded(engine.as_ref(), x)).expect("a consensus");
            check_invariants(engine.as_ref(), x, &fit, 4);
            let summary = fit.summary.consensus.expect("a summary");
            (summary.iterations_each, summary.more_iterations)
        };
        assert_eq!(iterations(&kinds, Consensus::new(settings(3))), (10, 0), "on {}", engine.adapter());
        assert_eq!(iterations(&noise, Consensus::new(settings(6))), (14, 4), "on {}", engine.adapter());
        let least_squares = Consensus::new(settings(6).solver(Solver::ProjectedLs));
        assert_eq!(iterations(&noise, least_squares), (14, 4), "on {}", engine.adapter());
        assert_eq!(iterations(&noise, Consensus::new(settings(6)).iterations(10)), (10, 0), "on {}", engine.adapter());
        // Coefficients of such runs do not begin with zeros, and those of each run are not kept.
        let random = Consensus::new(settings(6).init(Init::Random));
        assert_eq!(iterations(&noise, random), (10, 0), "on {}", engine.adapter());
    }
}

#[test]
fn runs_that_are_stopped_while_they_go_on_are_those_before() {
    let engine = &engines_with_panels(20_000)[0];
    let activations = loaded(engine.as_ref(), &Dense::random(7, 90, 24, ElementType::F32));
    let consensus = Consensus::new(SemiNmf::new(6).sparsity(0.3)).runs(4).at_once(2);
    let ten = consensus.clone().iterations(10).fit(engine.as_ref(), &activations).expect("a consensus");
    // The first two runs have gone on, and the others are stopped.
    let stop = |progress: &Progress| match progress.stage {
        Stage::Runs { first: 3, iteration: 12, .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let stopped = consensus.fit_with(engine.as_ref(), &activations, stop).expect("a consensus");
    assert_eq!(stopped.summary.stop_reason, StopReason::Interrupted);
    assert_eq!(stopped.summary.consensus, ten.summary.consensus);
}

/// Compares with all runs at once the consensus of so many at once, of activations that are streamed or not. Returns how many iterations the
/// runs went on for.
fn check_where_a_consensus_is_computed(
    consensus: &Consensus,
    x: &Dense,
    panel_bytes: u64,
    ways: &[(u32, bool)],
) -> Vec<u32> {
    let mut more = Vec::new();
    for engine in engines_with_panels(panel_bytes) {
        let source = x.to_activations(ElementType::F16);
        let resident = engine.load(&source).expect("loading");
        let source: Arc<dyn ActivationSource + Send> = Arc::new(source);
        let streamed = engine.stream(source, &StreamOptions { slots: 2 }).expect("a stream");
        let wanted = consensus.fit(engine.as_ref(), &resident).expect("a consensus");
        for &(at_once, is_streamed) in ways {
            let activations = if is_streamed { &streamed } else { &resident };
            let found = consensus.clone().at_once(at_once).fit(engine.as_ref(), activations).expect("a consensus");
            let what = format!("{at_once} at once, streamed: {is_streamed}, on {}", engine.adapter());
            assert_same(&what, &wanted, &found);
            assert_eq!(wanted.summary.consensus, found.summary.consensus, "{what}");
        }
        more.push(wanted.summary.consensus.expect("a summary").more_iterations);
    }
    more
}

#[test]
fn consensuses_of_different_seeds_share_no_run() {
    let seeds = |seed| Consensus::new(SemiNmf::new(2).seed(seed)).runs(50).seeds();
    let mut all: Vec<u64> = (0..40).flat_map(seeds).collect();
    // Programs that have no other numbers than f64 read the seeds exactly.
    assert!(all.iter().all(|&seed| seed < 1 << 53));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2000);
    // More runs are the same ones and others.
    assert_eq!(seeds(7)[..20], Consensus::new(SemiNmf::new(2).seed(7)).runs(20).seeds());
}

#[test]
fn runs_are_kept_as_fits_of_their_own() {
    let engine = &engines_with_panels(20_000)[0];
    let x = planted(3, 300, 64, 4, ElementType::F32);
    let activations = loaded(engine.as_ref(), &x);
    let consensus = Consensus::new(SemiNmf::new(5).sparsity(0.1).seed(3)).runs(3);
    let fit =
        consensus.fit_and_runs(engine.as_ref(), &activations, |_| ControlFlow::Continue(())).expect("a consensus");
    assert_same(
        "without the runs",
        &consensus.fit(engine.as_ref(), &activations).expect("a consensus"),
        &fit.consensus,
    );
    let seeds: Vec<u64> = fit.runs.iter().map(|run| run.summary.options.seed).collect();
    assert_eq!(seeds, consensus.seeds());
    for (k, statistics) in fit.consensus.summary.feature_statistics.iter().enumerate() {
        let has_it = |run: &&Factorization| {
            let cosines = feature_cosines(&fit.consensus.features, &run.features).expect("cosines");
            cosines.row(k).iter().any(|&cosine| cosine >= 0.8)
        };
        assert_eq!(statistics.found_in, Some(fit.runs.iter().filter(has_it).count() as u32), "feature {k}");
    }
    assert!(fit.runs.iter().all(|run| run.summary.consensus.is_none() && run.coefficients.rows == 300));
    // The coefficients of a run are found with the penalty that its features were found with, 1.4 times the one asked for.
    let penalty = consensus.options(64).penalty;
    assert!(fit.runs.iter().all(|run| run.summary.options.penalty == penalty * 1.4));
}

#[test]
fn a_consensus_that_is_stopped_is_that_of_the_runs_until_then() {
    let engine = &engines_with_panels(20_000)[0];
    let activations = loaded(engine.as_ref(), &planted(3, 300, 64, 4, ElementType::F32));
    let consensus = Consensus::new(SemiNmf::new(5).sparsity(0.1)).runs(6).at_once(3);
    let stopped = |at: &dyn Fn(&Progress) -> bool| {
        let progress =
            |progress: &Progress| if at(progress) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let fit = consensus.fit_with(engine.as_ref(), &activations, progress).expect("a consensus");
        let summary = fit.summary.consensus.expect("a summary");
        assert_eq!(fit.summary.stop_reason, StopReason::Interrupted);
        assert_eq!(summary.seeds, consensus.seeds()[..summary.runs as usize]);
        (summary.runs, summary.iterations_each)
    };
    assert_eq!(stopped(&|progress| progress.stage == Stage::Measure), (2, 1));
    assert_eq!(stopped(&|progress| matches!(progress.stage, Stage::StartRuns { first: 1, .. })), (2, 1));
    assert_eq!(stopped(&|progress| matches!(progress.stage, Stage::Runs { first: 1, iteration: 4, .. })), (3, 3));
    // Of the second group of runs, none is done.
    assert_eq!(stopped(&|progress| matches!(progress.stage, Stage::Runs { first: 4, iteration: 4, .. })), (3, 10));
    assert_eq!(stopped(&|progress| progress.stage == Stage::Agree), (6, 10));
}

#[test]
fn of_the_runs_those_are_kept_that_were_done_when_the_caller_stopped() {
    let engine = &engines_with_panels(20_000)[0];
    let activations = loaded(engine.as_ref(), &planted(3, 300, 64, 4, ElementType::F32));
    let consensus = Consensus::new(SemiNmf::new(5).sparsity(0.1)).runs(4);
    let kept = |at: &dyn Fn(&Progress) -> bool| {
        let progress =
            |progress: &Progress| if at(progress) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let fit = consensus.fit_and_runs(engine.as_ref(), &activations, progress).expect("a consensus");
        assert_eq!(fit.consensus.summary.consensus.expect("a summary").runs, 4);
        assert!(fit.runs.iter().all(|run| run.summary.stop_reason == StopReason::MaxIterations));
        (fit.consensus.summary.stop_reason, fit.runs.len())
    };
    assert_eq!(kept(&|_| false), (StopReason::MaxIterations, 4));
    let third = |progress: &Progress| matches!(progress.stage, Stage::KeepRun { run: 3, .. });
    assert_eq!(kept(&third), (StopReason::MaxIterations, 2));
    assert_eq!(kept(&|progress| progress.stage == Stage::Agree), (StopReason::Interrupted, 0));
}

#[test]
fn a_consensus_refuses_what_it_cannot_do_before_it_begins() {
    let engine = &engines_with_panels(20_000)[0];
    let activations = loaded(engine.as_ref(), &planted(3, 100, 64, 4, ElementType::F32));
    let refused = |consensus: Consensus| {
        let untold = |progress: &Progress| -> ControlFlow<()> { panic!("it began: {progress:?}") };
        match consensus.fit_with(engine.as_ref(), &activations, untold) {
            Err(Error::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        }
    };
    let settings = || SemiNmf::new(4).sparsity(0.1);
    assert_eq!(refused(Consensus::new(settings()).runs(0)), "runs");
    assert_eq!(refused(Consensus::new(settings()).runs(101)), "runs");
    assert_eq!(refused(Consensus::new(settings()).iterations(0)), "iterations");
    assert_eq!(refused(Consensus::new(settings()).at_once(0)), "at_once");
    assert_eq!(refused(Consensus::new(settings().init(Init::Svd))), "init");
    let coefficients = DenseMatrix { rows: 100, columns: 4, values: vec![1.0; 400] };
    assert_eq!(refused(Consensus::new(settings().init_coefficients(coefficients))), "init");
    assert_eq!(refused(Consensus::new(SemiNmf::new(65))), "rank");
}

#[test]
fn runs_that_agree_exactly_make_a_consensus_whose_figures_are_at_most_1() {
    // Few tokens, which as many features explain in every run.
    for (tokens, seed) in [(2, 90), (3, 91), (4, 92)] {
        let x = Dense::random(seed, tokens, 80, ElementType::F32);
        for engine in engines_with_panels(60_000) {
            let runs = Consensus::new(SemiNmf::new(tokens as u32)).runs(3);
            let fit = runs.fit(engine.as_ref(), &loaded(engine.as_ref(), &x)).expect("a consensus");
            check_invariants(engine.as_ref(), &x, &fit, 3);
        }
    }
}
