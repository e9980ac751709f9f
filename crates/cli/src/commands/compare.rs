//! `unmix compare`: how much two or more fits have in common.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use unmix::{MatchedPair, Matching, match_features};
use unmix_data::{FitRecord, read_fit};
use unmix_interpret::{Contexts, Text, contexts, in_reading_order, match_by_chance};

use crate::commands::features::words_json;
use crate::failure::Failure;
use crate::feature_table::{OCCURRENCES, word_list};
use crate::output::{self, Style, Table};
use crate::shared_args::SharedArgs;
use crate::token_text::{TextArgs, read_text};

/// Compare the features of fits: how stable are they?
///
/// Matches the features of each fit with those of the first one to one, so that the sum of their cosines is largest.
/// Fits of the same activations with other seeds show which features are there whatever the start. Fits with other
/// options show what the options change. A feature that points the opposite way is another feature, because
/// coefficients are never negative. So only pairs with a cosine above 0 are counterparts.
///
/// Chance is what the same matching gives if each neuron's weights are shuffled among the features of the other fit.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix compare fit-seed-0 fit-seed-1 fit-seed-2
  unmix compare fit-100 fit-200 --vocabulary tokenizer.json --top 20")]
pub struct CompareArgs {
    /// The folder of the fit that the others are compared with, as `unmix fit` wrote it
    #[arg(value_name = "FIT")]
    pub fit: PathBuf,

    /// The folders of one or more other fits over the same neurons
    #[arg(value_name = "OTHER", required = true)]
    pub others: Vec<PathBuf>,

    #[command(flatten)]
    pub text: TextArgs,

    /// Pairs shown for each matching; --json has them all
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub top: usize,
}

/// A feature counts as found again from this cosine on.
const FOUND_AGAIN: f32 = 0.8;
/// Shuffles that show what chance gives. Each has as many pairs as the matching itself.
const SHUFFLES: usize = 3;

/// With fewer features, a shuffle has so little to shuffle that chance may reach whatever is found.
const LEAST_FEATURES: usize = 8;

/// A fit with its words, if they are known.
struct Fit<'a> {
    path: &'a Path,
    record: FitRecord,
    words: Option<Words>,
}

/// The words at which each feature is strongest.
struct Words {
    text: Text,
    of_features: Vec<Contexts>,
}

/// How a fit matches the first one.
struct Comparison<'a> {
    fit: &'a Fit<'a>,
    matching: Matching,
    chance: Vec<Matching>,
}

impl Comparison<'_> {
    /// The mean of a figure over the shuffles.
    fn by_chance(&self, figure: impl Fn(&Matching) -> f64) -> f64 {
        self.chance.iter().map(figure).sum::<f64>() / self.chance.len().max(1) as f64
    }

    fn found_again_by_chance(&self) -> f64 {
        self.by_chance(|matching| matching.at_least(FOUND_AGAIN) as f64)
    }
}

/// Runs the command.
pub fn run(args: &CompareArgs, shared: &SharedArgs) -> Result<(), Failure> {
    let first = read(&args.fit, &args.text)?;
    let others = args.others.iter().map(|path| read(path, &args.text)).collect::<Result<Vec<Fit<'_>>, _>>()?;
    let features = &first.record.features;
    for other in &others {
        if other.record.features.columns != features.columns {
            return Err(Failure::Usage(format!(
                "{}: its features are over {} neurons, those of {} over {}; only fits of one layer can be compared",
                other.path.display(),
                other.record.features.columns,
                args.fit.display(),
                features.columns
            )));
        }
    }
    let comparisons: Vec<Comparison<'_>> = others
        .iter()
        .map(|fit| {
            let matching = match_features(features, &fit.record.features)?;
            Ok(Comparison { fit, matching, chance: match_by_chance(features, &fit.record.features, SHUFFLES, 0)? })
        })
        .collect::<Result<_, unmix::Error>>()?;
    if shared.json {
        return output::print_json(&json!({
            "fit": output::json_path(&args.fit),
            "relative_error": first.record.run.summary.relative_error,
            "compared_with": comparisons.iter().map(|comparison| in_json(&first, comparison)).collect::<Vec<_>>(),
        }));
    }
    let style = Style::stdout();
    let mut out = table(&first, &comparisons).render(style);
    out.push('\n');
    for comparison in &comparisons {
        out.push_str(&sentences(comparison));
    }
    for comparison in &comparisons {
        out.push_str(&pairs(&first, comparison, args.top, style));
    }
    if first.words.is_none() {
        out.push_str("\n--vocabulary FILE or --tokens FILE shows the words of each feature.\n");
    }
    output::print(&out)
}

fn read<'a>(path: &'a Path, text: &TextArgs) -> Result<Fit<'a>, Failure> {
    let record = read_fit(path)?;
    let words = if text.tokens.is_none() && text.vocabulary.is_none() {
        None
    } else {
        let ordered = in_reading_order(&record);
        let (text, _) = read_text(text, &ordered, path)?;
        let of_features = contexts(&ordered.coefficients, &text, OCCURRENCES);
        Some(Words { text, of_features })
    };
    Ok(Fit { path, record, words })
}

