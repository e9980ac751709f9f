//! The summary of a fit that is printed at its end.

use std::path::Path;

use unmix::{FitSummary, StopReason};
use unmix_data::{FitRecord, shell_word};

use crate::output::{Style, Table, bytes, duration, percent, thousands};

/// The result in a table.
pub fn summary(record: &FitRecord, out: &Path) -> String {
    let (run, s) = (&record.run, &record.run.summary);
    let mut table = Table::new(&["", ""]);
    let style = Style::stdout();
    let mut fact = |name: &str, text: String| table.row(vec![name.to_owned(), text]);
    let explained = percent(1.0 - s.relative_error);
    fact("relative error", format!("{} ({explained} explained)", style.strong(&format!("{:.6}", s.relative_error))));
    if let Some(consensus) = &s.consensus {
        let found = s.feature_statistics.iter().filter(|f| f.found_in.is_some_and(|runs| 2 * runs > consensus.runs));
        let (runs, iterations) = (consensus.runs, consensus.iterations_each);
        fact("runs", format!("{runs} of {iterations} iterations, which agree to {:.2}", consensus.stability));
        fact(
            "reproducible",
            format!("{} of {} features are in more than half of the runs", found.count(), s.options.rank),
        );
    }
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
    fact("next", format!("unmix features {} {text}", shell_word(out)));
    table.render(style)
}

fn why(summary: &FitSummary) -> String {
    let options = &summary.options;
    match summary.stop_reason {
        StopReason::Converged => {
            let what = options.solver.minimizes();
            format!("the {what} fell by less than {} of itself in {}", options.tolerance, options.patience)
        }
        StopReason::MaxIterations if summary.consensus.is_some() => {
            "of the coefficients and values at the end".to_owned()
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
