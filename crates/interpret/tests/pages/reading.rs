//! What a report says of features whose meaning is known: in which order they come, and what supports it.

use unmix::DenseMatrix;
use unmix_data::TokenColumns;
use unmix_interpret::report::{Report, ReportFeature, ReportParts, assemble};
use unmix_interpret::{Prompts, Text};

use crate::fixtures::{halves, record};

/// 60 prompts of 20 tokens. Prompts 0, 5, 10, … are about months, and those after them about other things.
const PROMPTS: usize = 60;
const LENGTH: usize = 20;
const TOKENS: usize = PROMPTS * LENGTH;
const RANK: usize = 6;
/// Feature of prompts about months, at ever other words.
const MONTHS: usize = 4;
/// Feature of the word “the”, which is every fifth token.
const THE: usize = 1;
/// Feature of the word “harbour”, which is once in every third prompt.
const HARBOUR: usize = 2;
/// Feature of tokens without anything in common.
const ANYWHERE: usize = 3;
/// As the feature of months, but other runs do not find it.
const DOUBTFUL: usize = 0;
/// Feature of line breaks, which end every prompt.
const BREAKS: usize = 5;

fn word(row: usize) -> String {
    match row % LENGTH {
        19 => "\n".to_owned(),
        7 if (row / LENGTH).is_multiple_of(3) => " harbour".to_owned(),
        at if at.is_multiple_of(5) => " the".to_owned(),
        _ => format!(" w{}", (row * 37) % 211),
    }
}

fn subject(prompt: usize) -> &'static str {
    ["months", "rivers", "neutral", "bread", "law"][prompt % 5]
}

/// The strength of a feature at a token. Months fade over their prompts.
fn strength(row: usize, feature: usize) -> f32 {
    let (prompt, at) = (row / LENGTH, row % LENGTH);
    let fades = 1.0 / (1.0 + (prompt + at) as f32 / 20.0);
    let is = match feature {
        MONTHS | DOUBTFUL => subject(prompt) == "months" && [3, 11, 16].contains(&at),
        THE => word(row) == " the",
        HARBOUR => word(row) == " harbour",
        BREAKS => at == 19,
        _ => (row * 7919).is_multiple_of(13),
    };
    if is { fades } else { 0.0 }
}

fn report(contexts: usize, window: usize) -> Report {
    let words: Vec<String> = (0..TOKENS).map(word).collect();
    let ids: Vec<i64> = (0..TOKENS).map(|row| (row / LENGTH) as i64).collect();
    let text = Text::new(&words, Prompts::new(TOKENS, Some(&ids), None));
    let labels: Vec<String> = ids.iter().map(|&prompt| subject(prompt as usize).to_owned()).collect();
    let identity = (0..RANK * RANK).map(|at| if at / RANK == at % RANK { 1.0 } else { 0.0 }).collect();
    let features = DenseMatrix { rows: RANK, columns: RANK, values: identity };
    let values = (0..TOKENS * RANK).map(|at| strength(at / RANK, at % RANK)).collect();
    let coefficients = DenseMatrix { rows: TOKENS, columns: RANK, values };
    let columns = TokenColumns { prompt_ids: Some(ids), ..TokenColumns::default() };
    let mut fit = record(features, coefficients, columns);
    for (k, statistics) in fit.run.summary.feature_statistics.iter_mut().enumerate() {
        statistics.reproducibility = Some(if k == DOUBTFUL { 0.4 } else { 0.9 });
        statistics.found_in = Some(if k == DOUBTFUL { 1 } else { 10 });
    }
    let tree = halves(&fit.features);
    assemble(&ReportParts {
        title: "known",
        fit: &fit,
        text: &text,
        labels: Some(&labels),
        scores: None,
        parents: None,
        lens: None,
        tree: Some(&tree),
        beside: None,
        contexts,
        window,
    })
}

fn feature(report: &Report, number: usize) -> &ReportFeature {
    report.features.iter().find(|feature| feature.number == number).expect("in the report")
}

