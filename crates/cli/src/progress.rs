//! What stderr says while a command works: a bar in a terminal, plain lines elsewhere, JSON lines for programs, or
//! nothing.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use unmix::{Engine, Options, Progress, Stage};

use crate::failure::Failure;
use crate::output::{self, duration};
use crate::terminal::{self, Marks};

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar in a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A line every second or so
    Plain,
    /// JSON objects for programs, one on each line
    Json,
    /// Nothing
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Bar,
    Plain,
    Json,
    None,
}

/// Least time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(1);
/// The same for work of several fits.
const WORK_INTERVAL: Duration = Duration::from_secs(5);

/// The bar on the screen, for code that writes to stderr beside it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Tells the user about the progress.
#[derive(Debug)]
pub struct Reporter {
    mode: Mode,
    last_line: Option<Instant>,
    /// Progress that no plain line has reported yet.
    untold: Option<Progress>,
    /// Seconds at which the iterations began, after the start was chosen.
    began: f64,
    /// When the runs that iterate were reported first.
    runs_began: Option<RunsBegan>,
    /// When work of several fits began, and the share of it that was done before.
    work_began: Option<(Instant, f64)>,
    /// How the running fit starts, and below it the stage that was reported last.
    start: &'static str,
    told: Option<Stage>,
}

/// When runs that are computed together were reported first.
#[derive(Clone, Copy, Debug)]
struct RunsBegan {
    /// The first of the runs.
    first: u32,
    /// Number of iterations that they had done then.
    before: u32,
    /// Seconds that the consensus had taken.
    at: f64,
}

impl Reporter {
    /// A reporter in `mode`, silent if `quiet`.
    pub fn new(mode: ProgressMode, quiet: bool) -> Reporter {
        let mode = match mode {
            ProgressMode::Json => Mode::Json,
            _ if quiet => Mode::None,
            ProgressMode::None => Mode::None,
            ProgressMode::Plain => Mode::Plain,
            ProgressMode::Auto if std::io::stderr().is_terminal() => Mode::Bar,
            ProgressMode::Auto => Mode::Plain,
        };
        Reporter::in_mode(mode)
    }

    /// A reporter that shows nothing.
    pub fn silent() -> Reporter {
        Reporter::in_mode(Mode::None)
    }

    fn in_mode(mode: Mode) -> Reporter {
        Reporter {
            mode,
            last_line: None,
            untold: None,
            began: 0.0,
            runs_began: None,
            work_began: None,
            start: "",
            told: None,
        }
    }

    /// Whether stderr holds JSON lines.
    pub fn is_json(&self) -> bool {
        self.mode == Mode::Json
    }

    /// Says what is being done now.
    pub fn stage(&self, text: &str) {
        self.line(text, || json!({"event": "stage", "message": text}));
    }

    /// Says which engine computes.
    pub fn engine(&self, chosen: &dyn Engine, why: &str) {
        let because = if why.is_empty() { String::new() } else { format!(" ({why})") };
        self.line(
            &format!("engine: {} · {}{because}", chosen.kind().name(), output::engine(chosen)),
            || json!({"event": "engine", "engine": chosen.kind().name(), "adapter": chosen.adapter()}),
        );
    }

