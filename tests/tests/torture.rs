//! Hostile matrices with every solver and start. Whatever a fit returns must be what it says it is, as computed in f64.
//!
//! `UNMIX_TORTURE_FITS` says how many fits run on each engine, and `UNMIX_TEST_ENGINES` (`cpu` or `gpu`) on which
//! engine. `--nocapture` shows the summary.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unmix::{CpuEngine, ElementType, Engine, EngineKind, Error, Factorization, HostActivations, Init, SemiNmf, Solver};
use unmix_tests::{Dense, chosen_kind, engines, oracle};

/// Default number of fits on each engine. They take some seconds.
const FITS: u64 = 400;
/// A GPU engine runs one of this many fits, because a software device compiles and computes slowly.
const GPU_SHARE: u64 = 10;

/// Kinds of matrices that have broken factorizations.
const KINDS: [&str; 14] = [
    "normal",
    "positive",
    "sparse",
    "exactly of low rank",
    "few distinct tokens",
    "one token over and over",
    "outlier tokens",
    "outlier neuron",
    "nearly equal neurons",
    "tiny",
    "huge",
    "many zero tokens",
    "opposite tokens",
    "of very different scales",
];

struct Case {
    kind: &'static str,
    x: Dense,
    element: ElementType,
    settings: SemiNmf,
    /// Without a ridge that f32 can hold, a singular Gram matrix has no solution. Rounding decides whether it is
    /// singular.
    has_ridge: bool,
    described: String,
}

impl Case {
    /// The case of that number. It is the same everywhere.
    fn new(number: u64) -> Case {
        let rng = &mut ChaCha8Rng::seed_from_u64(number);
        let (mut n, d) = (rng.random_range(1..80usize), rng.random_range(1..70usize));
        if rng.random_bool(0.05) {
            n = 1_000 + rng.random_range(0..100);
        }
        let kind = KINDS[rng.random_range(0..KINDS.len())];
        let x = matrix(kind, n, d, rng);
        let rank = rng.random_range(1..=n.min(d)) as u32;
        let solver = Solver::ALL[rng.random_range(0..4)];
        let init = [Init::Kmeans, Init::Random, Init::Svd][rng.random_range(0..3)];
        let pick = |rng: &mut ChaCha8Rng, among: &[f64]| among[rng.random_range(0..among.len())];
        let sparsity = pick(rng, &[0.01, 0.05, 0.2, 0.5, 1.0]);
        let (penalty, ridge) = (pick(rng, &[0.0, 0.02, 0.1, 1.0, 100.0]), pick(rng, &[0.0, 1e-12, 1e-7, 1.0, 1e30]));
        let iterations = rng.random_range(1..25);
        let relaxation = pick(rng, &[0.0, 0.4, 0.9]);
        let mut settings = SemiNmf::new(rank)
            .solver(solver)
            .init(init)
            .seed(rng.random())
            .sparsity(sparsity)
            .penalty(penalty)
            .relaxation(relaxation)
            .max_iterations(iterations)
            .revive(rng.random_bool(0.8))
            .debias(rng.random_bool(0.2));
        let with_ridge = rng.random_bool(0.3);
        if with_ridge {
            settings = settings.ridge(ridge);
        }
        let element = ElementType::ALL[rng.random_range(0..3)];
        let described = format!(
            "{number}: {kind}, {n} × {d} {element}, K = {rank}, {} from {}, p = {sparsity}, penalty {penalty}, ridge {}, {iterations} iterations",
            solver.name(),
            init.name(),
            if with_ridge { ridge.to_string() } else { "default".to_owned() },
        );
        Case { kind, x: rounded(&x, element), element, settings, has_ridge: !with_ridge || ridge >= 1e-7, described }
    }

    fn fit(&self, engine: &dyn Engine) -> Result<Factorization, Error> {
        self.settings.fit(engine, &engine.load(&self.activations())?)
    }

    fn activations(&self) -> HostActivations {
        self.x.to_activations(self.element)
    }
}

