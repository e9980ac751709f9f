//! Fits over several ranks. The ranks are threads here, which exchange through shared memory. What holds for them holds for any other
//! connection.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use unmix::{
    ActivationSource, CpuEngine, DenseMatrix, Distribution, ElementType, Engine, Error, Factorization, Init, Progress,
    SemiNmf, Solver, Stage, StreamOptions,
};
use unmix_tests::{Dense, Store, ThreadRank, assert_same, engines_with_panels, planted};

const TOKENS: usize = 1283;
const NEURONS: usize = 24;
const RANK: u32 = 4;
const SEGMENTS: u32 = 8;

/// Whether the activations of a rank are resident or streamed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Placed {
    Resident,
    Streamed,
}

/// A rank that tells the others when it ends, also by a panic or an error.
struct Leaving(Arc<ThreadRank>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Calls `compute` on so many ranks at once, with the distribution and the share of each. `engine_of` gives the engine of a rank.
fn on_ranks<'e, T: Send>(
    ranks: u32,
    engine_of: impl Fn(u32) -> &'e dyn Engine,
    source: &Arc<dyn ActivationSource + Send + Sync>,
    compute: impl Fn(&ThreadRank, &dyn Engine, Distribution) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let spawn = |rank: Arc<ThreadRank>| {
            let (engine, compute, source) = (engine_of(rank_of(&rank)), &compute, Arc::clone(source));
            scope.spawn(move || {
                let leaving = Leaving(rank);
                let communicator = Arc::clone(&leaving.0);
                let distribution = Distribution::new(communicator, engine, &source, SEGMENTS).expect("a distribution");
                compute(&leaving.0, engine, distribution)
            })
        };
        let running: Vec<_> = ThreadRank::connected(ranks).into_iter().map(spawn).collect();
        running.into_iter().map(|thread| thread.join().expect("a rank")).collect()
    })
}

fn rank_of(rank: &ThreadRank) -> u32 {
    unmix::Communicator::rank(rank)
}

fn share_of(
    distribution: &Distribution,
    engine: &dyn Engine,
    source: &Arc<dyn ActivationSource + Send + Sync>,
    placed: Placed,
) -> unmix::Activations {
    let whole: Arc<dyn ActivationSource + Send> = Arc::new(Arc::clone(source));
    let share = distribution.share(whole);
    match placed {
        Placed::Resident => engine.load(&share).expect("loading"),
        Placed::Streamed => engine.stream(Arc::new(share), &StreamOptions { slots: 2 }).expect("streaming"),
    }
}

/// The fit over so many ranks, with the coefficients of all of them. All ranks must agree about the rest.
fn fit(
    engine: &dyn Engine,
    x: &Dense,
    element: ElementType,
    settings: &SemiNmf,
    ranks: u32,
    placed: Placed,
) -> Factorization {
    joined(&fits(|_| engine, x, element, settings, ranks, placed))
}

/// The fit of each rank.
fn fits<'e>(
    engine_of: impl Fn(u32) -> &'e dyn Engine,
    x: &Dense,
    element: ElementType,
    settings: &SemiNmf,
    ranks: u32,
    placed: Placed,
) -> Vec<Factorization> {
    let source: Arc<dyn ActivationSource + Send + Sync> = Arc::new(x.to_activations(element));
    on_ranks(ranks, engine_of, &source, |_, engine, distribution| {
        let activations = share_of(&distribution, engine, &source, placed);
        settings.clone().distributed(distribution).fit(engine, &activations).expect("a fit")
    })
}

fn joined(fits: &[Factorization]) -> Factorization {
    let mut whole = fits[0].clone();
    for fit in &fits[1..] {
        assert_eq!(fit.features.values, whole.features.values, "the ranks have different features");
        assert_eq!(fit.summary.loss_curve, whole.summary.loss_curve);
        assert_eq!(fit.summary.feature_statistics, whole.summary.feature_statistics);
        assert_eq!(fit.summary.optimality, whole.summary.optimality);
        whole.coefficients.values.extend_from_slice(&fit.coefficients.values);
        whole.coefficients.rows += fit.coefficients.rows;
    }
    assert_eq!(whole.coefficients.rows as u64, whole.summary.tokens);
    whole
}

fn small_panels() -> CpuEngine {
    // Some tens of tokens, so that a segment has several panels.
    CpuEngine::new().panel_bytes(50 * NEURONS as u64 * 4)
}

fn settings(solver: Solver) -> SemiNmf {
    SemiNmf::new(RANK).solver(solver).sparsity(0.3).seed(3).max_iterations(8)
}