    /// What to call at the first signal that asks to stop, such as Ctrl-C.
    pub fn interrupt_notice(&self) -> impl Fn() + Send + 'static {
        let reporter = Reporter::in_mode(self.mode);
        move || {
            let text = "stopping after this iteration; press Ctrl-C again to quit at once without saving";
            reporter.line(text, || json!({"event": "interrupt", "message": text}));
        }
    }

    /// Call this when a fit is about to start and its activations are loaded.
    pub fn fit_starts(&mut self, options: &Options) {
        self.starts(&stopping(options), options.max_iterations, options);
    }

    /// Call this when the runs of a consensus are about to start.
    pub fn runs_start(&mut self, runs: u32, iterations: u32, options: &Options) {
        self.starts(
            &format!("{runs} runs of {iterations} iterations, each from a start of its own"),
            iterations,
            options,
        );
    }

    fn starts(&mut self, text: &str, iterations: u32, options: &Options) {
        (self.last_line, self.told, self.start) = (None, None, options.init.name());
        self.stage(text);
        self.bar(iterations.into(), "{spinner} {bar:24} {pos:>3}/{len}  {msg}");
    }

    /// Shows a bar of `most` steps, if progress is shown by bars.
    fn bar(&self, most: u64, template: &str) {
        if self.mode == Mode::Bar {
            let bar = ProgressBar::with_draw_target(Some(most), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            *bar_slot() = Some(bar);
        }
    }

    /// Call this when work of several fits is about to start.
    pub fn work_starts(&mut self) {
        (self.last_line, self.work_began) = (None, None);
        self.bar(1000, "{spinner} {bar:24} {percent:>3}%  {msg}");
    }

    /// Reports what is being done, and the share of the whole work that is done. The first report says how much was done
    /// before. [`fit_ends`](Self::fit_ends) removes the bar.
    pub fn work(&mut self, text: &str, done: f64) {
        let (began, before) = *self.work_began.get_or_insert((Instant::now(), done));
        let seconds = began.elapsed().as_secs_f64();
        // A share that is too small says nothing about the rest.
        let left = (done - before > 0.005).then(|| seconds / (done - before) * (1.0 - done));
        let text = match left {
            Some(left) => format!("{text}, about {} left", duration(left)),
            None => text.to_owned(),
        };
        let bar = bar_slot().clone();
        if let Some(bar) = bar {
            bar.set_position((done * 1000.0) as u64);
            bar.set_message(text);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= WORK_INTERVAL) {
            self.last_line = Some(Instant::now());
            let event = || json!({"event": "work", "message": text, "done": done, "seconds_left": left});
            self.line(&format!("{:>3.0}%  {text}", done * 100.0), event);
        }
    }

    /// Reports the progress of a fit.
    pub fn fit_progress(&mut self, progress: &Progress) {
        match progress.stage {
            Stage::Iterate => self.iteration(progress),
            stage => self.fit_stage(stage, progress.seconds),
        }
    }

    /// A stage has begun.
    fn fit_stage(&mut self, stage: Stage, seconds: f64) {
        if stage == Stage::Start && matches!(self.told, Some(Stage::StartRuns { .. })) {
            // The line of the runs says it.
            return;
        }
        let kind = std::mem::discriminant(&stage);
        let is_new = self.told.is_none_or(|told| std::mem::discriminant(&told) != kind);
        let text = match stage {
            Stage::Measure => "measuring the activations".to_owned(),
            Stage::Start => format!("choosing the start ({})", self.start),
            Stage::WarmUp { iteration, of } => format!("warming up, {iteration} of {of}"),
            Stage::StartRuns { first, last, of } => {
                format!("choosing the starts of runs {first} to {last} of {of} ({})", self.start)
            }
            Stage::Runs { first, last, of, iteration, iterations } => {
                let done = iteration - 1;
                let RunsBegan { before, at, .. } = match self.runs_began {
                    Some(began) if began.first == first => began,
                    _ => *self.runs_began.insert(RunsBegan { first, before: done, at: seconds }),
                };
                self.position(done, iterations);
                let left = left(done - before.min(done), iterations - done, seconds - at);
                format!("runs {first} to {last} of {of}, iteration {iteration} of {iterations}{left}")
            }
            Stage::Agree => "comparing the features of the runs".to_owned(),
            Stage::KeepRun { run, of } => format!("finding the coefficients of run {run} of {of}"),
            Stage::Verify => "verifying the result".to_owned(),
            _ => return,
        };
        if stage == Stage::Verify {
            self.plain_line();
        }
        // The bar is cloned, so that the lock is free while a line is written around the bar.
        let bar = bar_slot().clone();
        match bar {
            Some(bar) => bar.set_message(text.clone()),
            None if is_new || self.last_line.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) => self.stage(&text),
            None => return,
        }
        (self.told, self.last_line) = (Some(stage), Some(Instant::now()));
    }

    /// An iteration is done.
    fn iteration(&mut self, progress: &Progress) {
        if progress.iteration == 0 {
            (self.began, self.last_line) = (progress.seconds, None);
        }
        match self.mode {
            Mode::None => {}
            Mode::Bar => {
                self.position(progress.iteration, progress.max_iterations);
                if let Some(bar) = bar_slot().as_ref().filter(|_| progress.iteration > 0) {
                    bar.set_message(words(progress, self.began));
                }
            }
            Mode::Plain => {
                if progress.iteration == 0 {
                    return;
                }
                self.untold = Some(progress.clone());
                if self.last_line.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) {
                    self.plain_line();
                }
            }
            Mode::Json => self.line("", || {
                json!({
                    "event": "iteration",
                    "iteration": progress.iteration,
                    "max_iterations": progress.max_iterations,
                    "relative_error": progress.relative_error,
                    "best_relative_error": progress.best_relative_error,
                    "dead_features": progress.dead_features,
                    "seconds": progress.seconds,
                })
            }),
        }
    }

    /// Where the bar is.
    fn position(&self, done: u32, of: u32) {
        if let Some(bar) = &*bar_slot() {
            bar.set_length(of.into());
            bar.set_position(done.into());
        }
    }

    fn plain_line(&mut self) {
        if let Some(progress) = self.untold.take() {
            self.last_line = Some(Instant::now());
            let width = progress.max_iterations.to_string().len();
            let (done, most) = (progress.iteration, progress.max_iterations);
            self.line(&format!("iteration {done:>width$}/{most}  {}", words(&progress, self.began)), || Value::Null);
        }
    }

    /// Call this when the fit is over. It removes the bar and reports the last iteration.
    pub fn fit_ends(&mut self) {
        self.plain_line();
        if let Some(bar) = bar_slot().take() {
            bar.finish_and_clear();
        }
    }

    /// The last message of a command that failed. It appears even if progress does not.
    pub fn error(&mut self, failure: &Failure) {
        self.fit_ends();
        let text = if self.mode == Mode::Json {
            let event = json!({"event": "error", "message": failure.to_string(), "exit_code": failure.exit_code()});
            terminal::json(&event.to_string())
        } else {
            let failure = terminal::line(&failure.to_string(), Marks::Escaped);
            format!("{} {failure}", output::Style::of(&std::io::stderr()).error("error:"))
        };
        // If stderr is closed, there is nowhere left to report it.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn line(&self, text: &str, event: impl FnOnce() -> Value) {
        let text = match self.mode {
            Mode::None => return,
            Mode::Json => terminal::json(&event().to_string()),
            Mode::Bar | Mode::Plain => terminal::line(text, Marks::Escaped),
        };
        // A closed stderr is no reason to stop working.
        let _ = around_bar(|| writeln!(std::io::stderr(), "{text}"));
    }
}

