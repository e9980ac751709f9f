//! `unmix fit`: activations in, a folder with features and coefficients out.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use unmix::{ActivationSource, DenseMatrix, EngineKind, FitSummary, Init, SemiNmf, Solver, StopReason};
use unmix_data::{ActivationSet, Fingerprinting, FitRecord, InputRecord, check_target, read_matrix, write_fit};

use crate::activation_args::{ActivationArgs, left_out, names};
use crate::failure::Failure;
use crate::output::{self, Style, Table, bytes, duration, percent, thousands};
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;
use crate::{engine, interrupt, memory};

/// Factorize activations into sparse features
///
/// Reads activations from one file, or from several as one matrix. They are tokens × neurons, or batch × sequence ×
/// neurons with the attention mask beside them, in safetensors or npy files with f32, f16, bf16 or f64 numbers. Writes
/// a folder with factorization.safetensors (features and coefficients) and run.json (everything about the run).
///
/// Ctrl-C, SIGTERM and SIGHUP stop after the current iteration and save the best features so far. A second signal ends
/// the program at once.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix fit activations.safetensors --rank 100 --out fit
  unmix fit shards/ --rank 400 --out fit
  unmix fit activations.npy --rank 400 --sparsity 0.02 --solver hals --penalty 0.03 --out fit
  unmix fit a.safetensors --rank 6 --solver paper --tolerance 0 --max-iterations 20 \\
      --init-coefficients start.safetensors:coefficients --out published")]
pub struct FitArgs {
    #[command(flatten)]
    pub activations: ActivationArgs,

    /// Number of features
    #[arg(long, short = 'k', value_name = "K")]
    pub rank: u32,

    /// Folder to write; it must not exist yet
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,

    /// Replace an earlier fit in that folder
    #[arg(long)]
    pub force: bool,

    /// Share of the neurons that each feature keeps, above 0 and up to 1
    #[arg(long, short = 'p', default_value_t = 0.01, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    pub sparsity: f64,

    /// How features and coefficients are updated
    #[arg(long, value_enum, default_value_t, value_name = "SOLVER", help_heading = "Solver")]
    pub solver: SolverOption,

    /// Weight of the penalty on coefficients, for --solver hals; larger makes them sparser [default: 0.02]
    #[arg(long, value_name = "ALPHA", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub penalty: Option<f64>,

    /// Where the fit starts [default: kmeans, or given with --init-coefficients]
    #[arg(long, value_enum, value_name = "START", help_heading = "Solver")]
    pub init: Option<InitOption>,

    /// Start from these coefficients (tokens × features, at least 0), as FILE or FILE:TENSOR
    #[arg(long, value_name = "FILE[:TENSOR]", help_heading = "Solver")]
    pub init_coefficients: Option<String>,

    /// Seed of everything random; the same seed on the same engine and device gives the same bits
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Solver")]
    pub seed: u64,

    /// Most iterations
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Solver")]
    pub max_iterations: u32,

    /// Stop when the error falls by less than this share of itself within --patience iterations; 0 runs them all
    #[arg(long, default_value_t = 1e-4, value_name = "SHARE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub tolerance: f64,

    /// Iterations over which the tolerance is judged
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Solver")]
    pub patience: u32,

    /// Ridge of the least-squares step, as a share of the Gram matrix's mean diagonal [default: 1e-7; with --solver paper an
    /// absolute 1e-6]
    #[arg(long, value_name = "RIDGE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub ridge: Option<f64>,

    /// Updates of the coefficients in each iteration; the first one after a warm-up has twice as many [default: 2, or 4
    /// with --solver mu]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Solver")]
    pub sweeps: Option<u32>,

    /// How far the features are moved beyond the least-squares solution before they are cut, as a share of the step
    /// that leads to it; below 1 [default: 0.4 with --solver projected-ls, else 0]
    #[arg(long, value_name = "SHARE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub relaxation: Option<f64>,

    /// Iterations on a sample of the tokens before the first one over all of them [default: 8 with --solver
    /// projected-ls and --init kmeans, if there are at least 75 tokens for each feature]
    #[arg(long, value_name = "N", help_heading = "Solver")]
    pub warm_up: Option<u32>,

    /// Refit the values of the features at the end; the error falls a little, and the coefficients stay the same
    #[arg(long, help_heading = "Solver")]
    pub debias: bool,

    /// Leave features dead that no token uses any more, instead of starting them anew
    #[arg(long, help_heading = "Solver")]
    pub no_revive: bool,
}

/// The solvers, and what to choose them for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SolverOption {
    /// Projected least squares and coordinate descent: fast, good features
    #[default]
    ProjectedLs,
    /// Coordinate descent with a penalty on coefficients: the objective never rises, and coefficients are sparser
    Hals,
    /// Projected least squares and multiplicative updates
    Mu,
    /// The published iteration, for comparison
    Paper,
}

impl SolverOption {
    /// The solver as the library calls it.
    pub fn solver(self) -> Solver {
        match self {
            SolverOption::ProjectedLs => Solver::ProjectedLs,
            SolverOption::Hals => Solver::Hals,
            SolverOption::Mu => Solver::Mu,
            SolverOption::Paper => Solver::Paper,
        }
    }
}

