//! `unmix compare`: how much two fits, or more, have in common.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use unmix_data::{FitRecord, read_fit};
use unmix_interpret::{Matching, match_features};

use crate::cli::SharedArgs;
use crate::failure::Failure;
use crate::output::{self, Style, Table, percent};

/// Compare the features of fits: how stable are they?
///
/// Matches the features of each fit with those of the first, one to one, so that the sum of their |cosine| is largest. Fits
/// of the same activations with other seeds tell which features are there whatever the start; fits with other options, what
/// the options change.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix compare fit-seed-0 fit-seed-1 fit-seed-2
  unmix compare fit-100 fit-200 --top 20")]
pub struct CompareArgs {
    /// The folders that `unmix fit` wrote, two or more, over the same neurons
    #[arg(value_name = "DIR", num_args = 2..)]
    pub fits: Vec<PathBuf>,

    /// Pairs shown of each matching; --json has them all
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub top: usize,
}

/// From this |cosine| on, a feature counts as found again.
const FOUND_AGAIN: f32 = 0.9;

/// Runs the command.
pub fn run(args: &CompareArgs, shared: &SharedArgs) -> Result<(), Failure> {
    let fits = args.fits.iter().map(read_fit).collect::<Result<Vec<FitRecord>, _>>()?;
    let (first, others) = fits.split_first().ok_or_else(|| Failure::Usage("two fits are needed".to_owned()))?;
    for (path, other) in args.fits[1..].iter().zip(others) {
        if other.features.columns != first.features.columns {
            return Err(Failure::Usage(format!(
                "{}: its features are over {} neurons, those of {} over {}; only fits of one layer can be compared",
                path.display(),
                other.features.columns,
                args.fits[0].display(),
                first.features.columns
            )));
        }
    }
    let matchings: Vec<Matching> =
        others.iter().map(|other| match_features(&first.features, &other.features)).collect();
    if shared.json {
        let comparisons: Vec<_> = matchings
            .iter()
            .zip(args.fits[1..].iter().zip(others))
            .map(|(matching, (path, other))| {
                json!({
                    "fit": path,
                    "relative_error": other.run.summary.relative_error,
                    "stability": matching.stability(),
                    "found_again": matching.at_least(FOUND_AGAIN),
                    "pairs": matching.pairs,
                    "unmatched_first": matching.unmatched_first,
                    "unmatched_second": matching.unmatched_second,
                })
            })
            .collect();
        return output::print_json(&json!({
            "fit": args.fits[0],
            "relative_error": first.run.summary.relative_error,
            "compared_with": comparisons,
        }));
    }
    let style = Style::stdout();
    let mut table = Table::new(&["fit", ">features", ">error", ">stability", ">found again"]);
    let cells = |path: &PathBuf, fit: &FitRecord| {
        let error = format!("{:.4}", fit.run.summary.relative_error);
        vec![path.display().to_string(), fit.features.rows.to_string(), error]
    };
    let mut row = cells(&args.fits[0], first);
    row.extend([String::new(), String::new()]);
    table.row(row);
    for ((path, other), matching) in args.fits[1..].iter().zip(others).zip(&matchings) {
        let mut row = cells(path, other);
        row.push(format!("{:.3}", matching.stability()));
        row.push(percent(matching.at_least(FOUND_AGAIN) as f64 / matching.pairs.len().max(1) as f64));
        table.row(row);
    }
    let mut out = table.render(style);
    out.push_str(&format!(
        "\nstability    mean |cosine| of the features with their counterparts in {}\n\
         found again  share of the pairs with |cosine| of at least {FOUND_AGAIN}\n",
        args.fits[0].display()
    ));
    for (path, matching) in args.fits[1..].iter().zip(&matchings) {
        let shown: Vec<_> = matching.pairs.iter().take(args.top).collect();
        if shown.is_empty() {
            continue;
        }
        out.push_str(&format!("\n{}\n", style.strong(&format!("Most alike in {}", path.display()))));
        let mut table = Table::new(&[">first", ">second", ">cosine"]);
        for pair in shown {
            table.row(vec![pair.first.to_string(), pair.second.to_string(), format!("{:+.3}", pair.cosine)]);
        }
        out.push_str(&table.render(style));
    }
    output::print(&out)
}
