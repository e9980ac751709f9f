//! `unmix features`: what the features of a fit react to.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use unmix_data::{FitRecord, read_fit};

use crate::failure::Failure;
use crate::feature_table::{FeatureTable, OCCURRENCES};
use crate::health_lines;
use crate::output::{self, Style, percent};
use crate::shared_args::SharedArgs;
use crate::token_text::{TextArgs, hint, read_text};
use unmix_interpret::report::{HealthLevel, health_notes};
use unmix_interpret::{
    FeatureOrder, Neuron, QUANTILES, REPRODUCIBLE, SummaryOptions, contexts, feature_summaries, health,
    in_reading_order, strongest_neurons,
};

/// Read the features of a fit: the words where each is strongest
///
/// The command needs the text of the tokens to be of use. Give either a JSON array with one string for each row
/// (--tokens), or the model's vocabulary (--vocabulary) if the activations came with a column `token_ids`. Contexts
/// stay within a prompt if the activations came with `prompt_ids`, `sequence_ids` or `positions`. Below the table, the
/// command says what you should know before you trust the features, and what to do about it.
///
/// It warns of dead features, of near copies (a cosine of 0.9), and of a neuron in more than two thirds of the
/// features. It also warns if the median feature is active at more than half of the tokens, if most features stand for
/// one token each (90% of their energy), if tokens of more than ten times the median norm hold more than half of the
/// energy, and if more than half of the tokens use no feature.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix features fit --vocabulary tokenizer.json
  unmix features fit --tokens tokens.json --feature 3,17 --top 20 --neurons")]
pub struct FeaturesArgs {
    /// The folder that `unmix fit` wrote
    #[arg(value_name = "DIR")]
    pub fit: PathBuf,

    #[command(flatten)]
    pub text: TextArgs,

    /// Contexts shown for each feature. The command looks at the 10 strongest words, or at N if that is more; --json
    /// has them all
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub top: usize,

    /// Most words of context on each side [default: as many as fit, or 8 with --json]
    #[arg(long, value_name = "W")]
    pub context: Option<usize>,

    /// Show only these features, in this order
    #[arg(long, value_name = "K", value_delimiter = ',')]
    pub feature: Vec<usize>,

    /// Order of the features
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    pub sort: Order,

    /// Show each feature's strongest neurons and their weights (for the feature scaled to unit norm)
    #[arg(long)]
    pub neurons: bool,
}

/// Order of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// What can be trusted and read: features that other runs find again first, and of these the ones whose strongest
    /// words agree
    #[default]
    Reading,
    /// Share of variance, largest first
    Share,
    /// Number of the feature
    Index,
    /// Agreement of the runs of a consensus on the feature, largest first
    Reproducibility,
}

impl Order {
    fn order(self) -> FeatureOrder {
        match self {
            Order::Reading => FeatureOrder::Reading,
            Order::Share => FeatureOrder::Share,
            Order::Index => FeatureOrder::Index,
            Order::Reproducibility => FeatureOrder::Reproducibility,
        }
    }
}

/// Neurons shown for a feature.
const NEURONS: usize = 6;

/// Runs the command.
pub fn run(args: &FeaturesArgs, shared: &SharedArgs) -> Result<(), Failure> {
    let record = read_fit(&args.fit)?;
    let fit = in_reading_order(&record);
    check_numbers(&args.feature, fit.features.rows)?;
    let advised = |error| Failure::Usage(format!("{}; fit with --runs auto", Failure::from(error)));
    args.sort.order().check(&fit).map_err(advised)?;
    let (text, source) = read_text(&args.text, &fit, &args.fit)?;
    // Features that --feature names keep the order in which they were named.
    let order = if args.feature.is_empty() { args.sort.order().of(&fit, &text) } else { args.feature.clone() };
    let summary = &fit.run.summary;
    let token_ids = fit.columns.token_ids.as_deref();
    let health = health(&fit.features, &fit.coefficients, &summary.feature_statistics, token_ids);

    if shared.json {
        let default = SummaryOptions::default();
        let options = SummaryOptions {
            contexts: args.top.max(OCCURRENCES),
            words: args.context.unwrap_or(default.words),
            ..default
        };
        let features = feature_summaries(&fit, &text, &order, &options)?;
        return output::print_json(&json!({
            "fit": output::json_path(&args.fit),
            "relative_error": summary.relative_error,
            "rank": summary.options.rank,
            "tokens": summary.tokens,
            "neurons": summary.neurons,
            "words_from": source.name(),
            "quantiles": QUANTILES,
            "health": health,
            "features": features,
        }));
    }
    let found = contexts(&fit.coefficients, &text, args.top.max(OCCURRENCES));
    let neurons = args.neurons.then(|| neurons(&fit, NEURONS)).transpose()?;
    let table = FeatureTable {
        summary,
        text: &text,
        contexts: &found,
        hints: None,
        neurons: neurons.as_deref(),
        top: args.top,
        words: args.context.unwrap_or(usize::MAX),
        width: output::width(),
        style: Style::stdout(),
    };
    let mut out = table.render(&order);
    out.push_str(&format!(
        "\n{} features of {} neurons each explain {} of {} tokens × {} neurons.\n",
        summary.options.rank,
        summary.kept_per_feature,
        percent(1.0 - summary.relative_error),
        output::thousands(summary.tokens),
        output::thousands(summary.neurons.into()),
    ));
    if let Some(consensus) = &summary.consensus {
        out.push_str(&format!(
            "Reproducible: mean cosine between the feature and the nearest feature of a consensus of half of the {} runs. A question \
             mark (below {REPRODUCIBLE}) warns of features that other runs often do not find.\n",
            consensus.runs
        ));
    }
    let notes = health_notes(&health, summary);
    out.push_str(&health_lines::lines(notes.iter().filter(|note| note.level != HealthLevel::Good), output::width()));
    out.push_str(hint(source));
    if !text.knows_prompts() {
        out.push_str("Where prompts begin is not known: the activations came without `prompt_ids` or `positions`.\n");
    }
    output::print(&out)
}

/// The strongest neurons of every feature, at most `most` for each.
fn neurons(fit: &FitRecord, most: usize) -> Result<Vec<Vec<Neuron>>, Failure> {
    Ok((0..fit.features.rows).map(|k| strongest_neurons(&fit.features, k, most)).collect::<Result<_, _>>()?)
}

/// Refuses numbers from --feature that a fit of `rank` does not have.
pub fn check_numbers(features: &[usize], rank: usize) -> Result<(), Failure> {
    match features.iter().find(|&&k| k >= rank) {
        Some(k) => Err(Failure::Usage(format!("--feature {k}: the fit has features 0 to {}", rank - 1))),
        None => Ok(()),
    }
}
