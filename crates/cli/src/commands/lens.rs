//! `unmix lens`: the tokens that features make a model say.

use std::path::PathBuf;

use clap::Args;
use console::{measure_text_width, truncate_str};
use serde_json::json;
use unmix::DenseMatrix;
use unmix_data::{FitRecord, read_fit};
use unmix_interpret::{
    Contexts, LensReading, NormKind, Readout, Text, TokenIdLogit, VocabularyWords, contexts, in_reading_order,
    named_words, one_line, single_neurons,
};

use crate::commands::features::check_numbers;
use crate::failure::Failure;
use crate::feature_table::{OCCURRENCES, word_list};
use crate::health_lines::warn_of_fit;
use crate::model::ModelArgs;
use crate::output::{self, Style};
use crate::shared_args::SharedArgs;
use crate::token_text::{TextArgs, read_text};

/// Read what features make the model say: the tokens that each promotes and suppresses
///
/// Each feature goes through the MLP's down-projection, the model's final norm and the unembedding (the logit lens). A
/// feature may react to one thing and promote another: a feature of "nothing" and "something" may promote "else". If
/// the text of the tokens is known (--tokens, or --vocabulary and token ids), the words at which a feature is strongest
/// stand above those that it promotes. Late layers write for the output, and there the tokens often make sense. In
/// early layers they rarely do.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix lens fit --model SmolLM2-135M --layer 12 --vocabulary SmolLM2-135M/tokenizer.json
  unmix lens fit --model down_proj.safetensors --model unembedding.safetensors --norm rms --vocabulary vocab.json
  unmix lens fit --model pythia-160m --layer 6 --neuron 12,700 --top 20 --json")]
pub struct LensArgs {
    /// The folder that `unmix fit` wrote
    #[arg(value_name = "DIR")]
    pub fit: PathBuf,

    #[command(flatten)]
    pub text: TextArgs,

    /// Show only these features, in this order
    #[arg(long, value_name = "K", value_delimiter = ',')]
    pub feature: Vec<usize>,

    /// Show these single neurons, for comparison
    #[arg(long, value_name = "J", value_delimiter = ',')]
    pub neuron: Vec<usize>,

    /// Tokens in each list
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub top: usize,

    #[command(flatten)]
    pub model: ModelArgs,
}

/// Runs the command.
pub fn run(args: &LensArgs, shared: &SharedArgs) -> Result<(), Failure> {
    let record = read_fit(&args.fit)?;
    warn_of_fit(&record.run.summary);
    let fit = in_reading_order(&record);
    let features = &fit.features;
    check_numbers(&args.feature, features.rows)?;
    let all = args.feature.is_empty() && args.neuron.is_empty();
    let chosen: Vec<usize> = if all { (0..features.rows).collect() } else { args.feature.clone() };
    let neurons = single_neurons(&args.neuron, features.columns)?;
    let values = chosen.iter().flat_map(|&k| features.row(k)).copied().chain(neurons.values).collect();
    let rows = DenseMatrix { rows: chosen.len() + neurons.rows, columns: features.columns, values };

    let words = args.text.words()?;
    let readout = args.model.readout(features.columns, &fit.run.input.origin, &words)?;
    let active = active(args, &fit)?;
    let readings = readout.read(&readout.directions(&rows)?, args.top)?;
    let (of_features, of_neurons) = readings.split_at(chosen.len());

    if shared.json {
        let entry = |key: &str, number: usize, reading: &LensReading| {
            let mut value = json!(reading.named(&words));
            value[key] = number.into();
            value
        };
        let feature = |(&k, reading): (&usize, &LensReading)| {
            let mut value = entry("feature", k, reading);
            value["words"] = json!(active.as_ref().map(|(text, found)| named_words(&found[k], text)));
            value
        };
        let neuron = |(&j, reading): (&usize, &LensReading)| entry("neuron", j, reading);
        return output::print_json(&json!({
            "fit": output::json_path(&args.fit),
            "model": args.model.model.iter().map(|path| output::json_path(path)).collect::<Vec<_>>(),
            "tensors": readout.names(),
            "tokens": readout.tokens(),
            "padding": readout.padding(),
            "width": readout.width(),
            "vocabulary": args.text.vocabulary.as_deref().map(output::json_path),
            "features": chosen.iter().zip(of_features).map(feature).collect::<Vec<_>>(),
            "neurons": args.neuron.iter().zip(of_neurons).map(neuron).collect::<Vec<_>>(),
        }));
    }
    let style = Style::stdout();
    let mut out = style.strong(&format!("{:>8}  {:>10}  {:>7}  tokens, strongest first", "#", "", "logit")) + "\n";
    let width = output::width();
    for (k, reading) in chosen.iter().zip(of_features) {
        let shown = active.as_ref().map(|(text, found)| word_list(&found[*k], text, width.saturating_sub(NUMBERS)));
        out.push_str(&lines(&k.to_string(), shown.as_deref(), reading, &words, width, style));
    }
    for (j, reading) in args.neuron.iter().zip(of_neurons) {
        out.push_str(&lines(&format!("neuron {j}"), None, reading, &words, width, style));
    }
    out.push_str(&summary(&readout));
    if args.text.vocabulary.is_none() {
        out.push_str("Numbers are token ids; --vocabulary FILE shows words.\n");
    }
    output::print(&out)
}

