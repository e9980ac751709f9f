//! The builder of a fit: its options, and the calls that run it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use unmix_runtime::{Activations, Engine, PanelLayout, block_on};

use crate::checkpoint::{CheckpointReader, CheckpointSummary, CheckpointWriter};
use crate::checkpoint_clock::CheckpointSchedule;
use crate::checkpoint_handles::{SharedReader, SharedWriter};
use crate::checkpoint_header::CheckpointHeader;
use crate::checkpoints::Checkpoints;
use crate::distribution::Distribution;
use crate::option_checks::{check, check_given};
use crate::run::{Asked, Run};
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Factorization, Init, Options, Progress, Solver, defaults};

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
/// assert!(fit.summary.relative_error < 0.01);
/// # Ok::<(), unmix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SemiNmf {
    options: Options,
    sparsity: Option<f64>,
    penalty: Option<f64>,
    sweeps: Option<u32>,
    warm_up: Option<u32>,
    ridge: Option<f64>,
    keep_best: Option<bool>,
    coefficients: Option<DenseMatrix>,
    checkpoints: Option<CheckpointSchedule>,
    resume: Option<SharedReader>,
    copies_samples: bool,
    distribution: Option<Arc<Distribution>>,
}

impl SemiNmf {
    /// A factorization into `rank` features (K). By default it uses [`Solver::Hals`] with a [`penalty`](Self::penalty) of at most 0.06, keeps
    /// 140 neurons in each feature (see [`sparsity`](Self::sparsity)), and starts by k-means with seed 0. It stops when ten iterations lower the objective by
    /// less than a thousandth, or after 100 iterations.
    pub fn new(rank: u32) -> Self {
        SemiNmf {
            options: Options {
                rank,
                sparsity: 0.0,
                solver: Solver::default(),
                penalty: 0.0,
                init: Init::default(),
                seed: 0,
                max_iterations: 100,
                tolerance: 1e-3,
                patience: 10,
                ridge: 0.0,
                sweeps: 0,
                relaxation: 0.4,
                warm_up: 0,
                revive: true,
                keep_best: true,
                unshrink: false,
                debias: false,
            },
            sparsity: None,
            penalty: None,
            sweeps: None,
            warm_up: None,
            ridge: None,
            keep_best: None,
            coefficients: None,
            checkpoints: None,
            resume: None,
            copies_samples: true,
            distribution: None,
        }
    }

    /// The settings of the published experiments (Shafran, Geiger and Geva, ACL 2026): [`Solver::Paper`] from random coefficients, with 1% of
    /// the neurons in each feature. It stops after 500 iterations, or when the least error has not fallen in 100 of them, and returns the
    /// iterate with the least error.
    pub fn paper(rank: u32) -> Self {
        SemiNmf::new(rank)
            .solver(Solver::Paper)
            .sparsity(0.01)
            .init(Init::Random)
            .max_iterations(500)
            .tolerance(1e-9)
            .patience(100)
    }

    /// Number of features K, in place of that of [`new`](Self::new).
    pub fn rank(mut self, rank: u32) -> Self {
        self.options.rank = rank;
        self
    }

    /// Share p of the neurons that each feature keeps, in (0, 1]. A feature has m = max(1, ⌈p·d⌉) nonzeros. The default with
    /// [`Solver::Hals`] is 140 neurons, but at most 20% and at least 1% of all. With other solvers it is 1%.
    pub fn sparsity(mut self, share: f64) -> Self {
        self.sparsity = Some(share);
        self
    }

    /// The solver. Default [`Solver::Hals`].
    pub fn solver(mut self, solver: Solver) -> Self {
        self.options.solver = solver;
        self
    }

    /// Weight α, at least 0, of the penalty on the coefficients. Only [`Solver::Hals`] uses it. A larger one makes the coefficients
    /// sparser. The default is 0.06 with up to 100 features K, and 0.06 · (100 / K)^¼ with more of them.
    pub fn penalty(mut self, alpha: f64) -> Self {
        self.penalty = Some(alpha);
        self
    }

    /// Where the fit starts. Default [`Init::Kmeans`].
    pub fn init(mut self, init: Init) -> Self {
        self.options.init = init;
        self
    }

