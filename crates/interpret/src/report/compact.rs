//! The report in the form that the page's script reads. It is JSON in which tokens of contexts are indices into a table
//! of strings, strengths are two hexadecimal digits, numbers have six digits, and no string is long.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::model::Report;
use crate::REPRODUCIBLE;

/// Most characters of a token that are shown.
const TOKEN: usize = 60;
/// Most characters of any other text that are shown.
const TEXT: usize = 400;

/// The page's data.
pub fn page_data(report: &Report) -> Value {
    let mut table = Table::default();
    // One feature at a time, because a context takes far more memory on its way than in the end.
    let features: Vec<Value> = report.features.iter().map(|feature| table.value(feature)).collect();
    let tree: Vec<Value> = report
        .tree
        .iter()
        .map(|level| {
            let nodes: Vec<Value> = level.nodes.iter().map(|node| table.value(node)).collect();
            json!({"name": table.value(&level.name), "nodes": nodes})
        })
        .collect();
    json!({
        "title": table.value(&report.title),
        "id": table.value(&report.id),
        "reproducible_from": REPRODUCIBLE,
        "run": table.value(&report.run),
        "groups": table.value(&report.groups),
        "features": features,
        "tree": tree,
        "concepts": table.value(&report.concepts),
        "concept_chance": table.value(&report.concept_chance),
        "active_features": table.value(&report.active_features),
        "lens_chance": table.value(&report.lens_chance),
        "beside": table.value(&report.beside),
        "health": table.value(&report.health),
        "strings": table.strings,
    })
}

/// The different tokens of all contexts.
#[derive(Default)]
struct Table {
    strings: Vec<String>,
    places: HashMap<String, usize>,
}

impl Table {
    fn value(&mut self, part: &impl Serialize) -> Value {
        // Plain structs with string keys always convert to a value.
        self.shorten(serde_json::to_value(part).unwrap_or_default())
    }

    fn shorten(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(cut(text, TEXT)),
            Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
                Some(number) => six_digits(number),
                None => Value::Number(number),
            },
            Value::Array(values) => values.into_iter().map(|value| self.shorten(value)).collect(),
            Value::Object(mut map) => {
                if let Some(Value::Array(pieces)) = map.remove("pieces") {
                    self.pieces(&pieces, &mut map);
                }
                let is_token = map.contains_key("logit");
                map.into_iter()
                    .map(|(key, value)| match value {
                        Value::String(text) if is_token => (key, Value::String(cut(text, TOKEN))),
                        value => (key, self.shorten(value)),
                    })
                    .collect::<Map<String, Value>>()
                    .into()
            }
            other => other,
        }
    }

    /// Adds `t`, the places of the tokens in the table, and `s`, two digits for each of their strengths.
    fn pieces(&mut self, pieces: &[Value], context: &mut Map<String, Value>) {
        let mut digits = String::with_capacity(2 * pieces.len());
        let mut tokens = Vec::with_capacity(pieces.len());
        for piece in pieces {
            tokens.push(self.place(piece["text"].as_str().unwrap_or_default()));
            let strength = piece["strength"].as_f64().unwrap_or(0.0).clamp(0.0, 1.0) * 255.0;
            // Activity above zero is never rounded to zero.
            let step = if strength > 0.0 { strength.round().max(1.0) } else { 0.0 };
            digits.push_str(&format!("{:02x}", step as u8));
        }
        context.insert("t".to_owned(), tokens.into());
        context.insert("s".to_owned(), digits.into());
    }

    fn place(&mut self, token: &str) -> usize {
        if let Some(&place) = self.places.get(token) {
            return place;
        }
        self.strings.push(cut(token.to_owned(), TOKEN));
        self.places.insert(token.to_owned(), self.strings.len() - 1);
        self.strings.len() - 1
    }
}

/// The beginning of a long text, with a mark that says how much is missing.
fn cut(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        // If the mark were as long as what it replaces, the text is kept.
        Some((end, _)) if text.chars().count() > characters + 30 => {
            let missing = text[end..].chars().count();
            format!("{}… (+{missing} characters)", &text[..end])
        }
        _ => text,
    }
}

fn six_digits(number: f64) -> Value {
    // In exponential notation, which JSON has and which keeps the digits at every magnitude.
    let short: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    if short.fract() == 0.0 && short.abs() < 1e6 { json!(short as i64) } else { json!(short) }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Context, Piece, ReportFeature, TokenLogit};
    use super::*;

    #[test]
    fn tokens_share_a_table_and_strengths_are_two_digits() {
        let piece = |text: &str, strength| Piece { text: text.to_owned(), strength };
        let pieces = vec![piece("a", 0.0), piece("b", 1.0), piece("a", 1e-6), piece("b", f32::NAN), piece("c", 0.5)];
        let feature =
            ReportFeature { contexts: vec![Context { pieces, ..Context::default() }], ..ReportFeature::default() };
        let data = page_data(&Report { features: vec![feature], ..Report::default() });
        assert_eq!(data["strings"], json!(["a", "b", "c"]));
        assert_eq!(data["features"][0]["contexts"][0]["t"], json!([0, 1, 0, 1, 2]));
        assert_eq!(data["features"][0]["contexts"][0]["s"], "00ff010080");
    }

    #[test]
    fn long_tokens_are_cut_with_a_mark() {
        let promoted = vec![TokenLogit { text: "é".repeat(100_000), logit: f64::NAN }];
        let feature = ReportFeature { promoted, ..ReportFeature::default() };
        let data = page_data(&Report { features: vec![feature], ..Report::default() });
        let entry = &data["features"][0]["promoted"][0];
        assert_eq!(entry["text"], format!("{}… (+99940 characters)", "é".repeat(60)));
        assert_eq!(entry["logit"], Value::Null);
    }

    #[test]
    fn numbers_keep_six_digits_at_any_magnitude() {
        let written: Vec<String> =
            [0.123456789, -1234567.8, 1e-300, 3.0, 1e300, 0.0].map(|v| six_digits(v).to_string()).into();
        assert_eq!(written, ["0.123457", "-1234570.0", "1e-300", "3", "1e+300", "0"]);
    }
}