fn in_json(first: &Fit<'_>, comparison: &Comparison<'_>) -> Value {
    let words = |fit: &Fit<'_>, feature: usize| {
        fit.words.as_ref().map(|words| words_json(&words.of_features[feature], &words.text))
    };
    let pair = |pair: &MatchedPair| {
        let mut value = json!(pair);
        if first.words.is_some() {
            value["first_words"] = json!(words(first, pair.first));
            value["second_words"] = json!(words(comparison.fit, pair.second));
        }
        value
    };
    let Comparison { fit, matching, .. } = comparison;
    json!({
        "fit": output::json_path(fit.path),
        "relative_error": fit.record.run.summary.relative_error,
        "possible": matching.possible,
        "stability": matching.stability(),
        "median": matching.median(),
        "found_again": matching.at_least(FOUND_AGAIN),
        "found_again_from": FOUND_AGAIN,
        "chance": {
            "stability": comparison.by_chance(Matching::stability),
            "median": comparison.by_chance(Matching::median),
            "found_again": comparison.found_again_by_chance(),
        },
        "pairs": matching.pairs.iter().map(pair).collect::<Vec<_>>(),
        "unmatched_first": matching.unmatched_first,
        "unmatched_second": matching.unmatched_second,
    })
}

/// One line for each fit.
fn table(first: &Fit<'_>, comparisons: &[Comparison<'_>]) -> Table {
    let mut table =
        Table::new(&["fit", ">features", ">error", ">mean cosine", ">median", ">by chance", ">found again"]);
    let cells = |fit: &Fit<'_>| {
        let error = format!("{:.4}", fit.record.run.summary.relative_error);
        vec![fit.path.display().to_string(), fit.record.features.rows.to_string(), error]
    };
    table.row(cells(first));
    for comparison in comparisons {
        let matching = &comparison.matching;
        let mut row = cells(comparison.fit);
        row.extend([matching.stability(), matching.median(), comparison.by_chance(Matching::stability)].map(three));
        row.push(format!("{} of {}", matching.at_least(FOUND_AGAIN), matching.possible));
        table.row(row);
    }
    table
}

/// What the numbers mean, in sentences.
fn sentences(comparison: &Comparison<'_>) -> String {
    let (matching, path) = (&comparison.matching, output::path(comparison.fit.path));
    if matching.possible == 0 {
        return format!("{path}: there is nothing to match, since one of the fits has no feature that is not zero.\n");
    }
    let found = matching.at_least(FOUND_AGAIN);
    let (mean, chance) = (matching.stability(), comparison.by_chance(Matching::stability));
    let (share, by_chance) = (found as f64 / matching.possible as f64, comparison.found_again_by_chance());
    let verdict = if matching.possible >= LEAST_FEATURES && found as f64 <= by_chance && mean <= chance {
        "That is no more than chance."
    } else if share >= 0.75 {
        "Most features do not depend on what differs between the fits."
    } else if share >= 0.25 {
        "The features that were found again do not depend on what differs between the fits; the others may."
    } else {
        "Most features depend on what differs between the fits, so read no single fit as the only answer."
    };
    format!(
        "{path}: {found} of {} features were found again, with a counterpart of a cosine of at least {FOUND_AGAIN}. \
         By chance {by_chance:.0} would be.\n\
         The cosine with the counterpart is {} on average (0 where there is none) and {} at the median.\n\
         By chance it is {} on average, with each neuron's weights shuffled among the features.\n{verdict}\n",
        matching.possible,
        three(mean),
        three(matching.median()),
        three(chance),
    )
}

/// The most similar pairs, with the words of both features if they are known.
fn pairs(first: &Fit<'_>, comparison: &Comparison<'_>, top: usize, style: Style) -> String {
    /// Width of the numbers and of the space between columns.
    const NUMBERS: usize = 5 + 2 + 6 + 2 + 6 + 4;
    let shown: Vec<&MatchedPair> = comparison.matching.pairs.iter().take(top).collect();
    if shown.is_empty() {
        return String::new();
    }
    let room = (output::width().saturating_sub(NUMBERS) / 2).max(12);
    let words = |fit: &Fit<'_>, feature: usize| {
        let words = fit.words.as_ref();
        words.map(|words| word_list(&words.of_features[feature], &words.text, room)).unwrap_or_default()
    };
    let has_words = first.words.is_some();
    let mut table = if has_words {
        Table::new(&[">first", "its words", ">second", "its words", ">cosine"])
    } else {
        Table::new(&[">first", ">second", ">cosine"])
    };
    for pair in shown {
        let (a, b) = (pair.first.to_string(), pair.second.to_string());
        let cosine = three(pair.cosine.into());
        table.row(if has_words {
            vec![a, words(first, pair.first), b, words(comparison.fit, pair.second), cosine]
        } else {
            vec![a, b, cosine]
        });
    }
    let title = style.strong(&format!("Most alike in {}", comparison.fit.path.display()));
    format!("\n{title}\n{}", table.render(style))
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}
