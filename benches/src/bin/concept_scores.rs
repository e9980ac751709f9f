//! Scores the features of each solver on labelled prompts. The features are fitted on one half of the prompts and
//! scored on the other.
//!
//! `concept_scores ACTIVATIONS LABELS [SEEDS]` takes activations with `prompt_ids` (and `token_ids`), and labels as
//! `unmix concepts` reads them. It prints a JSON object for each fit, and then a Markdown table of means over the
//! seeds.

use std::error::Error;

use serde_json::json;
use unmix::{ActivationSource, CpuEngine, DenseMatrix, Engine, HostActivations, SemiNmf, Solver};
use unmix_data::{ActivationFile, OpenOptions, PromptLabels};
use unmix_interpret::concepts::{
    Baseline, ConceptLevel, ConceptScores, Labelling, Spread, StrongestRows, concept_scores,
};
use unmix_interpret::strongest_tokens;

/// Features of a fit.
const RANK: u32 = 100;
/// Strongest tokens by which the purity of a feature is judged.
const TOP: usize = 25;
/// Shuffles of the labels.
const PERMUTATIONS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (activations, labels, seeds) = match &arguments[..] {
        [activations, labels] => (activations, labels, 3),
        [activations, labels, seeds] => (activations, labels, seeds.parse()?),
        _ => return Err("usage: concept_scores ACTIVATIONS LABELS [SEEDS]".into()),
    };
    let file = ActivationFile::open(activations, &OpenOptions::default())?;
    let columns = file.token_columns()?;
    let prompt_ids = columns.prompt_ids.as_deref().ok_or("the activations have no prompt_ids")?;
    let labelling = Labelling::new(&PromptLabels::read(labels)?, prompt_ids, "neutral", ConceptLevel::Concept)?;

    let choosing = |row: &usize| labelling.choosing()[labelling.prompt_of_row()[*row] as usize];
    let rows: Vec<usize> = (0..prompt_ids.len()).filter(choosing).collect();
    let engine = CpuEngine::new();
    let half = engine.load(&gathered(&file, &rows)?)?;
    let mut table = vec![heading()];
    let mut supervised = None;
    for (name, builder) in solvers() {
        let mut found = Vec::new();
        for seed in 0..seeds {
            let fit = builder.clone().seed(seed).fit(&engine, &half)?;
            let strongest = strongest_rows(&fit.coefficients, &rows);
            let strongest = StrongestRows { rows: &strongest, token_ids: columns.token_ids.as_deref() };
            let scores = concept_scores(&file, &labelling, &fit.features, Some(&strongest), PERMUTATIONS, seed)?;
            let error = fit.summary.relative_error;
            println!(
                "{}",
                json!({
                    "solver": name,
                    "seed": seed,
                    "iterations": fit.summary.iterations,
                    "relative_error": error,
                    "summary": scores.summary,
                    "baseline": scores.baseline,
                })
            );
            found.push((error, scores));
        }
        table.push(line(name, &found));
        supervised = found.pop().map(|(_, scores)| scores.summary);
    }
    println!("\n{}", table.join("\n"));
    if let Some(summary) = supervised {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        println!(
            "| difference of means, supervised | | | {} | | | {} | | | |",
            number(summary.diff_means_s_cd_median),
            number(summary.diff_means_auc_mean)
        );
    }
    Ok(())
}

/// The solvers that are compared.
fn solvers() -> [(&'static str, SemiNmf); 4] {
    [
        ("the default", SemiNmf::new(RANK)),
        ("the default, 10 iterations", SemiNmf::new(RANK).max_iterations(10)),
        ("`projected-ls`", SemiNmf::new(RANK).solver(Solver::ProjectedLs)),
        ("as published", SemiNmf::paper(RANK)),
    ]
}

/// Some rows of a source.
fn gathered(source: &dyn ActivationSource, rows: &[usize]) -> Result<HostActivations, Box<dyn Error>> {
    let row_bytes = source.neurons() as usize * source.element().bytes();
    let mut bytes = vec![0u8; rows.len() * row_bytes];
    for (&row, out) in rows.iter().zip(bytes.chunks_exact_mut(row_bytes)) {
        source.read_rows(row as u64..row as u64 + 1, out)?;
    }
    Ok(HostActivations::from_bytes(bytes.into(), source.element(), rows.len() as u64, source.neurons())?)
}

/// The strongest tokens of each feature, as rows of the whole file.
fn strongest_rows(coefficients: &DenseMatrix, rows: &[usize]) -> Vec<Vec<usize>> {
    let strongest = strongest_tokens(coefficients, TOP);
    strongest.iter().map(|tokens| tokens.iter().map(|token| rows[token.row]).collect()).collect()
}

fn heading() -> String {
    "| | error | S_CD > 0 | S_CD, median | purity | purity or token purity | AUC | S_CD > 0, shuffled | S_CD, shuffled | \
     AUC, shuffled |\n|---|---|---|---|---|---|---|---|---|---|"
        .to_owned()
}

/// Means over the seeds, with the least and the most if a figure has them.
fn line(name: &str, found: &[(f64, ConceptScores)]) -> String {
    let spread = |figure: &dyn Fn(&(f64, ConceptScores)) -> Option<f64>| {
        let values: Vec<f64> = found.iter().filter_map(figure).collect();
        let (least, most) =
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &value| (a.min(value), b.max(value)));
        format!("{:.3} ({least:.3} to {most:.3})", values.iter().sum::<f64>() / values.len() as f64)
    };
    let chance = |figure: &dyn Fn(&Baseline) -> Spread| {
        let spreads: Vec<_> = found.iter().filter_map(|(_, scores)| scores.baseline.as_ref().map(figure)).collect();
        let mean = |value: fn(&Spread) -> f64| spreads.iter().map(value).sum::<f64>() / spreads.len() as f64;
        format!("{:.3}, 95% ≤ {:.3}", mean(|spread| spread.mean), mean(|spread| spread.p95))
    };
    let cells = [
        name.to_owned(),
        spread(&|(error, _)| Some(*error)),
        spread(&|(_, scores)| scores.summary.detects),
        spread(&|(_, scores)| scores.summary.s_cd_median),
        spread(&|(_, scores)| scores.summary.purity_mean),
        spread(&|(_, scores)| scores.summary.either_mean),
        spread(&|(_, scores)| scores.summary.auc_mean),
        chance(&|baseline| baseline.detects),
        chance(&|baseline| baseline.s_cd_median),
        chance(&|baseline| baseline.auc_mean),
    ];
    format!("| {} |", cells.join(" | "))
}