/// Runs `write` while the bar is out of the way.
pub fn around_bar<T>(write: impl FnOnce() -> T) -> T {
    // The bar is cloned, so that the lock is free while drawing: writing may log.
    let bar = bar_slot().clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn bar_slot() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    BAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a fit stops, in words.
fn stopping(options: &Options) -> String {
    let Options { max_iterations, tolerance, patience, .. } = options;
    if *tolerance > 0.0 {
        format!(
            "at most {max_iterations} iterations, fewer if the {} falls by less than {tolerance} of itself in {patience} \
             (--tolerance 0 runs them all)",
            options.solver.minimizes()
        )
    } else {
        format!("{max_iterations} iterations")
    }
}

/// The time left for the rest of the iterations if `done` of them took this long, or nothing before the first one is done.
fn left(done: u32, rest: u32, seconds: f64) -> String {
    if done == 0 {
        return String::new();
    }
    format!(", {} left", duration(seconds / f64::from(done) * f64::from(rest)))
}

fn words(progress: &Progress, began: f64) -> String {
    let mut text = format!("error {:.4}, best {:.4}", progress.relative_error, progress.best_relative_error);
    if progress.dead_features > 0 {
        text.push_str(&format!(", {} dead", progress.dead_features));
    }
    if progress.seconds > began && progress.iteration < progress.max_iterations {
        let rate = f64::from(progress.iteration) / (progress.seconds - began);
        let left = f64::from(progress.max_iterations.saturating_sub(progress.iteration)) / rate;
        let rate = if rate >= 1.0 { format!("{rate:.1} it/s") } else { format!("{:.1} s/it", rate.recip()) };
        text.push_str(&format!(", {rate}, at most {} left", duration(left)));
    }
    text
}