    /// Starts from `coefficients` [n, K]. All of them must be at least 0.
    pub fn init_coefficients(mut self, coefficients: DenseMatrix) -> Self {
        self.options.init = Init::Given;
        self.coefficients = Some(coefficients);
        self
    }

    /// Seed of all random numbers. The same seed on the same engine and device gives the same bits. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Largest number of iterations, at least 1. Default 100.
    pub fn max_iterations(mut self, iterations: u32) -> Self {
        self.options.max_iterations = iterations;
        self
    }

    /// The fit stops when what it minimizes has fallen by less than this share of itself within [`patience`](Self::patience) iterations.
    /// This is the error, and with [`Solver::Hals`] half the squared error plus the penalty. With 0 the fit runs all iterations. Default
    /// 1e-3.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.options.tolerance = tolerance;
        self
    }

    /// Number of iterations in which the error or objective must fall by the tolerance, at least 1. Default 10. The error of
    /// [`Solver::ProjectedLs`] may pause for some iterations before it falls on.
    pub fn patience(mut self, iterations: u32) -> Self {
        self.options.patience = iterations;
        self
    }

    /// Ridge of the least-squares step, as a share of the mean diagonal of the coefficients' Gram matrix. Default 1e-7. For
    /// [`Solver::Paper`] it is an absolute number, with the default 1e-6.
    pub fn ridge(mut self, ridge: f64) -> Self {
        self.ridge = Some(ridge);
        self
    }

    /// Number of updates of the coefficients in an iteration, at most 1,000: HALS sweeps (default 2), or multiplicative updates of
    /// [`Solver::Mu`] (default 4). [`Solver::Paper`] always does one. The first pass after a warm-up does twice as many.
    pub fn sweeps(mut self, sweeps: u32) -> Self {
        self.sweeps = Some(sweeps);
        self
    }

    /// Over-relaxation β of the features, in [0, 1). With W the least-squares solution and Z the features before, W + β(W − Z) is cut
    /// instead of W. Default 0.4. It is 0 for every solver except [`Solver::ProjectedLs`].
    pub fn relaxation(mut self, share: f64) -> Self {
        self.options.relaxation = share;
        self
    }

    /// Number of warm-up iterations, before the first iteration of the fit. They run on a sample with every fifth token or fewer, if there are
    /// at least 75 tokens for each feature. The default is 22 with a [`penalty`](Self::penalty), which then falls from 0.36 to its weight
    /// in the fit, and 8 without one. With fewer tokens, a warm-up with a penalty runs on all of them, and there is no other warm-up. There is
    /// none either with [`Solver::Mu`] or [`Solver::Paper`], or with starts other than k-means. If the clusters explain less than 30% of
    /// the tokens' directions, the features of [`Solver::ProjectedLs`] keep up to four times as many neurons in the first warm-up
    /// iterations.
    pub fn warm_up(mut self, iterations: u32) -> Self {
        self.warm_up = Some(iterations);
        self
    }

    /// Whether dead features are revived. Default true. [`Solver::Paper`] and [`Solver::Mu`] never revive features.
    pub fn revive(mut self, revive: bool) -> Self {
        self.options.revive = revive;
        self
    }

    /// Whether the iterate with the least error is returned instead of the last one. With [`Solver::ProjectedLs`] and sparse features, its
    /// features are returned, and coefficients that are found again for them and explain about as much as its own. Default true, with two
    /// exceptions. [`Solver::Hals`] returns the last iterate, because its objective rises only while near copies are pushed apart. [`Solver::Paper`] with tolerance 0 returns the
    /// state after exactly [`max_iterations`](Self::max_iterations).
    pub fn keep_best(mut self, keep: bool) -> Self {
        self.keep_best = Some(keep);
        self
    }

    /// Whether the coefficients above zero are found again at the end without the penalty, and those of zero stay zero. The penalty chooses
    /// which features a token uses. But it also makes each of their coefficients smaller than least squares does, so that the features explain
    /// less than they can (the relaxed lasso; Meinshausen 2007). The features stay as they are. Default false, so that the result
    /// is what the objective leads to; a [`Consensus`](crate::Consensus) always does it. Only [`Solver::Hals`] has a penalty.
    pub fn unshrink(mut self, unshrink: bool) -> Self {
        self.options.unshrink = unshrink;
        self
    }

    /// Whether the values of the features are refitted at the end: each neuron by least squares on the features that keep it. Default
    /// false.
    pub fn debias(mut self, debias: bool) -> Self {
        self.options.debias = debias;
        self
    }

    /// Takes checkpoints, from which an interrupted fit can be resumed. A checkpoint is taken between two iterations when the time `every`
    /// has passed since the last one, or since the fit began. One more is taken when the progress callback stops the iterations. None are
    /// taken if `every` is zero, or if the callback stops the fit before the iterations. By default a fit takes no checkpoints.
    pub fn checkpoint(mut self, every: Duration, writer: impl CheckpointWriter + 'static) -> Self {
        self.checkpoints = Some(CheckpointSchedule { every, writer: SharedWriter(Arc::new(Mutex::new(writer))) });
        self
    }

    /// A factorization that continues from a checkpoint. It has the options of the interrupted fit, and they must not be changed. On the
    /// same engine and device it ends with the same bits as a fit without an interruption. The activations must be the same. Only their
    /// shape and element type are checked, so a caller who reads them from files should compare the files.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the checkpoint is damaged, if it belongs to a [`Consensus`](crate::Consensus), or if another version of unmix
    /// wrote it. The fit itself returns the same error for activations of another shape, for other options, and for another engine.
    pub fn resume(checkpoint: impl CheckpointReader + 'static) -> Result<Self, Error> {
        let CheckpointSummary { options, .. } = CheckpointSummary::of_one_fit(checkpoint.header())?;
        Ok(Self::going_on(options, checkpoint))
    }

    /// A fit with the options of a checkpoint, all of which are set.
    pub(crate) fn going_on(options: Options, checkpoint: impl CheckpointReader + 'static) -> Self {
        SemiNmf {
            sparsity: Some(options.sparsity),
            penalty: Some(options.penalty),
            sweeps: Some(options.sweeps),
            warm_up: Some(options.warm_up),
            ridge: Some(options.ridge),
            keep_best: Some(options.keep_best),
            coefficients: None,
            checkpoints: None,
            resume: Some(SharedReader(Arc::new(checkpoint))),
            copies_samples: true,
            distribution: None,
            options,
        }
    }

    /// Whether the samples of streamed activations that the start needs are copied to memory of their own. Otherwise the activations
    /// are read again for each step of the start. The results are the same. Default true; see
    /// [`Placement`](crate::Placement::Streamed).
    pub fn copy_samples(mut self, copy: bool) -> Self {
        self.copies_samples = copy;
        self
    }

    /// Computes the fit together with other processes. Each of them passes its own share of the activations
    /// ([`Distribution::share`]), and calls the same methods with the same options. The summary and the features of the result are the same
    /// on every rank, and the coefficients are those of its own tokens.
    pub fn distributed(mut self, distribution: Distribution) -> Self {
        self.distribution = Some(Arc::new(distribution));
        self
    }

    /// The options that a fit of activations with this number of neurons will use, with all defaults filled in.
    pub fn options(&self, neurons: u32) -> Options {
        let mut options = self.options.clone();
        options.sparsity = self.sparsity.unwrap_or_else(|| defaults::sparsity(options.solver, neurons));
        options.penalty = self.penalty.unwrap_or_else(|| defaults::penalty(options.rank));
        let updates = options.solver.updates();
        options.ridge = self.ridge.unwrap_or(updates.features.default_ridge());
        options.sweeps = updates.coefficients.updates(self.sweeps);
        // The coefficients of a revived feature are zeros, so they must be able to grow.
        options.revive &= updates.coefficients.moves_zeros();
        if !updates.alternate_least_squares() {
            options.relaxation = 0.0;
        }
        // The coefficients of the sample begin as zeros.
        options.warm_up = if options.init == Init::Kmeans && updates.coefficients.moves_zeros() {
            self.warm_up.unwrap_or_else(|| defaults::warm_up(updates.penalize(&options)))
        } else {
            0
        };
        options.keep_best = self.keep_best.unwrap_or(updates.coefficients.keeps_best(options.tolerance));
        options
    }

    /// Fits activations [n, d], and waits for the result.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is impossible for these activations. [`Error::NonFinite`] if the activations hold NaN or infinity,
    /// and [`Error::OutOfRange`] if they are too large or too small. [`Error::Unsound`] if the result fails its verification.
    /// [`Error::Checkpoint`] if a checkpoint does not belong to this fit, and [`Error::CheckpointWrite`] if one cannot be written.
    /// [`Error::Runtime`] if the engine fails.
    pub fn fit(&self, engine: &dyn Engine, activations: &Activations) -> Result<Factorization, Error> {
        self.fit_and_tell(engine, activations, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`fit`](Self::fit), with a callback that is called when a stage begins and after each iteration. If the callback breaks, the fit
    /// stops and returns what it has. If no iteration was run until then, it runs one first.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        self.fit_and_tell(engine, activations, &mut progress)
    }

    /// All callbacks have one type here, so that a fit is compiled once, and not again for every caller.
    fn fit_and_tell(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        block_on(self.fit_async(engine, activations, progress))
    }

    /// As [`fit_with`](Self::fit_with), without blocking the thread.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub async fn fit_async(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        let asked = self.asked(activations.layout())?;
        let (most, checkpoints) = (asked.options.max_iterations, Checkpoints::new(self.checkpoints.clone()));
        let distribution = self.distribution_of(activations.layout());
        let copies_samples = self.copies_samples;
        let run = Run { engine, activations, copies_samples, distribution: Arc::clone(&distribution) };
        let Some(SharedReader(checkpoint)) = &self.resume else {
            let watch = &mut [Watch::new(&mut progress, &distribution, most, 0.0)];
            return run.anew(&[asked], checkpoints, watch).await?.remove(0).result(&mut watch[0]).await;
        };
        CheckpointSummary::of_one_fit(checkpoint.header())?;
        let header = CheckpointHeader::parse(checkpoint.header())?;
        header.check(&asked.options, &distribution, activations.layout(), engine)?;
        let watch = &mut Watch::new(&mut progress, &distribution, most, header.summary.seconds);
        run.resume(asked.options, header, &**checkpoint, checkpoints, watch).await?.result(watch).await
    }

    /// The fit that is asked for. It is an error if an option is impossible for activations of this layout.
    pub(crate) fn asked(&self, layout: &PanelLayout) -> Result<Asked<'_>, Error> {
        let options = self.options(layout.neurons);
        let distribution = self.distribution_of(layout);
        distribution.check_share(layout)?;
        if distribution.engines_differ() && options.keep_best {
            let expected = "different engines can disagree about which iterate is the best; use the solver hals, or engines of one kind";
            return Err(Error::Option { option: "keep_best", given: "true".to_owned(), expected: expected.to_owned() });
        }
        self.check(&options, &distribution.whole(layout))?;
        Ok(Asked { options, given: self.coefficients.as_ref() })
    }

    /// Which tokens this process has, if its activations are cut like this.
    pub(crate) fn distribution_of(&self, layout: &PanelLayout) -> Arc<Distribution> {
        self.distribution.clone().unwrap_or_else(|| Arc::new(Distribution::alone(layout)))
    }

    /// Whether other processes take part.
    pub(crate) fn is_distributed(&self) -> bool {
        self.distribution.is_some()
    }

    /// Whether the fit takes checkpoints, or continues from one.
    pub(crate) fn has_checkpoints(&self) -> bool {
        self.checkpoints.is_some() || self.resume.is_some()
    }

    /// When checkpoints are taken, if they are.
    pub(crate) fn checkpoints(&self) -> Option<CheckpointSchedule> {
        self.checkpoints.clone()
    }

    /// The checkpoint from which the fit continues, if it does.
    pub(crate) fn resumed(&self) -> Option<&dyn CheckpointReader> {
        self.resume.as_ref().map(|SharedReader(checkpoint)| &**checkpoint as &dyn CheckpointReader)
    }

    /// Whether samples of streamed activations are copied.
    pub(crate) fn copies_samples(&self) -> bool {
        self.copies_samples
    }

    /// Whether the fit begins anew. Otherwise it continues from a checkpoint.
    pub(crate) fn begins(&self) -> bool {
        self.resume.is_none()
    }

    /// Returns an error if the options are impossible for activations of this layout.
    fn check(&self, options: &Options, layout: &PanelLayout) -> Result<(), Error> {
        check(options, layout)?;
        // A fit from a checkpoint has had its start, so it needs no given coefficients.
        if self.resume.is_some() { Ok(()) } else { check_given(options, self.coefficients.as_ref(), layout) }
    }
}
