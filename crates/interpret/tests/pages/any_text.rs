//! Tokens may be any strings.

use proptest::prelude::*;
use unmix::DenseMatrix;
use unmix_data::TokenColumns;
use unmix_interpret::report::{ReportParts, assemble, render};
use unmix_interpret::{LensChance, LensWords, Prompts, Text, TokenLogit, contexts};

use crate::fixtures::{data_of, halves, record};

const NEURONS: usize = 5;

/// A token: any characters; bytes as GPT-2 writes them, including parts of characters; SentencePiece's single bytes;
/// WordPiece; and text that has a meaning in HTML.
fn token() -> impl Strategy<Value = String> {
    let characters = |range: std::ops::RangeInclusive<char>| prop::char::ranges(vec![range].into());
    prop_oneof![
        prop::collection::vec(any::<char>(), 0..9).prop_map(String::from_iter),
        prop::collection::vec(characters('\u{a1}'..='\u{143}'), 0..5)
            .prop_map(|c| "Ġ".to_owned() + &String::from_iter(c)),
        prop::collection::vec(characters('\u{a1}'..='\u{143}'), 0..4).prop_map(String::from_iter),
        any::<u8>().prop_map(|byte| format!("<0x{byte:02X}>")),
        "[▁ #'’a-z\n]{0,6}",
        prop::sample::select(vec![
            "",
            " ",
            "</script><script>",
            "<!--",
            "]]>",
            "&lt;",
            "\u{202e}",
            "\u{2028}",
            "\0",
            "{{data}}",
            "\\u003c",
            "\"",
            "\\",
        ])
        .prop_map(str::to_owned),
    ]
}

#[derive(Clone, Debug)]
struct Case {
    tokens: Vec<String>,
    rank: usize,
    features: Vec<f32>,
    coefficients: Vec<f32>,
    prompt_ids: Option<Vec<i64>>,
    token_ids: Option<Vec<i64>>,
    contexts: usize,
    window: usize,
}

fn case() -> impl Strategy<Value = Case> {
    (1usize..30, 1usize..10).prop_flat_map(|(tokens, rank)| {
        let column = |most: i64| prop::option::of(prop::collection::vec(0..most, tokens));
        let zero_or = |value: std::ops::Range<f32>| prop_oneof![Just(0f32), value];
        (
            prop::collection::vec(token(), tokens),
            prop::collection::vec(zero_or(-2.0..2.0), rank * NEURONS),
            prop::collection::vec(zero_or(0.0..1.0), tokens * rank),
            (column(3), column(4)),
            (0usize..6, 0usize..6),
        )
            .prop_map(move |(tokens, features, coefficients, (prompt_ids, token_ids), (contexts, window))| {
                Case { tokens, rank, features, coefficients, prompt_ids, token_ids, contexts, window }
            })
    })
}

fn check_text(case: &Case, text: &Text) -> Result<(), TestCaseError> {
    let rows = case.tokens.len();
    for row in 0..rows {
        let (prompt, word) = (text.prompt(row), text.word(row));
        prop_assert!(word.contains(&row) && word.start >= prompt.start && word.end <= prompt.end);
        prop_assert!(word.clone().all(|part| text.word(part) == word), "a word is the same from each of its rows");
        let window = text.window(word.clone(), case.window, |_| true);
        prop_assert_eq!((window.before.end, window.after.start), (word.start, word.end));
        prop_assert_eq!(window.cut, (window.before.start > prompt.start, window.after.end < prompt.end));
        let hidden = |c: char| c.is_control() || c == '\u{202e}' || c == '\u{2028}';
        prop_assert!(!text.join(word).contains(hidden));
        // Rows read in pieces equal the rows read at once.
        for end in row..=rows {
            prop_assert_eq!(text.pieces(row..end).concat(), text.raw(row..end));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tokens_become_words_contexts_and_a_page_whose_data_are_whole(case in case()) {
        let (rows, rank) = (case.tokens.len(), case.rank);
        let text = Text::new(&case.tokens, Prompts::new(rows, case.prompt_ids.as_deref(), None));
        check_text(&case, &text)?;

        let features = DenseMatrix { rows: rank, columns: NEURONS, values: case.features.clone() };
        let coefficients = DenseMatrix { rows, columns: rank, values: case.coefficients.clone() };
        for (k, found) in contexts(&coefficients, &text, case.contexts).iter().enumerate() {
            let active = (0..rows).filter(|&row| coefficients.row(row)[k] > 0.0).count();
            prop_assert!(found.occurrences.len() <= active.min(case.contexts));
            prop_assert!(found.occurrences.is_sorted_by(|a, b| a.coefficient >= b.coefficient));
            prop_assert_eq!(found.spellings.iter().map(|s| s.count).sum::<usize>(), found.occurrences.len());
        }

        let columns = TokenColumns { token_ids: case.token_ids.clone(), prompt_ids: case.prompt_ids.clone(), positions: None, ..TokenColumns::default() };
        let fit = record(features, coefficients, columns);
        let logits = |sign: f64| case.tokens.iter().map(|t| TokenLogit { text: t.clone(), logit: sign / 3.0 }).collect();
        let lens: Vec<LensWords> =
            (0..rank).map(|_| LensWords { promoted: logits(1.0), suppressed: logits(f64::NAN) }).collect();
        let report = assemble(&ReportParts {
            title: &case.tokens[0],
            fit: &fit,
            text: &text,
            labels: Some(&case.tokens),
            scores: None,
            parents: None,
            lens: Some((&lens, LensChance::default())),
            tree: Some(&halves(&fit.features)),
            beside: None,
            contexts: case.contexts,
            window: case.window,
        });
        for feature in &report.features {
            for context in &feature.contexts {
                prop_assert!(context.pieces[context.peak].strength > 0.0 && context.pieces.len() <= 2 * case.window + 1);
            }
        }
        let data = data_of(&render(&report));
        // No token here is long enough to be shortened.
        prop_assert_eq!(data["title"].as_str(), Some(case.tokens[0].as_str()));
        for (feature, read) in report.features.iter().zip(data["features"].as_array().expect("features")) {
            prop_assert_eq!(read["promoted"][0]["text"].as_str(), Some(case.tokens[0].as_str()));
            for (context, read) in feature.contexts.iter().zip(read["contexts"].as_array().expect("contexts")) {
                let pieces = read["t"].as_array().expect("places").iter();
                let tokens = pieces.map(|place| data["strings"][place.as_u64().expect("a place") as usize].as_str().expect("text"));
                prop_assert_eq!(tokens.collect::<String>(), context.pieces.iter().map(|p| p.text.as_str()).collect::<String>());
            }
        }
    }
}