#[test]
fn a_fit_has_the_same_bits_on_any_number_of_ranks() {
    let x = planted(31, TOKENS, NEURONS, RANK as usize, ElementType::F32);
    let engine = small_panels();
    for solver in Solver::ALL {
        let alone = fit(&engine, &x, ElementType::F32, &settings(solver), 1, Placed::Resident);
        for ranks in [2, 3, 4, 8] {
            let what = format!("{solver:?} on {ranks} ranks");
            let placed = if ranks == 3 { Placed::Streamed } else { Placed::Resident };
            assert_same(&what, &alone, &fit(&engine, &x, ElementType::F32, &settings(solver), ranks, placed));
        }
    }
}

#[test]
fn every_start_is_that_of_all_tokens() {
    let x = planted(32, TOKENS, NEURONS, RANK as usize, ElementType::F16);
    let engine = small_panels();
    let given = Dense::random_coefficients(5, TOKENS, RANK as usize).to_f32();
    let given = DenseMatrix { rows: TOKENS, columns: RANK as usize, values: given };
    for (name, start) in [
        ("random", settings(Solver::Hals).init(Init::Random)),
        ("svd", settings(Solver::Hals).init(Init::Svd)),
        ("svd without zeros", settings(Solver::Mu).init(Init::Svd)),
        ("given", settings(Solver::ProjectedLs).init_coefficients(given)),
        ("no revival", settings(Solver::Hals).revive(false)),
        ("refitted", settings(Solver::ProjectedLs).debias(true)),
        ("unshrunk", settings(Solver::Hals).penalty(0.1).unshrink(true).debias(true)),
    ] {
        let [one, two, three] =
            [1, 2, 3].map(|ranks| fit(&engine, &x, ElementType::F16, &start, ranks, Placed::Resident));
        assert_same(&format!("{name} on 2 ranks"), &one, &two);
        assert_same(&format!("{name} on 3 ranks"), &one, &three);
    }
}

#[test]
fn a_fit_over_ranks_is_as_good_as_one_in_one_process() {
    let x = planted(33, TOKENS, NEURONS, RANK as usize, ElementType::F32);
    let engine = small_panels();
    for solver in Solver::ALL {
        let over_ranks = fit(&engine, &x, ElementType::F32, &settings(solver), 4, Placed::Resident);
        let plain = settings(solver).fit(&engine, &engine.load(&x.to_activations(ElementType::F32)).unwrap()).unwrap();
        let [error, plain] = [&over_ranks, &plain].map(|fit| fit.summary.relative_error);
        // Sums that are rounded in other places lead to a slightly different minimum.
        assert!((error - plain).abs() <= 1e-2 * plain, "{solver:?}: {error} over ranks, {plain} in one process");
        // The error is that of the factors over all tokens.
        let (y, z) = (&over_ranks.coefficients, &over_ranks.features);
        let (mut squares, mut norm) = (0.0, 0.0);
        for i in 0..TOKENS {
            for j in 0..NEURONS {
                let product: f64 = (0..RANK as usize).map(|k| f64::from(y.row(i)[k]) * f64::from(z.row(k)[j])).sum();
                squares += (x.at(i, j) - product).powi(2);
                norm += x.at(i, j).powi(2);
            }
        }
        assert!((squares / norm - error).abs() <= 1e-5, "{solver:?}: {error}, from the factors {}", squares / norm);
        let active = |k: usize| (0..TOKENS).filter(|&i| y.row(i)[k] > 0.0).count() as f64 / TOKENS as f64;
        for (k, statistics) in over_ranks.summary.feature_statistics.iter().enumerate() {
            assert!((statistics.active_share - active(k)).abs() < 1e-12, "{solver:?}, feature {k}");
        }
    }
}

#[test]
fn scaled_activations_and_revived_features_are_those_of_all_tokens() {
    // Only the last tokens are large, so the scale comes from one rank.
    let mut x = planted(34, 640, NEURONS, RANK as usize, ElementType::F32);
    x.values.iter_mut().for_each(|value| *value *= 1e12);
    x.values[..320 * NEURONS].iter_mut().for_each(|value| *value *= 1e-3);
    // No token has the first three features at the start.
    let mut given = Dense::random_coefficients(6, 640, 6).to_f32();
    given.chunks_exact_mut(6).for_each(|row| row[..3].fill(0.0));
    let given = DenseMatrix { rows: 640, columns: 6, values: given };
    let engine = small_panels();
    for solver in [Solver::Hals, Solver::ProjectedLs] {
        let settings = SemiNmf::new(6).solver(solver).sparsity(0.3).max_iterations(10).init_coefficients(given.clone());
        let [one, two, four] =
            [1, 2, 4].map(|ranks| fit(&engine, &x, ElementType::F32, &settings, ranks, Placed::Resident));
        assert!(!one.summary.revived.is_empty(), "{solver:?}: nothing was revived");
        assert_eq!(one.summary.revived, two.summary.revived);
        assert_same(&format!("{solver:?} on 2 ranks"), &one, &two);
        assert_same(&format!("{solver:?} on 4 ranks"), &one, &four);
    }
}