/// The text of the tokens, if it is known, and where each feature is active in it.
fn active(args: &LensArgs, fit: &FitRecord) -> Result<Option<(Text, Vec<Contexts>)>, Failure> {
    // A vocabulary alone is still enough to show which tokens are promoted.
    if args.text.tokens.is_none() && (args.text.vocabulary.is_none() || fit.columns.token_ids.is_none()) {
        return Ok(None);
    }
    let (text, _) = read_text(&args.text, fit, &args.fit)?;
    let found = contexts(&fit.coefficients, &text, OCCURRENCES);
    Ok(Some((text, found)))
}

/// Width of the columns before the tokens.
const NUMBERS: usize = 8 + 2 + 10 + 2 + 7 + 2;
/// Most columns for one token.
const TOKEN: usize = 24;

/// The lines of one feature or neuron: the words where it is active, if they are known, and what it promotes and suppresses.
fn lines(
    label: &str,
    active: Option<&str>,
    reading: &LensReading,
    words: &VocabularyWords,
    width: usize,
    style: Style,
) -> String {
    let Some(strongest) = reading.promoted.first().zip(reading.suppressed.first()) else {
        return format!("{label:>8}  {}\n", style.faint("(nothing: it is zero, or no tokens were asked for)"));
    };
    let (label, active) = match active {
        Some(active) => ("", format!("{label:>8}  {:<10}  {:>7}  {active}\n", "active at", "")),
        None => (label, String::new()),
    };
    let line = |label: &str, what: &str, logit: f32, tokens: &[TokenIdLogit], strong: bool| {
        let mut list = String::new();
        for token in tokens {
            let word = truncate_str(&words.shown(token.token_id), TOKEN, "…").into_owned();
            let longer = if list.is_empty() { word } else { format!("{list}  {word}") };
            if measure_text_width(&longer) > width.saturating_sub(NUMBERS) {
                break;
            }
            list = longer;
        }
        let list = if strong { style.strong(&list) } else { style.faint(&list) };
        format!("{label:>8}  {what:<10}  {logit:>+7.2}  {list}\n")
    };
    active
        + &line(label, "promotes", strongest.0.logit, &reading.promoted, true)
        + &line("", "suppresses", strongest.1.logit, &reading.suppressed, false)
}

/// What the numbers mean, below the table.
fn summary(readout: &Readout) -> String {
    let names = readout.names();
    // As f32, because 1e-5 is often stored as 9.999999747e-6.
    let epsilon = names.epsilon as f32;
    let norm = match names.norm {
        NormKind::None => "no norm".to_owned(),
        NormKind::Rms => format!("RMS norm (ε = {epsilon:e})"),
        NormKind::RmsPlusOne => format!("RMS norm with weights 1 + w (ε = {epsilon:e})"),
        NormKind::Layer => format!("layer norm (ε = {epsilon:e})"),
        NormKind::LayerPlusOne => format!("layer norm with weights 1 + w (ε = {epsilon:e})"),
    };
    let mut weights = vec![one_line(&names.down_projection)];
    weights.extend(names.post_norms.iter().map(|name| one_line(name)));
    weights.push(norm);
    weights.push(one_line(&names.unembedding));
    weights.extend(names.unembedding_bias.as_ref().map(|name| one_line(name)));
    if names.logit_scale != 1.0 {
        weights.push(format!("logits × {}", names.logit_scale as f32));
    }
    weights.extend(names.logit_cap.map(|cap| format!("logits capped at ±{cap}")));
    let padding = match readout.padding() {
        0 => String::new(),
        rows => format!(" {} rows of the unembedding stand for no token.", output::thousands(rows as u64)),
    };
    format!(
        "\nThe logit is the first token's, above the mean of all {} tokens.{padding} A dot stands for a blank.\n\
         Weights: {}.\n",
        output::thousands(readout.tokens() as u64),
        weights.join(", "),
    )
}
