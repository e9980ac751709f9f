//! The builder: what a user sets and calls.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use unmix_runtime::{Activations, Engine, PanelLayout, block_on};

use crate::checkpoint::{CheckpointReader, CheckpointSummary, CheckpointWriter};
use crate::checkpoint_handles::{SharedReader, SharedWriter};
use crate::checkpoints::CheckpointSchedule;
use crate::option_checks::{check, check_given};
use crate::run::Run;
use crate::{DenseMatrix, Error, Factorization, Init, Options, Progress, Solver};

/// Semi-nonnegative matrix factorization X ≈ Y Z with Y ≥ 0 and sparse rows of Z (Shafran, Geiger and Geva,
/// ACL 2026, 2026.acl-long.1959).
///
/// ```
/// use unmix::{CpuEngine, Engine, HostActivations, SemiNmf};
///
/// // 6 tokens × 4 neurons, made of two features.
/// let x = vec![
///     1.0, -1.0, 0.0, 0.0, 2.0, -2.0, 0.0, 0.0, 3.0, -3.0, 0.0, 0.0, //
///     0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0, 3.0, 6.0,
/// ];
/// let engine = CpuEngine::new();
/// let activations = engine.load(&HostActivations::from_f32(x, 6, 4)?)?;
/// let fit = SemiNmf::new(2).sparsity(0.5).fit(&engine, &activations)?;
/// assert!(fit.summary.relative_error < 1e-5);
/// # Ok::<(), unmix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SemiNmf {
    options: Options,
    sweeps: Option<u32>,
    ridge: Option<f64>,
    keep_best: Option<bool>,
    coefficients: Option<DenseMatrix>,
    checkpoints: Option<CheckpointSchedule>,
    resume: Option<SharedReader>,
}

impl SemiNmf {
    /// A factorization into `rank` features (K), with the default solver, 1% of the neurons kept in each feature, k-means
    /// start, seed 0, at most 100 iterations and tolerance 1e-4.
    pub fn new(rank: u32) -> Self {
        SemiNmf {
            options: Options {
                rank,
                sparsity: 0.01,
                solver: Solver::default(),
                penalty: 0.02,
                init: Init::default(),
                seed: 0,
                max_iterations: 100,
                tolerance: 1e-4,
                patience: 3,
                ridge: 0.0,
                sweeps: 0,
                relaxation: 0.4,
                warm_up: 8,
                revive: true,
                keep_best: true,
                debias: false,
            },
            sweeps: None,
            ridge: None,
            keep_best: None,
            coefficients: None,
            checkpoints: None,
            resume: None,
        }
    }

    /// Share p of a feature's neurons that are kept, in (0, 1]: m = max(1, ⌈p·d⌉). Default 0.01.
    pub fn sparsity(mut self, share: f64) -> Self {
        self.options.sparsity = share;
        self
    }

    /// The solver. Default [`Solver::ProjectedLs`].
    pub fn solver(mut self, solver: Solver) -> Self {
        self.options.solver = solver;
        self
    }

    /// Weight α of [`Solver::Hals`]'s penalty on the coefficients. Default 0.02; 0.03 gives sparser ones.
    pub fn penalty(mut self, alpha: f64) -> Self {
        self.options.penalty = alpha;
        self
    }

    /// Where the coefficients start. Default [`Init::Kmeans`].
    pub fn init(mut self, init: Init) -> Self {
        self.options.init = init;
        self
    }

    /// Starts from `coefficients` [n, K], all ≥ 0.
    pub fn init_coefficients(mut self, coefficients: DenseMatrix) -> Self {
        self.options.init = Init::Given;
        self.coefficients = Some(coefficients);
        self
    }

    /// Seed of everything random. The same seed on the same engine gives the same bits. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Most iterations, at least 1. Default 100.
    pub fn max_iterations(mut self, iterations: u32) -> Self {
        self.options.max_iterations = iterations;
        self
    }

