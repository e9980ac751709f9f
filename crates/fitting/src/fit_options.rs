//! The options of a fit as they are given. What is not given is left to the preset, the solver and the activations.

use unmix::{Consensus, DenseMatrix, Init, SemiNmf, Solver};
use unmix_data::fingerprint_of_matrix;

use crate::{Fitting, Wording};

/// Settings that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The settings of the published experiments, [`SemiNmf::paper`].
    Paper,
}

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 1] = [Preset::Paper];

    /// The name by which it is asked for.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Paper => "paper",
        }
    }
}

/// How a fit is computed, whatever its number of features is.
#[derive(Clone, Debug, Default)]
pub struct SolverOptions {
    /// Settings that belong together.
    pub preset: Option<Preset>,
    /// As [`SemiNmf::solver`].
    pub solver: Option<Solver>,
    /// As [`SemiNmf::penalty`].
    pub penalty: Option<f64>,
    /// As [`SemiNmf::init`]. A start from given coefficients is set by them.
    pub init: Option<Init>,
    /// As [`SemiNmf::seed`].
    pub seed: u64,
    /// As [`SemiNmf::max_iterations`].
    pub max_iterations: Option<u32>,
    /// As [`SemiNmf::tolerance`].
    pub tolerance: Option<f64>,
    /// As [`SemiNmf::patience`].
    pub patience: Option<u32>,
    /// As [`SemiNmf::ridge`].
    pub ridge: Option<f64>,
    /// As [`SemiNmf::sweeps`].
    pub sweeps: Option<u32>,
    /// As [`SemiNmf::relaxation`].
    pub relaxation: Option<f64>,
    /// As [`SemiNmf::warm_up`].
    pub warm_up: Option<u32>,
    /// As [`SemiNmf::unshrink`].
    pub unshrink: bool,
    /// As [`SemiNmf::debias`].
    pub debias: bool,
    /// As [`SemiNmf::revive`], if not.
    pub no_revive: bool,
}

impl SolverOptions {
    /// The builder that these options describe.
    pub fn builder(&self, rank: u32) -> SemiNmf {
        let mut builder = self.preset_builder(rank).seed(self.seed);
        builder = builder.revive(!self.no_revive).unshrink(self.unshrink).debias(self.debias);
        if let Some(iterations) = self.max_iterations {
            builder = builder.max_iterations(iterations);
        }
        if let Some(tolerance) = self.tolerance {
            builder = builder.tolerance(tolerance);
        }
        if let Some(iterations) = self.patience {
            builder = builder.patience(iterations);
        }
        if let Some(alpha) = self.penalty {
            builder = builder.penalty(alpha);
        }
        if let Some(ridge) = self.ridge {
            builder = builder.ridge(ridge);
        }
        if let Some(sweeps) = self.sweeps {
            builder = builder.sweeps(sweeps);
        }
        if let Some(relaxation) = self.relaxation {
            builder = builder.relaxation(relaxation);
        }
        if let Some(iterations) = self.warm_up {
            builder = builder.warm_up(iterations);
        }
        match self.init {
            // A start from coefficients is set with them.
            Some(Init::Given) | None => builder,
            Some(init) => builder.init(init),
        }
    }

    /// The builder with the preset and the solver.
    fn preset_builder(&self, rank: u32) -> SemiNmf {
        let builder = match self.preset {
            Some(Preset::Paper) => SemiNmf::paper(rank),
            None => SemiNmf::new(rank),
        };
        match self.solver {
            Some(solver) => builder.solver(solver),
            None => builder,
        }
    }

