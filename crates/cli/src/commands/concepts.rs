//! `unmix concepts`: which features detect which concepts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use console::truncate_str;
use serde_json::json;
use unmix_data::{ActivationSet, FitActivations, FitRecord, PromptLabels, read_fit};
use unmix_interpret::concepts::{
    ConceptError, ConceptLevel, ConceptScores, DETECTED_P, ScoreOptions, Spread, score_fit,
};
use unmix_interpret::one_line;

use crate::activation_args::ChoiceArgs;
use crate::failure::Failure;
use crate::health_lines::warn_of_fit;
use crate::output::{self, Style, Table, percent};
use crate::shared_args::SharedArgs;
use crate::source;

/// Score how well features detect concepts, on labelled prompts
///
/// The command needs a label for each prompt, in a JSON array, JSON lines or CSV. A label has a `concept`. Optionally
/// it has the prompt's `id` (its number in `prompt_ids`; if no label has one, their order counts), a wider concept
/// `parent`, and a `split` (choose or score). Prompts labelled `neutral` are about nothing in particular.
///
/// A prompt's score for a feature is the largest cosine between one of its tokens and the feature. For each concept,
/// the command chooses the feature that ranks half of the prompts best, and scores it on the other half. AUC is its
/// area under the ROC curve (0.5 is chance). S_CD is the logarithm of its mean score on the concept's prompts over that
/// on neutral prompts. The same is done with shuffled labels, and with a direction that knows the labels, the
/// difference of mean activations (supervised).
///
/// Many features and concepts are tried, so some pair always looks good. This is why p is the share of the shuffles in
/// which any pair of a feature and a concept ranks the concept's prompts as clearly as this one, over both halves
/// together. A pair is beyond chance if p is at most 0.05. With few prompts for a concept, this takes near-perfect
/// scores.
///
/// A mean that is not above zero counts as 1e-6, so an S_CD of 10 and more only says that neutral prompts have no
/// positive cosines. Purity is the share of a feature's strongest tokens whose prompts have the same label.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix concepts fit --labels labels.jsonl
  unmix concepts fit --labels labels.csv --level parent --json
  unmix concepts fit --labels heldout.csv --activations heldout.safetensors")]
pub struct ConceptsArgs {
    /// The folder that `unmix fit` wrote
    #[arg(value_name = "DIR")]
    pub fit: PathBuf,

    /// The labels of the prompts: JSON, JSON lines or CSV
    #[arg(long, value_name = "FILE")]
    pub labels: PathBuf,

    #[command(flatten)]
    pub score: ScoreArgs,
}

/// How features are scored.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Concepts")]
pub struct ScoreArgs {
    /// Activations to score on, of the same layer and with `prompt_ids` [default: those that were fitted]: a file, a folder or an
    /// index; give the option again for more
    #[arg(long, requires = "labels", value_name = "FILE")]
    pub activations: Vec<PathBuf>,

    #[command(flatten)]
    pub choice: ChoiceArgs,

    /// The label of prompts about nothing in particular; if no prompt has it, all other concepts take their place
    #[arg(long, requires = "labels", default_value = "neutral", value_name = "NAME")]
    pub neutral: String,

    /// Score concepts, or the wider concepts that are their parents
    #[arg(long, requires = "labels", value_enum, default_value_t, value_name = "LEVEL")]
    pub level: LevelOption,

    /// Strongest tokens by which the purity of a feature is judged
    #[arg(long, requires = "labels", default_value_t = 25, value_name = "N", value_parser = at_least_one)]
    pub purity_tokens: usize,

    /// How often labels are shuffled, to show what chance gives; 0 leaves this out
    #[arg(long, requires = "labels", default_value_t = PERMUTATIONS, value_name = "N")]
    pub permutations: usize,

    /// Seed of the shuffles
    #[arg(long, requires = "labels", default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// Default number of shuffles of the labels.
pub const PERMUTATIONS: usize = 1000;

/// The levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LevelOption {
    /// Concepts
    #[default]
    Concept,
    /// Their parents
    Parent,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "a whole number of at least 1 is needed".to_owned())
}

/// Scores the features of `fit`, which is in the folder `dir`, on labelled activations: the given ones, or else those of
/// the fit.
pub fn score(fit: &FitRecord, dir: &Path, args: &ScoreArgs, labels: &PromptLabels) -> Result<Scored, Failure> {
    let activations = source::open(dir, fit, &args.activations, &args.choice, "--activations FILE")?;
    let options = ScoreOptions {
        neutral: args.neutral.clone(),
        level: match args.level {
            LevelOption::Concept => ConceptLevel::Concept,
            LevelOption::Parent => ConceptLevel::Parent,
        },
        purity_tokens: args.purity_tokens,
        permutations: args.permutations,
        seed: args.seed,
    };
    let FitActivations { source: set, columns, fitted } = &activations;
    let scores = score_fit(fit, set, columns, *fitted, labels, &options).map_err(|error| match error {
        ConceptError::NoPrompts => Failure::Usage(format!("{}: {error} with --activations FILE", set.names())),
        error => error.into(),
    })?;
    set.check_untouched()?;
    Ok(Scored { scores, fitted: *fitted, set: set.clone() })
}

/// Scores, and the activations that they were taken on.
pub struct Scored {
    /// The scores.
    pub scores: ConceptScores,
    /// Whether the activations are those that were fitted.
    pub fitted: bool,
    /// Their files.
    pub set: ActivationSet,
}

