//! Neuronpedia: batches of features in the form that SAEDashboard's runner for Neuronpedia writes (checked with
//! SAEDashboard 0.8.0 and the package neuronpedia 1.2.1).

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};
use unmix::DenseMatrix;

use super::saelens::provenance;
use super::written::{begin, number, numbers, write_json, write_numbers};
use super::{ExportError, ScaledFit, Site, Tool, WrittenFile};
use crate::distribution::bin_of;
use crate::neurons::strongest_of;
use crate::rows::nonzeros;
use crate::{LensWords, Text, TokenLogit};

/// Features in a file. Neuronpedia takes no more at once.
const BATCH: usize = 128;
/// Features whose tokens are collected in one pass over the coefficients. It is enough for whole cache lines, and takes
/// little memory.
const COLUMNS: usize = 16;
/// Intervals of the activations' range from which examples are drawn, and bars of the histogram.
const INTERVALS: usize = 5;
const BARS: usize = 50;
/// Neurons listed for a feature.
const NEURONS: usize = 10;
/// Tokens before and after the strongest one of an example.
const BEFORE: usize = 48;
const AFTER: usize = 16;

/// How much is written for each feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeuronpediaOptions {
    /// Name of the set of features.
    pub set: String,
    /// Name of the data set that the prompts come from.
    pub dataset: String,
    /// Number of examples with the largest activations, each from another prompt.
    pub top: usize,
    /// Number of examples from each of five equal intervals of the activations.
    pub of_interval: usize,
}

impl Default for NeuronpediaOptions {
    fn default() -> Self {
        NeuronpediaOptions { set: "unmix".to_owned(), dataset: String::new(), top: 20, of_interval: 5 }
    }
}

/// Writes the folder `dir` with `batch-0.json`, `batch-1.json` and so on, each for 128 features. Of each feature it has
/// the strongest neurons, the density, a histogram, examples with the texts and activations of their tokens, the vector
/// and, if given, its `logits` (K in all).
///
/// # Errors
/// If model or layer are not given, if there are not K `logits`, if `text` has other rows than the fit, or if the
/// folder cannot be written.
pub fn neuronpedia(
    dir: &Path,
    fit: &ScaledFit,
    text: &Text,
    logits: Option<&[LensWords]>,
    site: &Site,
    options: &NeuronpediaOptions,
    force: bool,
) -> Result<Vec<WrittenFile>, ExportError> {
    let (model, layer) = site.required(Tool::Neuronpedia, None)?;
    let counts = [
        ("the list of logits", logits.map_or(fit.rank(), <[LensWords]>::len), fit.rank(), "features"),
        ("the text", text.rows(), fit.tokens(), "tokens"),
    ];
    for (what, found, expected, of) in counts {
        if found != expected {
            let (found, expected) = (format!("{found} entries long"), format!("the fit has {expected} {of}"));
            return Err(ExportError::Mismatch { what, found, expected });
        }
    }
    let features = Features { fit, text, options, prompts: prompts(text, fit.tokens()) };
    let folder = begin(dir, force, is_ours)?;
    let mut files = Vec::new();
    for first in (0..fit.rank()).step_by(BATCH) {
        let last = (first + BATCH).min(fit.rank());
        let mut batch = Vec::with_capacity(last - first);
        for start in (first..last).step_by(COLUMNS) {
            let columns = start..(start + COLUMNS).min(last);
            let active = active_rows(&fit.coefficients, columns.clone());
            let written = columns
                .into_par_iter()
                .zip(active)
                .map(|(k, rows)| features.feature(k, &rows, logits.map(|logits| &logits[k])));
            batch.par_extend(written);
        }
        let value = json!({
            "model_id": model,
            "layer": layer,
            "sae_set": options.set,
            "sae_id_suffix": null,
            "features": batch,
        });
        files.push(write_numbers(&folder, format!("batch-{}.json", first / BATCH), &value)?);
    }
    // Neuronpedia's own classes refuse unknown keys, so the scale goes to a file of its own.
    files.push(write_json(&folder, "unmix.json", &provenance(fit, None))?);
    folder.finish()?;
    Ok(files)
}

fn is_ours(name: &Path) -> bool {
    let name = name.to_str().unwrap_or_default();
    let number = name.strip_prefix("batch-").and_then(|rest| rest.strip_suffix(".json"));
    name == "unmix.json" || number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// For each of these features, the rows at which it is above zero, with the largest coefficient first. Of equals, the
/// earlier row comes first.
fn active_rows(coefficients: &DenseMatrix, columns: Range<usize>) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); columns.len()];
    for (row, values) in coefficients.values.chunks_exact(coefficients.columns).enumerate() {
        for (rows, &value) in rows.iter_mut().zip(&values[columns.clone()]) {
            if value > 0.0 {
                rows.push(row);
            }
        }
    }
    rows.par_iter_mut().zip(columns).for_each(|(rows, k)| {
        // The sort is stable: equals stay in order.
        rows.sort_by(|&a, &b| coefficients.row(b)[k].total_cmp(&coefficients.row(a)[k]));
    });
    rows
}

/// Rows of the prompts.
fn prompts(text: &Text, rows: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut row = 0;
    while row < rows {
        let prompt = text.prompt(row);
        row = prompt.end;
        found.push(prompt);
    }
    found
}