    /// Stop when the least error has fallen by less than this share of itself within [`patience`](Self::patience)
    /// iterations; 0 runs all iterations. Default 1e-4.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.options.tolerance = tolerance;
        self
    }

    /// Iterations over which the tolerance is judged, at least 1. Default 3.
    pub fn patience(mut self, iterations: u32) -> Self {
        self.options.patience = iterations;
        self
    }

    /// Ridge of the least-squares step as a share of the coefficient Gram's mean diagonal; for [`Solver::Paper`] an
    /// absolute number. Default 1e-7 ([`Solver::Paper`]: 1e-6).
    pub fn ridge(mut self, ridge: f64) -> Self {
        self.ridge = Some(ridge);
        self
    }

    /// Updates of the coefficients in an iteration: HALS sweeps (default 2) or multiplicative updates of [`Solver::Mu`]
    /// (default 4), at most 1,000. [`Solver::Paper`] always does one. The first pass after a warm-up takes twice as many.
    pub fn sweeps(mut self, sweeps: u32) -> Self {
        self.sweeps = Some(sweeps);
        self
    }

    /// Over-relaxation β of the features, in [0, 1): least squares goes on by this share of the way that it moves them, before
    /// they are cut. Default 0.4; 0 for solvers other than [`Solver::ProjectedLs`].
    pub fn relaxation(mut self, share: f64) -> Self {
        self.options.relaxation = share;
        self
    }

    /// Iterations on every fifth token or fewer, before the first pass over all of them. Default 8; 0 for solvers other
    /// than [`Solver::ProjectedLs`], and where the fit does not start by k-means or has fewer than 75 tokens for each feature.
    /// Where the clusters explain less than 30% of the tokens' directions, features keep up to four times as many neurons in the
    /// first of them.
    pub fn warm_up(mut self, iterations: u32) -> Self {
        self.options.warm_up = iterations;
        self
    }

    /// Whether dead features are revived. Default true; [`Solver::Paper`] never does.
    pub fn revive(mut self, revive: bool) -> Self {
        self.options.revive = revive;
        self
    }

    /// Whether the iterate of least error is returned rather than the last one; with sparse features and
    /// [`Solver::ProjectedLs`] its features, and coefficients that explain at least as much as its own did. Default true, but
    /// for [`Solver::Paper`] with tolerance 0, which returns the state after exactly
    /// [`max_iterations`](Self::max_iterations).
    pub fn keep_best(mut self, keep: bool) -> Self {
        self.keep_best = Some(keep);
        self
    }

    /// Whether the features' values are refitted at the end, each neuron by least squares on the features that keep it.
    /// Default false.
    pub fn debias(mut self, debias: bool) -> Self {
        self.options.debias = debias;
        self
    }

    /// Takes checkpoints, from which a fit that ends before its time can go on. One is taken between two iterations when this time has
    /// passed since the last one or since the fit began, and one more when the progress callback has stopped the iterations. None are
    /// taken if the time is zero, or if the callback broke before the iterations. Default none.
    pub fn checkpoint(mut self, every: Duration, writer: impl CheckpointWriter + 'static) -> Self {
        self.checkpoints = Some(CheckpointSchedule { every, writer: SharedWriter(Arc::new(Mutex::new(writer))) });
        self
    }

    /// A factorization that goes on from a checkpoint, with the options of its fit, which must stay as they are. On the same engine and
    /// device it ends with the same bits as if it had not been interrupted. The activations must be the same ones, which is not checked
    /// beyond their shape: a caller who reads them from files compares the files.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the checkpoint is damaged or another version of unmix wrote it. The fit itself refuses activations of
    /// another shape, other options and other engines in the same way.
    pub fn resume(checkpoint: impl CheckpointReader + 'static) -> Result<Self, Error> {
        let CheckpointSummary { options, .. } = CheckpointSummary::of_header(checkpoint.header())?;
        Ok(SemiNmf {
            sweeps: Some(options.sweeps),
            ridge: Some(options.ridge),
            keep_best: Some(options.keep_best),
            coefficients: None,
            checkpoints: None,
            resume: Some(SharedReader(Arc::new(checkpoint))),
            options,
        })
    }

    /// The options that a fit will use, with the solver's defaults filled in.
    pub fn options(&self) -> Options {
        let mut options = self.options.clone();
        let updates = options.solver.updates();
        options.ridge = self.ridge.unwrap_or(updates.features.default_ridge());
        options.sweeps = updates.coefficients.updates(self.sweeps);
        // Coefficients of a revived feature are zeros.
        options.revive &= updates.coefficients.moves_zeros();
        if !updates.alternate_least_squares() {
            (options.relaxation, options.warm_up) = (0.0, 0);
        }
        if options.init != Init::Kmeans {
            options.warm_up = 0;
        }
        options.keep_best = self.keep_best.unwrap_or(updates.coefficients.keeps_best(options.tolerance));
        options
    }

    /// Fits, and waits for the result.
    ///
    /// # Errors
    /// If an option is impossible for these activations ([`Error::Option`]), they hold NaN or infinity
    /// ([`Error::NonFinite`]), the result does not hold against them ([`Error::Unsound`]), a checkpoint does not belong to them
    /// ([`Error::Checkpoint`]) or cannot be written ([`Error::CheckpointWrite`]), or the engine fails ([`Error::Runtime`]).
    pub fn fit(&self, engine: &dyn Engine, activations: &Activations) -> Result<Factorization, Error> {
        self.fit_with(engine, activations, |_| ControlFlow::Continue(()))
    }

    /// Fits and reports progress when a stage begins and after each iteration; a callback that breaks stops the fit, which then
    /// returns what it has, after one iteration if there was none.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        block_on(self.fit_async(engine, activations, progress))
    }

    /// Fits without blocking the thread.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub async fn fit_async(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        let options = self.options();
        self.check(&options, activations.layout())?;
        let (given, checkpoints) = (self.coefficients.as_ref(), self.checkpoints.clone());
        let run = Run { engine, activations, options, given, checkpoints };
        match &self.resume {
            Some(checkpoint) => run.resume(checkpoint, &mut progress).await,
            None => run.anew(&mut progress).await,
        }
    }

    /// Whether the options are possible for activations cut as `layout`.
    pub(crate) fn check(&self, options: &Options, layout: &PanelLayout) -> Result<(), Error> {
        check(options, layout)?;
        // Behind a checkpoint there is a start already.
        if self.resume.is_some() { Ok(()) } else { check_given(options, self.coefficients.as_ref(), layout) }
    }
}