#[test]
fn what_can_be_trusted_and_read_comes_first() {
    let report = report(20, 4);
    let order: Vec<usize> = report.features.iter().map(|feature| feature.number).collect();
    // A subject says more than a word, a rare word more than a frequent one, and what other runs do not find comes last.
    assert_eq!(order, [MONTHS, HARBOUR, BREAKS, THE, ANYWHERE, DOUBTFUL]);
    let agreement = |number: usize| feature(&report, number).interpretability.clone().expect("texts");
    let months = agreement(MONTHS).subject.expect("a subject");
    assert_eq!((months.what.as_str(), months.contexts), ("months", months.of));
    assert!(months.p_value <= 0.01 && months.chance < 0.5, "{months:?}");
    assert_eq!(agreement(DOUBTFUL), agreement(MONTHS));
    assert_eq!(agreement(HARBOUR).word.expect("a word").what, "harbour");
    assert_eq!(agreement(BREAKS).word.expect("a word").what, "line break");
    assert_eq!(agreement(ANYWHERE).score, 0.0);
    assert_eq!(feature(&report, BREAKS).words[0].word, "line break");
    assert_eq!(feature(&report, DOUBTFUL).found_in, Some(1));
}

#[test]
fn examples_cover_the_whole_range_and_no_context_comes_twice() {
    let report = report(12, 2);
    for number in [MONTHS, THE, ANYWHERE, BREAKS] {
        let found = feature(&report, number);
        let used = (0..TOKENS).filter(|&row| strength(row, number) > 0.0);
        let largest = used.clone().map(|row| strength(row, number)).fold(0.0, f32::max);
        if used.clone().count() < 40 {
            assert!(found.bands.is_empty());
            continue;
        }
        let mut texts: Vec<String> = Vec::new();
        let text = |c: &unmix_interpret::report::Context| c.pieces.iter().map(|p| p.text.as_str()).collect::<String>();
        texts.extend(found.contexts.iter().map(text));
        for band in &found.bands {
            let inside = |row: usize| {
                let share = f64::from(strength(row, number)) / f64::from(largest);
                share > band.range[0] && share <= band.range[1]
            };
            assert_eq!(
                band.tokens,
                used.clone().filter(|&row| inside(row)).count() as u64,
                "{number} {:?}",
                band.range
            );
            assert!(band.contexts.len() <= 4 && band.contexts.is_sorted_by(|a, b| a.coefficient >= b.coefficient));
            for context in &band.contexts {
                let share = context.coefficient / f64::from(largest);
                assert!(share > band.range[0] && share <= band.range[1], "{share} in {:?}", band.range);
            }
            texts.extend(band.contexts.iter().map(text));
        }
        assert!(texts.len() > found.contexts.len(), "{number}: the weaker tokens have examples");
        let all = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all, "{number}: every text is shown once");
    }
}

#[test]
fn features_of_a_token_are_counted_and_groups_cohere_only_if_their_contexts_do() {
    let report = report(20, 4);
    let active = report.active_features.as_ref().expect("tokens");
    let count = |row: usize| (0..RANK).filter(|&k| strength(row, k) > 0.0).count();
    let mut counts: Vec<usize> = (0..TOKENS).map(count).collect();
    counts.sort_unstable();
    assert_eq!(active.median, counts[TOKENS / 2 - 1] as u64);
    assert_eq!(active.tokens.iter().sum::<u64>(), TOKENS as u64);
    for (index, node) in report.tree[0].nodes.iter().enumerate() {
        let agreements = node.interpretability.as_ref().expect("texts");
        let half = [&agreements.subject, &agreements.word].into_iter().flatten().any(|a| 2 * a.contexts >= a.of);
        assert_eq!(node.coheres, half && node.children.len() > 1, "group {index}");
    }
    assert!(report.tree.iter().flat_map(|level| &level.nodes).any(|node| !node.coheres));
}