fn matrix(kind: &str, n: usize, d: usize, rng: &mut ChaCha8Rng) -> Dense {
    let seed = rng.random();
    let normal = Dense::random(seed, n, d, ElementType::F32);
    let number = |rng: &mut ChaCha8Rng| rng.random_range(0..n.max(d));
    match kind {
        "positive" => Dense::from_fn(n, d, |i, j| normal.at(i, j).abs()),
        "sparse" => Dense::from_fn(n, d, |i, j| if rng.random_bool(0.05) { normal.at(i, j) } else { 0.0 }),
        "exactly of low rank" => {
            let rank = rng.random_range(1..4);
            oracle::product(
                &Dense::random(seed, n, rank, ElementType::F32),
                &Dense::random(seed + 1, rank, d, ElementType::F32),
            )
        }
        "few distinct tokens" => Dense::from_fn(n, d, |i, j| normal.at(i % n.min(3), j)),
        "one token over and over" => Dense::from_fn(n, d, |_, j| normal.at(0, j)),
        "outlier tokens" => Dense::from_fn(n, d, |i, j| normal.at(i, j) * if i % 17 == 0 { 300.0 } else { 1.0 }),
        "outlier neuron" => {
            let at = number(rng) % d;
            Dense::from_fn(n, d, |i, j| normal.at(i, j) * if j == at { 500.0 } else { 1.0 })
        }
        "nearly equal neurons" => Dense::from_fn(n, d, |i, j| normal.at(i, 0) + 1e-3 * normal.at(i, j)),
        "tiny" => Dense::from_fn(n, d, |i, j| normal.at(i, j) * 1e-5),
        "huge" => Dense::from_fn(n, d, |i, j| normal.at(i, j) * 5e3),
        "many zero tokens" => Dense::from_fn(n, d, |i, j| if i % 5 == 0 { normal.at(i, j) } else { 0.0 }),
        "opposite tokens" => Dense::from_fn(n, d, |i, j| normal.at(i / 2 * 2, j) * if i % 2 == 0 { 1.0 } else { -1.0 }),
        "of very different scales" => Dense::from_fn(n, d, |i, j| normal.at(i, j) * 10f64.powi(-((i % 4) as i32))),
        _ => normal,
    }
}

fn rounded(x: &Dense, element: ElementType) -> Dense {
    Dense::from_fn(x.rows, x.columns, |i, j| match element {
        ElementType::F32 => f64::from(x.at(i, j) as f32),
        ElementType::F16 => half::f16::from_f64(x.at(i, j)).to_f64(),
        ElementType::Bf16 => half::bf16::from_f64(x.at(i, j)).to_f64(),
    })
}

/// The results of all fits of an engine.
#[derive(Default)]
struct Tally {
    /// |reported − exact| for each result.
    gaps: Vec<f64>,
    /// Fits that were refused as unsound, with a ridge and without one.
    unsound: Vec<String>,
    without_ridge: Vec<String>,
    problems: Vec<String>,
}

impl Tally {
    fn add(&mut self, case: &Case, fit: Result<Factorization, Error>) {
        let fit = match fit {
            Ok(fit) => fit,
            Err(Error::Unsound { problem }) => {
                let refused = if case.has_ridge { &mut self.unsound } else { &mut self.without_ridge };
                return refused.push(format!("{}: {problem}", case.described));
            }
            Err(error) => return self.problems.push(format!("{}: {error}", case.described)),
        };
        let dense = |m: &unmix::DenseMatrix| Dense {
            rows: m.rows,
            columns: m.columns,
            values: m.values.iter().map(|&v| v.into()).collect(),
        };
        let energy = oracle::inner(&case.x, &case.x);
        let loss = oracle::loss(&case.x, &dense(&fit.coefficients), &dense(&fit.features));
        let exact = if energy > 0.0 { loss / energy } else { loss };
        let told = fit.summary.relative_error;
        let gap = (told - exact).abs();
        self.gaps.push(gap);
        let curve = fit.summary.loss_curve.iter().chain(&fit.summary.objective_curve);
        let mut problem = |what: String| self.problems.push(format!("{}: {what}", case.described));
        if !(told.is_finite() && exact.is_finite() && curve.into_iter().all(|loss| loss.is_finite())) {
            problem(format!("told {told}, exact {exact}"));
        } else if gap > (1e-4 * exact).max(1e-6) {
            problem(format!("told {told:e}, exact {exact:e}"));
        } else if exact > 1.0 + 2e-6 {
            problem(format!("worse than features of zero: {exact}"));
        }
        if fit.coefficients.values.iter().any(|y| !(*y >= 0.0 && y.is_finite())) {
            problem("coefficients that are negative or not finite".to_owned());
        }
        let optimality = fit.summary.optimality.expect("of this version");
        if !(optimality.coefficients.is_finite() && optimality.features.is_finite()) {
            problem(format!("{optimality:?}"));
        }
    }