struct Features<'a> {
    fit: &'a ScaledFit,
    text: &'a Text,
    options: &'a NeuronpediaOptions,
    prompts: Vec<Range<usize>>,
}

impl Features<'_> {
    /// Feature `k`. `rows` are the tokens at which it is above zero, strongest first.
    fn feature(&self, k: usize, rows: &[usize], logits: Option<&LensWords>) -> Value {
        let none = LensWords::default();
        let logits = logits.unwrap_or(&none);
        let (words, values): (Vec<&str>, Vec<Value>) = split(&logits.promoted);
        let (low_words, low_values): (Vec<&str>, Vec<Value>) = split(&logits.suppressed);
        let (bar_values, bar_heights) = self.histogram(k, rows);
        let neurons = strongest_of(self.fit.features.row(k), NEURONS);
        let total: f64 = nonzeros(self.fit.features.row(k)).map(|(_, z)| z.abs()).sum();
        json!({
            "feature_index": k,
            "neuron_alignment_indices": neurons.iter().map(|n| n.neuron).collect::<Vec<_>>(),
            "neuron_alignment_values": numbers(neurons.iter().map(|n| n.weight)),
            "neuron_alignment_l1": neurons.iter().map(|n| f64::from(n.weight.abs()) / total).collect::<Vec<_>>(),
            "correlated_neurons_indices": [],
            "correlated_neurons_l1": [],
            "correlated_neurons_pearson": [],
            "correlated_features_indices": [],
            "correlated_features_l1": [],
            "correlated_features_pearson": [],
            "neg_str": low_words,
            "neg_values": low_values,
            "pos_str": words,
            "pos_values": values,
            "frac_nonzero": rows.len() as f64 / self.fit.tokens().max(1) as f64,
            "freq_hist_data_bar_values": bar_values,
            "freq_hist_data_bar_heights": bar_heights,
            "logits_hist_data_bar_heights": [],
            "logits_hist_data_bar_values": [],
            "n_prompts_total": self.prompts.len(),
            "n_tokens_in_prompt": self.prompts.iter().map(Range::len).max().unwrap_or(0),
            "dataset": self.options.dataset,
            "decoder_weights_dist": [],
            "activations": self.examples(k, rows),
            "vector": numbers(self.fit.features.row(k).iter().copied()),
        })
    }

    fn activation(&self, row: usize, k: usize) -> f32 {
        self.fit.coefficients.row(row)[k]
    }

    /// The middles of the bars, and the number of tokens above zero in each.
    fn histogram(&self, k: usize, rows: &[usize]) -> (Vec<Value>, Vec<u64>) {
        let Some(&first) = rows.first() else { return (Vec::new(), Vec::new()) };
        let largest = self.activation(first, k);
        let mut heights = vec![0u64; BARS];
        for &row in rows {
            heights[bin_of(self.activation(row, k), largest, BARS)] += 1;
        }
        (numbers((0..BARS).map(|bar| largest * ((bar as f32 + 0.5) / BARS as f32))), heights)
    }

    /// The strongest examples, and then some of each interval, the upper intervals first.
    fn examples(&self, k: usize, rows: &[usize]) -> Vec<Value> {
        let Some(&first) = rows.first() else { return Vec::new() };
        let largest = self.activation(first, k);
        let mut examples: Vec<Value> = self
            .one_a_prompt(rows.iter().copied(), self.options.top)
            .into_iter()
            .map(|row| self.example(k, row, (-1.0, largest, -1.0)))
            .collect();
        for interval in (0..INTERVALS).rev() {
            let within: Vec<usize> = rows
                .iter()
                .copied()
                .filter(|&row| bin_of(self.activation(row, k), largest, INTERVALS) == interval)
                .collect();
            let bound = |edge: usize| largest * (edge as f32 / INTERVALS as f32);
            let share = within.len() as f32 / rows.len() as f32;
            let bin = (bound(interval), bound(interval + 1), share);
            // Evenly spread over the interval, rather than its strongest.
            let step = (within.len() / self.options.of_interval.max(1)).max(1);
            let chosen = self.one_a_prompt(within.into_iter().step_by(step), self.options.of_interval);
            examples.extend(chosen.into_iter().map(|row| self.example(k, row, bin)));
        }
        examples
    }

    /// At most `most` rows, the first ones that lie in different prompts.
    fn one_a_prompt(&self, rows: impl Iterator<Item = usize>, most: usize) -> Vec<usize> {
        let mut seen = std::collections::HashSet::new();
        rows.filter(|&row| seen.insert(self.text.prompt(row).start)).take(most).collect()
    }

    fn example(&self, k: usize, row: usize, (low, high, share): (f32, f32, f32)) -> Value {
        let prompt = self.text.prompt(row);
        let rows = row.saturating_sub(BEFORE).max(prompt.start)..(row + AFTER + 1).min(prompt.end);
        json!({
            "bin_min": number(low),
            "bin_max": number(high),
            "bin_contains": number(share),
            "tokens": rows.clone().map(|row| self.text.raw(row..row + 1)).collect::<Vec<_>>(),
            "values": numbers(rows.clone().map(|row| self.activation(row, k))),
            "qualifying_token_index": row - rows.start,
        })
    }
}

fn split(logits: &[TokenLogit]) -> (Vec<&str>, Vec<Value>) {
    logits.iter().map(|token| (token.text.as_str(), number(token.logit as f32))).unzip()
}
