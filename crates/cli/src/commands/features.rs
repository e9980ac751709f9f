//! `unmix features`: what the features of a fit react to.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use unmix_data::{FitRecord, read_fit};

use crate::failure::Failure;
use crate::feature_table::{FeatureTable, OCCURRENCES};
use crate::health_lines;
use crate::output::{self, Style, percent};
use crate::shared_args::SharedArgs;
use crate::token_text::{TextArgs, read_text, stored_row};
use unmix_interpret::report::{HealthLevel, health_notes};
use unmix_interpret::{
    Activation, Contexts, INTERPRETED_CONTEXTS, Interpreter, Neuron, Occurrence, QUANTILES, REPRODUCIBLE,
    TOKENS_A_WORD, Text, contexts, contexts_of_tokens, distributions, health, in_reading_order, reading_order,
    strongest_neurons, strongest_tokens,
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

/// Words on each side in JSON, which has no width to limit them.
const JSON_WORDS: usize = 8;
/// Neurons shown for a feature.
const NEURONS: usize = 6;
/// Bins of the distribution of a feature's coefficients in JSON.
const JSON_BINS: usize = 32;
/// Neurons of a feature in JSON.
const JSON_NEURONS: usize = 20;

/// Runs the command.
pub fn run(args: &FeaturesArgs, shared: &SharedArgs) -> Result<(), Failure> {
    let record = read_fit(&args.fit)?;
    let fit = in_reading_order(&record);
    check_numbers(&args.feature, fit.features.rows)?;
    if args.sort == Order::Reproducibility && fit.run.summary.consensus.is_none() {
        return Err(Failure::Usage(
            "--sort reproducibility: the fit is of a single run, so nothing is known about it; fit with --runs auto"
                .to_owned(),
        ));
    }
    let (text, source) = read_text(&args.text, &fit, &args.fit)?;
    let order = order(args, &fit, &text);
    let found = contexts(&fit.coefficients, &text, args.top.max(OCCURRENCES));
    let summary = &fit.run.summary;
    let token_ids = fit.columns.token_ids.as_deref();
    let health = health(&fit.features, &fit.coefficients, &summary.feature_statistics, token_ids);

    if shared.json {
        let distributions = distributions(&fit.coefficients, JSON_BINS);
        let neurons = neurons(&fit, JSON_NEURONS)?;
        let words = args.context.unwrap_or(JSON_WORDS);
        let features: Vec<Value> = order
            .iter()
            .map(|&k| {
                let statistics = &summary.feature_statistics[k];
                let contexts: Vec<Value> = found[k]
                    .occurrences
                    .iter()
                    .map(|occurrence| {
                        let mut value = context_json(occurrence, &text, statistics.norm, words);
                        let entry = |column: &Option<Vec<i64>>| column.as_ref().map(|column| column[occurrence.row]);
                        value["row"] = json!(stored_row(&fit, occurrence.row));
                        value["token_id"] = json!(entry(&fit.columns.token_ids));
                        value["prompt"] = json!(entry(&fit.columns.prompt_ids));
                        value["position"] = json!(entry(&fit.columns.positions));
                        value
                    })
                    .collect();
                json!({
                    "feature": k,
                    "dead": summary.dead_features.contains(&(k as u32)),
                    "statistics": statistics,
                    "words": words_json(&found[k], &text),
                    "contexts": contexts,
                    "distribution": distributions[k],
                    "neurons": neurons[k],
                })
            })
            .collect();
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
            "Reproducible: mean cosine between the feature and its match in a consensus of half of the {} runs. A question mark (below \
             {REPRODUCIBLE}) warns of features that other runs often do not find.\n",
            consensus.runs
        ));
    }
    let notes = health_notes(&health, summary);
    out.push_str(&health_lines::lines(notes.iter().filter(|note| note.level != HealthLevel::Good), output::width()));
    out.push_str(source.hint());
    if !text.knows_prompts() {
        out.push_str("Where prompts begin is not known: the activations came without `prompt_ids` or `positions`.\n");
    }
    output::print(&out)
}

/// The strongest neurons of every feature, at most `most` for each.
fn neurons(fit: &FitRecord, most: usize) -> Result<Vec<Vec<Neuron>>, Failure> {
    Ok((0..fit.features.rows).map(|k| strongest_neurons(&fit.features, k, most)).collect::<Result<_, _>>()?)
}

/// The different words, for programs.
pub fn words_json(found: &Contexts, text: &Text) -> Value {
    found.spellings.iter().map(|s| json!({"word": text.join(s.word.clone()), "count": s.count})).collect()
}

/// A word in its context, for programs.
pub fn context_json(occurrence: &Occurrence, text: &Text, norm: f64, words: usize) -> Value {
    let window = text.window(occurrence.word.clone(), words, |_| true);
    json!({
        "row": occurrence.row,
        "coefficient": occurrence.coefficient,
        "strength": f64::from(occurrence.coefficient) * norm,
        "before": text.raw(window.before),
        "word": text.raw(occurrence.word.clone()),
        "after": text.raw(window.after),
    })
}

/// Refuses numbers from --feature that a fit of `rank` does not have.
pub fn check_numbers(features: &[usize], rank: usize) -> Result<(), Failure> {
    match features.iter().find(|&&k| k >= rank) {
        Some(k) => Err(Failure::Usage(format!("--feature {k}: the fit has features 0 to {}", rank - 1))),
        None => Ok(()),
    }
}

/// The features to show, in order. Those that --feature names keep the order in which they were named.
fn order(args: &FeaturesArgs, fit: &FitRecord, text: &Text) -> Vec<usize> {
    let statistics = &fit.run.summary.feature_statistics;
    let mut order: Vec<usize> = (0..fit.features.rows).collect();
    match args.sort {
        _ if !args.feature.is_empty() => return args.feature.clone(),
        Order::Index => {}
        Order::Share => order.sort_by(|&a, &b| statistics[b].explained_share.total_cmp(&statistics[a].explained_share)),
        Order::Reproducibility => {
            let agreement = |k: usize| statistics[k].reproducibility.unwrap_or(0.0);
            order.sort_by(|&a, &b| agreement(b).total_cmp(&agreement(a)));
        }
        Order::Reading => order = reading_order(statistics, &word_scores(fit, text)),
    }
    order
}

/// How far the strongest words of each feature agree, from 0 to 1.
fn word_scores(fit: &FitRecord, text: &Text) -> Vec<f64> {
    let interpreter = Interpreter::new(text, None, fit.run.seed);
    let score = |tokens: &Vec<Activation>| {
        let words = contexts_of_tokens(tokens, text, INTERPRETED_CONTEXTS).occurrences;
        let peaks: Vec<Activation> =
            words.iter().map(|word| Activation { row: word.row, coefficient: word.coefficient }).collect();
        interpreter.of(&peaks).score
    };
    strongest_tokens(&fit.coefficients, INTERPRETED_CONTEXTS * TOKENS_A_WORD).iter().map(score).collect()
}