    fn finish(mut self, engine: &dyn Engine, fits: u64) {
        self.gaps.sort_by(f64::total_cmp);
        let quantile = |q: f64| self.gaps.get(((self.gaps.len() as f64 - 1.0) * q) as usize).copied().unwrap_or(0.0);
        println!(
            "{}: {fits} fits, {} results, {} refused as unsound and {} without a ridge; gaps of the relative error: median {:.1e}, 99% {:.1e}, largest {:.1e}",
            engine.adapter(),
            self.gaps.len(),
            self.unsound.len(),
            self.without_ridge.len(),
            quantile(0.5),
            quantile(0.99),
            quantile(1.0)
        );
        self.unsound.iter().chain(&self.without_ridge).take(20).for_each(|line| println!("  unsound {line}"));
        assert!(self.problems.is_empty(), "{} of {fits}:\n{}", self.problems.len(), self.problems.join("\n"));
        // An error is not a wrong answer, but it is no answer either.
        assert!((self.unsound.len() as u64) <= 1 + fits / 100, "{}", self.unsound.join("\n"));
    }
}

#[test]
fn what_is_returned_is_what_it_says_it_is() {
    let fits = std::env::var("UNMIX_TORTURE_FITS").ok().and_then(|fits| fits.parse().ok()).unwrap_or(FITS);
    for engine in engines() {
        let is_beside_cpu = chosen_kind().is_none() && engine.kind() == EngineKind::Gpu;
        let fits = if is_beside_cpu { fits / GPU_SHARE } else { fits };
        let mut tally = Tally::default();
        for number in 0..fits {
            let case = Case::new(number);
            tally.add(&case, case.fit(engine.as_ref()));
        }
        tally.finish(engine.as_ref(), fits);
    }
}

#[test]
fn every_kind_of_matrix_is_among_the_first_cases() {
    let kinds: std::collections::BTreeSet<_> = (0..FITS).map(|number| Case::new(number).kind).collect();
    assert_eq!(kinds.len(), KINDS.len());
}

#[test]
fn the_start_does_not_depend_on_how_the_tokens_are_cut() {
    // Panels of sizes that caches would lead to. The loss of the first iteration shows what the start has left.
    let x = Dense::random(91, 3_000, 128, ElementType::F32);
    for solver in [Solver::ProjectedLs, Solver::Hals, Solver::Mu] {
        for init in [Init::Kmeans, Init::Random, Init::Svd] {
            let losses: Vec<f64> = [u64::MAX, 1_000, 65_536, 400_000]
                .into_iter()
                .map(|bytes| {
                    let engine = CpuEngine::new().panel_bytes(bytes);
                    let activations = engine.load(&x.to_activations(ElementType::F32)).unwrap();
                    let settings = SemiNmf::new(16).solver(solver).init(init).sparsity(0.1).max_iterations(1);
                    settings.fit(&engine, &activations).unwrap().summary.loss_curve[0]
                })
                .collect();
            // Sums over other panels round differently, and tokens between two clusters may change sides. Another
            // sample would differ by 3e-3 to 1e-2.
            for loss in &losses {
                assert!((loss - losses[0]).abs() < 2e-3 * losses[0], "{solver:?} from {init:?}: {losses:?}");
            }
        }
    }
}
