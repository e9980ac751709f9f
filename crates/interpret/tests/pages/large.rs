//! Reports of many features over many tokens.

use std::time::Instant;

use unmix::DenseMatrix;
use unmix_data::{FitRecord, TokenColumns};
use unmix_interpret::report::{ReportParts, assemble, render};
use unmix_interpret::{Prompts, Text};

use crate::fixtures::{data_of, halves, record};

const TOKENS: usize = 100_000;
const RANK: usize = 400;
const NEURONS: usize = 1536;
/// Tokens of a prompt.
const PROMPT: usize = 97;
/// Different tokens.
const VOCABULARY: u64 = 5000;

/// A fixed scatter of 0..most.
fn scatter(seed: usize, most: u64) -> u64 {
    let mut bits = (seed as u64).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 31;
    (bits.wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) % most
}

/// Features of 46 neurons, each active at about two of a hundred tokens.
fn fit() -> FitRecord {
    let mut z = vec![0f32; RANK * NEURONS];
    for (k, row) in z.chunks_exact_mut(NEURONS).enumerate() {
        for i in 0..46 {
            row[scatter(100 * k + i, NEURONS as u64) as usize] = scatter(77 * k + i, 1000) as f32 / 500.0 - 1.0;
        }
    }
    let mut y = vec![0f32; TOKENS * RANK];
    for (row, values) in y.chunks_exact_mut(RANK).enumerate() {
        for i in 0..8 {
            values[scatter(8 * row + i, RANK as u64) as usize] = (1 + scatter(13 * row + i, 1000)) as f32 / 1e5;
        }
    }
    let columns = TokenColumns {
        token_ids: Some((0..TOKENS).map(|row| scatter(row, VOCABULARY) as i64).collect()),
        prompt_ids: Some((0..TOKENS).map(|row| (row / PROMPT) as i64).collect()),
        positions: None,
        rows: None,
    };
    record(
        DenseMatrix { rows: RANK, columns: NEURONS, values: z },
        DenseMatrix { rows: TOKENS, columns: RANK, values: y },
        columns,
    )
}

#[test]
fn a_report_of_400_features_over_100_000_tokens_takes_less_than_10_seconds_and_20_mb() {
    let fit = fit();
    let start = Instant::now();
    let words: Vec<String> = (0..TOKENS).map(|row| format!(" w{:x}", scatter(row, VOCABULARY))).collect();
    let labels: Vec<String> = (0..TOKENS).map(|row| format!("concept {}", row / PROMPT % 30)).collect();
    let text = Text::new(&words, Prompts::new(TOKENS, fit.columns.prompt_ids.as_deref(), None));
    let tree = halves(&fit.features);
    let report = assemble(&ReportParts {
        title: "large",
        fit: &fit,
        text: &text,
        labels: Some(&labels),
        scores: None,
        parents: None,
        lens: None,
        tree: Some(&tree),
        beside: None,
        contexts: 20,
        window: 12,
    });
    let assembled = start.elapsed();
    let page = render(&report);
    let seconds = start.elapsed().as_secs_f64();
    println!("assembled in {assembled:.2?}, rendered after {seconds:.2} s, {} bytes", page.len());
    assert!(report.features.iter().all(|feature| feature.contexts.len() == 20 && feature.words.len() > 3));
    assert_eq!(data_of(&page)["features"].as_array().map(Vec::len), Some(RANK));
    assert!(page.len() < 20_000_000, "{} bytes", page.len());
    assert!(seconds < 10.0, "{seconds} s");
}