    /// Refuses options that contradict each other, or that the fit would ignore. `starts_from_coefficients` says that coefficients are
    /// given to start from.
    ///
    /// # Errors
    /// The message.
    pub fn check(&self, starts_from_coefficients: bool, wording: &Wording) -> Result<(), String> {
        let Wording { name, given } = wording;
        let (used, solver) = (self.builder(1).options(1), |solver: Solver| given("solver", solver.name()));
        let hals = solver(Solver::Hals);
        let refuse = |option: &str, why: String| Err(format!("{}: {why} or leave it out", name(option)));
        if self.penalty.is_some() && used.solver != Solver::Hals {
            return refuse("penalty", format!("only {hals} has a penalty; choose that solver"));
        }
        if self.unshrink && used.solver != Solver::Hals {
            return refuse(
                "unshrink",
                format!("only {hals} has a penalty that shrinks coefficients; choose that solver"),
            );
        }
        if self.relaxation.is_some_and(|asked| asked != used.relaxation) {
            let why = "moves features beyond the least-squares solution; choose that solver";
            return refuse("relaxation", format!("only {} {why}", solver(Solver::ProjectedLs)));
        }
        if self.sweeps.is_some_and(|asked| asked != used.sweeps) {
            let why = "updates the coefficients once in an iteration; choose another solver";
            return refuse("sweeps", format!("{} {why}", solver(used.solver)));
        }
        if self.warm_up.is_some_and(|asked| asked > 0 && (asked != used.warm_up || starts_from_coefficients)) {
            let (kmeans, least_squares) = (given("init", Init::Kmeans.name()), solver(Solver::ProjectedLs));
            return refuse(
                "warm_up",
                format!("only {kmeans} with {hals} or {least_squares} has a warm-up; choose these"),
            );
        }
        Ok(())
    }
}

/// The options of a fit.
#[derive(Clone, Debug, Default)]
pub struct FitOptions {
    /// Number of features.
    pub rank: u32,
    /// As [`SemiNmf::sparsity`].
    pub sparsity: Option<f64>,
    /// As [`SemiNmf::init_coefficients`].
    pub init_coefficients: Option<DenseMatrix>,
    /// The options of the solver.
    pub solver: SolverOptions,
    /// Number of runs of a consensus.
    pub runs: Option<u32>,
    /// Whether its runs are kept.
    pub keep_runs: bool,
}

impl FitOptions {
    /// The fingerprint of the coefficients to start from, if they are given.
    pub fn fingerprint_of_start(&self) -> Option<String> {
        self.init_coefficients.as_ref().map(fingerprint_of_matrix)
    }

    /// What is computed.
    pub fn fitting(self) -> Fitting {
        let mut builder = self.solver.builder(self.rank);
        if let Some(share) = self.sparsity {
            builder = builder.sparsity(share);
        }
        if let Some(coefficients) = self.init_coefficients {
            builder = builder.init_coefficients(coefficients);
        }
        let Some(runs) = self.runs.filter(|&runs| runs > 1) else { return Fitting::Single(builder) };
        let mut consensus = Consensus::new(builder).runs(runs);
        if let Some(iterations) = self.solver.max_iterations {
            consensus = consensus.iterations(iterations);
        }
        Fitting::Consensus { consensus, keep: self.keep_runs }
    }
}

/// Refuses options that mean nothing for several runs. `starts_from_coefficients` says that coefficients are given to start from.
///
/// # Errors
/// The message.
pub fn check_runs(
    runs: u32,
    solver: &SolverOptions,
    starts_from_coefficients: bool,
    wording: &Wording,
) -> Result<(), String> {
    if runs <= 1 {
        return Ok(());
    }
    let name = wording.name;
    let refuse = |option: &str, why: &str| {
        Err(format!("{}: {why}; leave out {}, or {}", name(option), name(option), name("runs")))
    };
    if starts_from_coefficients {
        let why = "every run would have the same start, so that their agreement would mean nothing";
        return refuse("init_coefficients", why);
    }
    if solver.preset.is_some() && solver.max_iterations.is_none() {
        let iterations = Consensus::ITERATIONS;
        return Err(format!(
            "{}: its number of iterations is for one run, and each of {runs} runs has {iterations} unless it is set; add {} or \
             another number",
            name("preset"),
            (wording.given)("max_iterations", &iterations.to_string())
        ));
    }
    let given = [
        ("tolerance", solver.tolerance.is_some()),
        ("patience", solver.patience.is_some()),
        ("warm_up", solver.warm_up.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => refuse(
            option,
            &format!("each of {runs} runs has the same number of iterations, which {} sets", name("max_iterations")),
        ),
        None => Ok(()),
    }
}