#[test]
fn a_fit_has_the_same_bits_on_one_and_two_ranks_of_every_engine() {
    let x = planted(35, 700, NEURONS, RANK as usize, ElementType::F16);
    for engine in engines_with_panels(64 * NEURONS as u64 * 2) {
        for solver in Solver::ALL {
            let settings = settings(solver).max_iterations(5);
            let [one, two] =
                [1, 2].map(|ranks| fit(&*engine, &x, ElementType::F16, &settings, ranks, Placed::Resident));
            assert_same(&format!("{solver:?} on {}", engine.adapter()), &one, &two);
        }
    }
}

#[test]
fn ranks_with_different_engines_agree_about_the_features() {
    // With so many tokens one of the engines may round sums, and both compute them again at the end.
    let x = planted(36, 1_100, NEURONS, RANK as usize, ElementType::F16);
    let engines = engines_with_panels(64 * NEURONS as u64 * 2);
    let settings = settings(Solver::Hals);
    let mixed = fits(|rank| &*engines[rank as usize], &x, ElementType::F16, &settings, 2, Placed::Resident);
    assert_eq!(mixed[0].summary.engine, "cpu");
    assert_eq!(mixed[1].summary.engine, "gpu");
    let mixed = joined(&mixed);
    let alike = fit(&*engines[0], &x, ElementType::F16, &settings, 2, Placed::Resident);
    let [mixed, alike] = [mixed, alike].map(|fit| fit.summary.relative_error);
    assert!((mixed - alike).abs() <= 1e-2 * alike, "{mixed} on two engines, {alike} on one");
}