/// Where a fit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InitOption {
    /// Clusters of tokens by direction
    Kmeans,
    /// Uniform random numbers
    Random,
    /// Leading singular vectors
    Svd,
    /// The coefficients in --init-coefficients
    Given,
}

/// Parses a share above 0 and up to 1.
pub fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("a share above 0 and up to 1 is needed, e.g. 0.01 for 1%".to_owned()),
    }
}

/// Parses a finite number of at least 0.
pub fn at_least_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("a finite number of at least 0 is needed".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: &FitArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    // Everything that can be refused is refused before the long work.
    if args.init == Some(InitOption::Given) && args.init_coefficients.is_none() {
        return Err(Failure::Usage(
            "--init given: needs coefficients to start from; add --init-coefficients FILE".to_owned(),
        ));
    }
    if let (Some(init), Some(_)) = (args.init.filter(|&init| init != InitOption::Given), &args.init_coefficients) {
        let name = init.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        return Err(Failure::Usage(format!("--init {name}: contradicts --init-coefficients; leave out one of them")));
    }
    if args.penalty.is_some() && args.solver != SolverOption::Hals {
        return Err(Failure::Usage(
            "--penalty: only --solver hals has a penalty; choose that solver or leave it out".to_owned(),
        ));
    }
    check_target(&args.out, args.force)?;
    let file = args.activations.open()?;
    let (tokens, neurons) = (file.tokens(), file.neurons());
    check_rank(args.rank, &file)?;
    let given =
        args.init_coefficients.as_deref().map(|given| initial_coefficients(given, tokens, args.rank)).transpose()?;
    let builder = builder(args, given);
    let engine = engine::open(&shared.engine, reporter)?;
    check_memory(&file, args.rank, engine.kind())?;
    interrupt::catch(reporter.interrupt_notice());

    let element = file.element();
    reporter.stage(&format!(
        "reading {}: {} tokens × {} neurons, {element}",
        names(&file),
        thousands(tokens),
        thousands(neurons)
    ));
    if let Some(told) = left_out(file.left_out(), file.stored_tokens()) {
        reporter.stage(&format!("leaving out {told}"));
    }
    let source = Fingerprinting::new(file.clone());
    let activations = engine.load(&source)?;
    Failure::if_interrupted()?;

    let options = builder.options();
    reporter.fit_starts(&options);
    let fit = builder.fit_with(engine.as_ref(), &activations, |progress| {
        reporter.fit_progress(progress);
        // A result is worth nothing if it comes from a file that was cut short.
        if interrupt::requested() || file.check_whole().is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    reporter.fit_ends();
    if let Err(error @ unmix::Error::Runtime(_)) = fit {
        return Err(error.into());
    }
    // All has been read by now, and its fingerprint was taken meanwhile.
    let fingerprint = source.fingerprint()?;
    // If a file was changed, this explains a result that is not sound, and makes one that seems sound worthless.
    file.check_unchanged(&fingerprint)?;
    let fit = fit.map_err(|error| Failure::of_computation(error, &file))?;
    reporter.stage(&format!("writing {}", args.out.display()));
    let mut record = FitRecord::new(fit, file.token_columns().clone(), InputRecord::new(&file, fingerprint));
    record.run.command_line = Some(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect());
    record.run.peak_memory_bytes = memory::peak_bytes();
    write_fit(&args.out, &record, args.force)?;

    if shared.json {
        output::print_json(&record.run)?;
    } else {
        output::print(&summary(&record, &args.out))?;
    }
    if record.run.summary.stop_reason == StopReason::Interrupted {
        let done = record.run.summary.iterations;
        return Err(Failure::Interrupted(format!(
            "interrupted after {done} of {} iterations; the best so far is saved in {}",
            options.max_iterations,
            args.out.display()
        )));
    }
    Ok(())
}

fn builder(args: &FitArgs, given: Option<DenseMatrix>) -> SemiNmf {
    let mut builder = SemiNmf::new(args.rank)
        .sparsity(args.sparsity)
        .solver(args.solver.solver())
        .seed(args.seed)
        .max_iterations(args.max_iterations)
        .tolerance(args.tolerance)
        .patience(args.patience)
        .revive(!args.no_revive)
        .debias(args.debias);
    if let Some(alpha) = args.penalty {
        builder = builder.penalty(alpha);
    }
    if let Some(ridge) = args.ridge {
        builder = builder.ridge(ridge);
    }
    if let Some(sweeps) = args.sweeps {
        builder = builder.sweeps(sweeps);
    }
    if let Some(relaxation) = args.relaxation {
        builder = builder.relaxation(relaxation);
    }
    if let Some(iterations) = args.warm_up {
        builder = builder.warm_up(iterations);
    }
    match (args.init, given) {
        (_, Some(coefficients)) => builder.init_coefficients(coefficients),
        (Some(InitOption::Random), None) => builder.init(Init::Random),
        (Some(InitOption::Svd), None) => builder.init(Init::Svd),
        _ => builder.init(Init::Kmeans),
    }
}

/// Refuses a rank that the activations cannot have.
pub fn check_rank(rank: u32, file: &ActivationSet) -> Result<(), Failure> {
    let (tokens, neurons) = (file.tokens(), file.neurons());
    let most = tokens.min(neurons);
    if rank == 0 || u64::from(rank) > most {
        return Err(Failure::Usage(format!(
            "--rank {rank}: {} holds {tokens} tokens × {neurons} neurons, so a rank from 1 to {most} is needed",
            names(file)
        )));
    }
    Ok(())
}

/// If memory ran out, the system would end the CPU engine without a message, so this is checked in advance.
fn check_memory(file: &ActivationSet, rank: u32, engine: EngineKind) -> Result<(), Failure> {
    let needed = memory::working_bytes(file.tokens(), file.neurons(), rank.into());
    match memory::available_bytes() {
        Some(available) if engine == EngineKind::Cpu && needed > available => Err(Failure::Memory(format!(
            "{}: a fit of rank {rank} needs about {} beside the activations, but {} are free; use fewer tokens or a smaller rank",
            names(file),
            bytes(needed),
            bytes(available)
        ))),
        _ => Ok(()),
    }
}

/// Reads `FILE` or `FILE:TENSOR`.
fn named_matrix(given: &str) -> Result<DenseMatrix, Failure> {
    let (path, tensor) = match given.rsplit_once(':') {
        // A colon may also be part of a path, as in `C:\start.npy`.
        Some((path, tensor)) if !Path::new(given).exists() && !tensor.contains(['/', '\\']) && !path.is_empty() => {
            (path, Some(tensor))
        }
        _ => (given, None),
    };
    read_matrix(path, tensor).map_err(|error| match error {
        unmix_data::Error::AmbiguousTensor { .. } => Failure::Usage(format!("{error}, as {path}:NAME")),
        other => other.into(),
    })
}

fn initial_coefficients(given: &str, tokens: u64, rank: u32) -> Result<DenseMatrix, Failure> {
    let matrix = named_matrix(given)?;
    if (matrix.rows as u64, matrix.columns as u64) != (tokens, rank.into()) {
        return Err(Failure::Usage(format!(
            "--init-coefficients {given}: the matrix is {} × {}, but {tokens} tokens × {rank} features are needed",
            matrix.rows, matrix.columns
        )));
    }
    if let Some(at) = matrix.values.iter().position(|&y| y < 0.0) {
        return Err(Failure::Usage(format!(
            "--init-coefficients {given}: {} at token {}, feature {}; coefficients are at least 0",
            matrix.values[at],
            at / matrix.columns,
            at % matrix.columns
        )));
    }
    Ok(matrix)
}

fn summary(record: &FitRecord, out: &Path) -> String {
    let (run, s) = (&record.run, &record.run.summary);
    let mut table = Table::new(&["", ""]);
    let style = Style::stdout();
    let mut fact = |name: &str, text: String| table.row(vec![name.to_owned(), text]);
    let explained = percent(1.0 - s.relative_error);
    fact("relative error", format!("{} ({explained} explained)", style.strong(&format!("{:.6}", s.relative_error))));
    fact("iterations", format!("{}; {}{}", s.iterations, why(s), best(s)));
    let dead = match s.dead_features.len() {
        0 => "none dead".to_owned(),
        count => format!("{count} dead"),
    };
    let mut revived: Vec<u32> = s.revived.iter().map(|&(_, feature)| feature).collect();
    revived.sort_unstable();
    revived.dedup();
    let revived = if revived.is_empty() { String::new() } else { format!(", {} revived on the way", revived.len()) };
    fact(
        "features",
        format!(
            "{} of {} of {} neurons, {dead}{revived}",
            s.options.rank,
            s.kept_per_feature,
            thousands(s.neurons.into())
        ),
    );
    fact("time", format!("{} on {} ({})", duration(s.seconds), s.engine, s.adapter));
    if let Some(peak) = run.peak_memory_bytes {
        fact("memory", format!("{} at most", bytes(peak)));
    }
    fact("saved in", out.display().to_string());
    let text = if record.columns.token_ids.is_some() { "--vocabulary tokenizer.json" } else { "--tokens TOKENS.json" };
    fact("next", format!("unmix features {} {text}", out.display()));
    table.render(style)
}

fn why(summary: &FitSummary) -> String {
    let options = &summary.options;
    match summary.stop_reason {
        StopReason::Converged => {
            format!("the error fell by less than {} of itself in {}", options.tolerance, options.patience)
        }
        StopReason::MaxIterations => "as many as were allowed".to_owned(),
        StopReason::Interrupted => "interrupted".to_owned(),
        StopReason::Diverged => "the next one overflowed".to_owned(),
    }
}

fn best(summary: &FitSummary) -> String {
    match summary.best_iteration {
        best if best == summary.iterations => String::new(),
        best if summary.options.keep_best => format!("; number {best} was the best and is kept"),
        _ => String::new(),
    }
}
