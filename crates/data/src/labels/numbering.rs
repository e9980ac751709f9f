//! Which field of a label holds the number of its prompt, and what numbers look like.

use serde_json::Value;

use crate::texts::quoted;

/// Names of the field with a prompt's number, by their [letters], the most telling first.
const NAMES: [(&str, &str); 6] = [
    ("promptid", "prompt_id"),
    ("promptids", "prompt_ids"),
    ("sequenceid", "sequence_id"),
    ("sequenceids", "sequence_ids"),
    ("id", "id"),
    ("ids", "ids"),
];
/// What the name of a field may count, and the words for the count.
const COUNTED: [&str; 13] = [
    "", "prompt", "sequence", "row", "sample", "example", "text", "sentence", "document", "doc", "item", "record",
    "question",
];
const COUNTS: [&str; 9] = ["", "id", "ids", "index", "idx", "number", "nr", "no", "num"];
/// Fields of a label that are looked at for a count, at most.
pub const MOST_COUNTS: usize = 16;

/// The number of a label's prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// The field that it stood in, by its usual name.
    pub field: &'static str,
    /// The number.
    pub number: i64,
}

/// The field that holds the number of the prompt: its place among `names`, and its usual name.
pub fn field<'a>(names: impl Iterator<Item = &'a str>) -> Result<Option<(usize, &'static str)>, String> {
    let mut best: Option<(usize, usize, &str)> = None;
    for (place, name) in names.enumerate() {
        let letters = letters(name);
        match (NAMES.iter().position(|(usual, _)| *usual == letters), best) {
            (Some(rank), Some((least, _, other))) if rank == least => {
                return Err(format!("both {} and {} could be the id; keep one of them", quoted(other), quoted(name)));
            }
            (Some(rank), _) if best.is_none_or(|(least, ..)| rank < least) => best = Some((rank, place, name)),
            _ => {}
        }
    }
    Ok(best.map(|(rank, place, _)| (place, NAMES[rank].1)))
}

/// Whether a field of this name may number labels in some way, as the index that pandas writes does.
pub fn may_count(name: &str) -> bool {
    let letters = letters(name);
    let counts = |counted| letters.strip_prefix(counted).is_some_and(|rest| COUNTS.contains(&rest));
    letters.starts_with("unnamed") || COUNTED.into_iter().any(counts)
}

/// The whole number that a text is: `17`, and `17.0` as pandas writes it where a column has gaps.
pub fn of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok()
}

/// The whole number that a value is, as a number or as text.
pub fn of_json(value: &Value) -> Option<i64> {
    /// Beyond it, f64 leaves out whole numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::String(text) => of_text(text),
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|_| number.is_f64())?;
            (float.fract() == 0.0 && float.abs() < EXACT).then_some(float as i64)
        }),
        _ => None,
    }
}

/// What is wrong with an id that is no number.
pub fn refused(found: &str) -> String {
    format!(
        "the id is {found}, no whole number in the range of i64; write the number that the prompt has in `prompt_ids`, or leave \
         the ids of all labels out if their order counts"
    )
}

/// A field that counts labels in another order than that of the file: the first label that tells, the field and its value
/// there. Each label comes with the whole numbers among its fields that [may count](may_count).
pub fn out_of_order<'a>(labels: &[&'a [(String, i64)]]) -> Option<(usize, &'a str, i64)> {
    let names = labels.first()?.iter().map(|(name, _)| name.as_str());
    for name in names {
        let value = |label: &&[(String, i64)]| label.iter().find(|(own, _)| own == name).map(|&(_, value)| value);
        // What is a number in some labels alone is text.
        let Some(values) = labels.iter().map(value).collect::<Option<Vec<i64>>>() else { continue };
        let start = i64::from(values[0] == 1);
        let departs = |&(entry, value): &(usize, i64)| value.checked_sub(start) != i64::try_from(entry).ok();
        if let Some((entry, value)) = values.into_iter().enumerate().find(departs) {
            return Some((entry, name, value));
        }
    }
    None
}

/// The letters and digits of a name, in lower case: neither cases nor signs between words tell names apart.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_from_text_as_from_numbers() {
        for (text, number) in [("17", 17), (" 17 ", 17), ("17.0", 17), ("-1.000", -1), ("007", 7)] {
            assert_eq!(of_text(text), Some(number), "{text}");
        }
        for text in ["", "p17", "1.5", "1.", ".0", "1e3", "nan", "1,000", "9223372036854775808"] {
            assert_eq!(of_text(text), None, "{text}");
        }
        let json = |text: &str| of_json(&serde_json::from_str(text).expect("JSON"));
        assert_eq!([json("17"), json("17.0"), json("\"17\""), json("-3")], [Some(17), Some(17), Some(17), Some(-3)]);
        assert_eq!([json("1.5"), json("1e300"), json("18446744073709551615"), json("true"), json("[1]")], [None; 5]);
    }

    #[test]
    fn the_field_that_names_the_prompt_goes_before_others() {
        let found = |names: &[&str]| field(names.iter().copied());
        assert_eq!(found(&["concept", "id", "prompt_id"]), Ok(Some((2, "prompt_id"))));
        assert_eq!(found(&["Prompt ID"]), Ok(Some((0, "prompt_id"))));
        assert_eq!(found(&["concept", "index", "token_id"]), Ok(None));
        assert!(found(&["id", "ID"]).is_err());
    }

    #[test]
    fn fields_that_may_count_are_known_by_their_names() {
        for name in ["", "Unnamed: 0", "index", "idx", "row", "sample_id", "Example Index", "prompt"] {
            assert!(may_count(name), "{name}");
        }
        for name in ["concept", "annotator_id", "score", "textual"] {
            assert!(!may_count(name), "{name}");
        }
    }

    #[test]
    fn a_count_in_the_order_of_the_file_says_nothing_new() {
        let labels = |values: &[i64]| values.iter().map(|&v| vec![("index".to_owned(), v)]).collect::<Vec<_>>();
        let found = |labels: &[Vec<(String, i64)>]| {
            let labels: Vec<_> = labels.iter().map(Vec::as_slice).collect();
            let found = out_of_order(&labels);
            found.map(|(entry, name, value)| (entry, name.to_owned(), value))
        };
        assert_eq!(found(&labels(&[0, 1, 2])), None);
        assert_eq!(found(&labels(&[1, 2, 3])), None);
        assert_eq!(found(&labels(&[2, 0, 1])), Some((0, "index".to_owned(), 2)));
        assert_eq!(found(&labels(&[0, 2, 1])), Some((1, "index".to_owned(), 2)));
        assert_eq!(found(&[vec![("row".to_owned(), 5)], vec![]]), None);
        assert_eq!(found(&[]), None);
    }
}