/// Runs the command.
pub fn run(args: &ConceptsArgs, shared: &SharedArgs) -> Result<(), Failure> {
    let fit = read_fit(&args.fit)?;
    warn_of_fit(&fit.run.summary);
    let labels = PromptLabels::read(&args.labels)?;
    let Scored { scores, fitted, set } = score(&fit, &args.fit, &args.score, &labels)?;
    if shared.json {
        let mut value = json!(scores);
        value["fit"] = output::json_path(&args.fit);
        value["labels"] = output::json_path(&args.labels);
        value["labels_by"] = json!(if labels.is_numbered() { "id" } else { "order" });
        value["activations"] = match set.files() {
            [only] => output::json_path(only.path()),
            several => several.iter().map(|file| output::json_path(file.path())).collect(),
        };
        value["fitted_tokens"] = json!(fitted);
        value["purity_tokens"] = json!(args.score.purity_tokens);
        value["seed"] = json!(args.score.seed);
        return output::print_json(&value);
    }
    output::print(&text(&scores, args, fitted, labels.is_numbered()))
}

fn text(scores: &ConceptScores, args: &ConceptsArgs, fitted: bool, numbered: bool) -> String {
    let style = Style::stdout();
    [
        concept_table(scores).render(style),
        summary_table(scores, args.score.purity_tokens).render(style),
        notes(scores, args, fitted, numbered),
    ]
    .join("\n")
}

/// The concepts, with the one that is found best first.
fn concept_table(scores: &ConceptScores) -> Table {
    /// Width of the numbers and their titles.
    const NUMBERS: usize = 66;
    let mut table = Table::new(&["concept", ">prompts", ">feature", ">AUC", ">p", ">S_CD", ">supervised AUC", ">S_CD"]);
    let room = output::width().saturating_sub(NUMBERS).max(12);
    let mut order: Vec<_> = scores.concepts.iter().collect();
    // Concepts without a score come last.
    order.sort_by(|a, b| b.auc.unwrap_or(-1.0).total_cmp(&a.auc.unwrap_or(-1.0)));
    for concept in order {
        table.row(vec![
            truncate_str(&one_line(&concept.concept), room, "…").into_owned(),
            concept.prompts.to_string(),
            concept.best_feature.map_or("-".to_owned(), |k| k.to_string()),
            number(concept.auc),
            number(concept.corrected_p_value),
            number(concept.s_cd),
            number(concept.diff_means.map(|score| score.auc)),
            number(concept.diff_means.map(|score| score.s_cd)),
        ]);
    }
    table
}

fn summary_table(scores: &ConceptScores, top: usize) -> Table {
    let (summary, baseline) = (&scores.summary, scores.baseline.as_ref());
    let mut table = Table::new(&["", ">found", ">by chance", ">95% of chance below"]);
    let mut row = |what: &str, found: Option<f64>, chance: Option<Spread>, show: fn(Option<f64>) -> String| {
        let (mean, p95) = (chance.map(|chance| chance.mean), chance.map(|chance| chance.p95));
        table.row(vec![what.to_owned(), show(found), show(mean), show(p95)]);
    };
    let share = |share: Option<f64>| share.map_or("-".to_owned(), percent);
    row("features with S_CD above 0", summary.detects, baseline.map(|b| b.detects), share);
    row("median S_CD of features", summary.s_cd_median, baseline.map(|b| b.s_cd_median), number);
    row("mean AUC of concepts", summary.auc_mean, baseline.map(|b| b.auc_mean), number);
    row("mean AUC of supervised directions", summary.diff_means_auc_mean, None, number);
    if summary.purity_mean.is_some() {
        row(&format!("purity of the {top} strongest tokens"), summary.purity_mean, None, share);
        row("the same for tokens instead of labels", summary.token_purity_mean, None, share);
        row("the larger of the two", summary.either_mean, None, share);
    }
    table
}

fn notes(scores: &ConceptScores, args: &ConceptsArgs, fitted: bool, numbered: bool) -> String {
    let summary = &scores.summary;
    let mut out = String::new();
    if !fitted {
        out.push_str("No purity: these are not the tokens of the fit, so their coefficients are not known.\n");
    }
    if !numbered {
        out.push_str("The labels have no ids: the first is taken for prompt 0, the next for prompt 1, and so on.\n");
    }
    out.push_str(&format!(
        "Chosen on {} prompts, scored on {}; {}.\n",
        scores.choosing_prompts,
        scores.prompts - scores.choosing_prompts,
        match scores.neutral_prompts {
            0 => format!("none is labelled {:?}, so all other concepts take their place", args.score.neutral),
            count => format!("{count} of them are neutral"),
        },
    ));
    if summary.alive < scores.features.len() {
        out.push_str(&format!("{} of {} features are alive.\n", summary.alive, scores.features.len()));
    }
    out.push_str(&beyond_chance(scores));
    out
}

/// How many pairs are beyond chance, and what that means.
fn beyond_chance(scores: &ConceptScores) -> String {
    /// With fewer shuffles, even the smallest possible p-value is above [`DETECTED_P`].
    const LEAST_PERMUTATIONS: usize = 19;
    let permutations = scores.baseline.as_ref().map_or(0, |baseline| baseline.permutations);
    if permutations < LEAST_PERMUTATIONS {
        return format!(
            "Nothing tells these scores from chance: that takes at least {LEAST_PERMUTATIONS} shuffles (--permutations N).\n"
        );
    }
    format!(
        "p: share of {} shuffles in which any of {} × {} pairs of a feature and a concept does as well.\n\
         Beyond chance (p of at most {DETECTED_P}): {} pairs, of {} features and {} concepts.\n",
        output::thousands(permutations as u64),
        scores.summary.alive,
        scores.concepts.len(),
        scores.detected.len(),
        scores.detected.iter().map(|pair| pair.feature).collect::<BTreeSet<_>>().len(),
        scores.detected.iter().map(|pair| &pair.concept).collect::<BTreeSet<_>>().len(),
    )
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}