#[test]
fn all_ranks_stop_when_one_of_them_is_asked_to() {
    let x = planted(37, TOKENS, NEURONS, RANK as usize, ElementType::F32);
    let (engine, source): (_, Arc<dyn ActivationSource + Send + Sync>) =
        (small_panels(), Arc::new(x.to_activations(ElementType::F32)));
    let iterations = on_ranks(
        3,
        |_| &engine,
        &source,
        |rank, engine, distribution| {
            let activations = share_of(&distribution, engine, &source, Placed::Resident);
            let asks = rank_of(rank) == 1;
            let progress = |progress: &Progress| {
                let now = asks && progress.stage == Stage::Iterate && progress.iteration == 3;
                if now { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let settings = settings(Solver::Hals).distributed(distribution);
            settings.fit_with(engine, &activations, progress).expect("a fit").summary.iterations
        },
    );
    assert_eq!(iterations, [3, 3, 3]);
}

#[test]
fn a_fit_goes_on_with_another_number_of_ranks() {
    let x = planted(41, TOKENS, NEURONS, RANK as usize, ElementType::F32);
    let (engine, source): (_, Arc<dyn ActivationSource + Send + Sync>) =
        (small_panels(), Arc::new(x.to_activations(ElementType::F32)));
    let over = |ranks, builder: &(dyn Fn(&ThreadRank) -> SemiNmf + Sync)| {
        joined(&on_ranks(
            ranks,
            |_| &engine,
            &source,
            |rank, engine, distribution| {
                let activations = share_of(&distribution, engine, &source, Placed::Resident);
                builder(rank).distributed(distribution).fit(engine, &activations).expect("a fit")
            },
        ))
    };
    for solver in [Solver::Hals, Solver::ProjectedLs] {
        let (store, elsewhere) = (Store::default(), Store::default());
        let fit = over(4, &|rank| {
            let store = if rank_of(rank) == 0 { &store } else { &elsewhere };
            settings(solver).tolerance(0.0).checkpoint(Duration::from_nanos(1), store.clone())
        });
        let stored = store.all();
        assert!(stored.len() >= 5 && elsewhere.all().is_empty(), "{solver:?}: {} checkpoints", stored.len());
        for ranks in [1, 2, 3] {
            let resumed = over(ranks, &|_| SemiNmf::resume(stored[3].clone()).expect("a checkpoint"));
            assert_same(&format!("{solver:?} goes on with {ranks} ranks"), &fit, &resumed);
        }
        // Sums that are taken in another order would lead elsewhere.
        let alone = engine.load(&source).expect("loading");
        let refused = SemiNmf::resume(stored[3].clone()).expect("a checkpoint").fit(&engine, &alone).map(drop);
        let refused = refused.expect_err("8 segments").to_string();
        assert!(refused.contains("resume with 8 segments"), "{refused}");
    }
}

#[test]
fn the_fingerprint_is_that_of_all_rows_on_any_number_of_ranks() {
    for (tokens, neurons) in [(TOKENS, NEURONS), (40, 7), (16, 1)] {
        let x = Dense::random(42, tokens, neurons, ElementType::F16);
        let source: Arc<dyn ActivationSource + Send + Sync> = Arc::new(x.to_activations(ElementType::F16));
        let wanted = unmix_data::fingerprint(&source).expect("a fingerprint");
        for ranks in 1..=8 {
            let engine = CpuEngine::new().panel_bytes(1 << 10);
            let found = on_ranks(
                ranks,
                |_| &engine,
                &source,
                |_, _, distribution| unmix_data::fingerprint_of_ranks(&source, &distribution).expect("a fingerprint"),
            );
            assert!(found.iter().all(|found| *found == wanted), "{tokens} × {neurons} on {ranks} ranks");
        }
    }
}

#[test]
fn what_cannot_be_distributed_is_refused() {
    let x = planted(38, 40, NEURONS, RANK as usize, ElementType::F32);
    let (engine, source): (_, Arc<dyn ActivationSource + Send + Sync>) =
        (small_panels(), Arc::new(x.to_activations(ElementType::F32)));
    let refused = |ranks: u32, tokens: usize, segments: u32| {
        let x = planted(38, tokens, NEURONS, RANK as usize, ElementType::F32).to_activations(ElementType::F32);
        let connected = ThreadRank::connected(ranks);
        let new = |rank: Arc<ThreadRank>| Distribution::new(rank, &engine, &x, segments).map(drop);
        std::thread::scope(|scope| {
            let running: Vec<_> = connected.into_iter().map(|rank| scope.spawn(|| new(rank))).collect();
            running.into_iter().map(|thread| thread.join().expect("a rank")).collect::<Vec<_>>()
        })
    };
    for (ranks, tokens, segments, told) in [(4, 100, 3, "4 ranks need at least 4 segments"), (4, 3, 8, "too few")] {
        for result in refused(ranks, tokens, segments) {
            assert!(result.is_err_and(|error| error.to_string().contains(told)), "{ranks} ranks, {tokens} tokens");
        }
    }
    // A rank must pass its own share, cut as all shares are.
    let errors = on_ranks(
        2,
        |_| &engine,
        &source,
        |_, engine, distribution| {
            let all = engine.load(&source).expect("loading");
            settings(Solver::Hals).distributed(distribution).fit(engine, &all).map(drop)
        },
    );
    assert!(errors.iter().all(|error| matches!(error, Err(Error::Option { option: "distribution", .. }))));
}

#[test]
fn each_segment_is_reduced_when_its_last_panel_is_done() {
    let x = planted(39, TOKENS, NEURONS, RANK as usize, ElementType::F32);
    let (engine, source): (_, Arc<dyn ActivationSource + Send + Sync>) =
        (small_panels(), Arc::new(x.to_activations(ElementType::F32)));
    let listings = on_ranks(
        4,
        |_| &engine,
        &source,
        |_, engine, distribution| {
            let activations = share_of(&distribution, engine, &source, Placed::Resident);
            let settings = settings(Solver::Hals).distributed(distribution);
            let iteration = settings.plan_iteration(activations.layout(), engine.limits()).expect("a plan");
            iteration.recording.listing(&iteration.workspace)
        },
    );
    insta::assert_snapshot!("the-iteration-of-rank-2-of-4", listings[2]);
}

#[test]
fn an_engine_by_itself_refuses_to_reduce() {
    let x = planted(40, TOKENS, NEURONS, RANK as usize, ElementType::F32);
    let source: Arc<dyn ActivationSource + Send + Sync> = Arc::new(x.to_activations(ElementType::F32));
    for engine in &engines_with_panels(1 << 20) {
        let refused = on_ranks(
            1,
            |_| &**engine,
            &source,
            |_, engine, distribution| {
                let activations = share_of(&distribution, engine, &source, Placed::Resident);
                let settings = settings(Solver::Hals).distributed(distribution);
                let iteration = settings.plan_iteration(activations.layout(), engine.limits()).expect("a plan");
                let session = engine.open(&iteration.workspace, &activations).expect("a session");
                session.prepare(iteration.recording).map(drop)
            },
        );
        assert!(matches!(&refused[..], [Err(unmix::RuntimeError::Refused { .. })]), "{}", engine.adapter());
    }
}
