//! Which field of a label holds the number of its prompt, and how numbers are written.

use crate::texts::quoted;

/// Names of the field with a prompt's number, by their [letters]. The clearest name comes first.
const NAMES: [(&str, &str); 6] = [
    ("promptid", "prompt_id"),
    ("promptids", "prompt_ids"),
    ("sequenceid", "sequence_id"),
    ("sequenceids", "sequence_ids"),
    ("id", "id"),
    ("ids", "ids"),
];
/// Things that a field may count by its name, and words for a count.
const COUNTED: [&str; 13] = [
    "", "prompt", "sequence", "row", "sample", "example", "text", "sentence", "document", "doc", "item", "record",
    "question",
];
const COUNTS: [&str; 9] = ["", "id", "ids", "index", "idx", "number", "nr", "no", "num"];
/// Most fields of a label that are considered as a count.
pub const MOST_COUNTS: usize = 16;

/// The number of a label's prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// The field that held it, by its usual name.
    pub field: &'static str,
    /// The number.
    pub number: i64,
}

/// The field of a label that holds the number of the prompt, and what is known about the field.
#[derive(Debug)]
pub struct IdField<T> {
    best: Option<(usize, String, T)>,
}

impl<T> Default for IdField<T> {
    fn default() -> IdField<T> {
        IdField { best: None }
    }
}

impl<T> IdField<T> {
    /// Takes the field `name`, whose [`rank`] is `rank`, if it is clearer than the fields before.
    pub fn offer(&mut self, rank: usize, name: &str, field: T) -> Result<(), String> {
        match &self.best {
            Some((least, other, _)) if rank == *least => {
                Err(format!("both {} and {} could be the id; keep one of them", quoted(other), quoted(name)))
            }
            Some((least, ..)) if rank > *least => Ok(()),
            _ => {
                self.best = Some((rank, name.to_owned(), field));
                Ok(())
            }
        }
    }

    /// The clearest field, and its usual name.
    pub fn found(&self) -> Option<(&T, &'static str)> {
        self.best.as_ref().map(|(rank, _, field)| (field, NAMES[*rank].1))
    }
}

/// How much less clearly than the clearest name the name of a field says that it is an id. None for other names.
pub fn rank(name: &str) -> Option<usize> {
    let letters = letters(name);
    NAMES.iter().position(|(usual, _)| *usual == letters)
}

/// Whether a field of this name may be a count of labels, as the index that pandas writes is.
pub fn may_count(name: &str) -> bool {
    let letters = letters(name);
    let counts = |counted| letters.strip_prefix(counted).is_some_and(|rest| COUNTS.contains(&rest));
    letters.starts_with("unnamed") || COUNTED.into_iter().any(counts)
}

/// The whole number in a text: `17`, or `17.0`, which pandas writes if a column has gaps.
pub fn of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok()
}

/// What is wrong with an id that is not a number.
pub fn refused(found: &str) -> String {
    format!(
        "the id is {found}, no whole number in the range of i64; write the number that the prompt has in `prompt_ids`, or leave \
         the ids of all labels out if their order counts"
    )
}

/// The fields that count labels: those whose names [may](may_count), and that hold a whole number in each label.
#[derive(Debug, Default)]
pub struct Counts {
    fields: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    name: String,
    /// The count of the first label, if the field counts in the order of the file.
    start: i64,
    /// The first label in which it differs from that, and its value there.
    departs: Option<(usize, i64)>,
}

impl Counts {
    /// Notes the whole numbers among the fields of the label `entry`. Labels come in the order of the file.
    pub fn push(&mut self, entry: usize, values: &[(&str, i64)]) {
        if entry == 0 {
            let counted = |&(name, value): &(&str, i64)| Counted {
                name: name.to_owned(),
                start: i64::from(value == 1),
                departs: None,
            };
            self.fields = values.iter().map(counted).collect();
        }
        self.fields.retain_mut(|field| {
            // A field that is a number in only some labels is text.
            let Some(&(_, value)) = values.iter().find(|(name, _)| *name == field.name) else { return false };
            if field.departs.is_none() && value.checked_sub(field.start) != i64::try_from(entry).ok() {
                field.departs = Some((entry, value));
            }
            true
        });
    }

    /// A field that counts in another order than that of the file: the first label that shows it, the field, and its
    /// value there.
    pub fn out_of_order(&self) -> Option<(usize, &str, i64)> {
        self.fields.iter().find_map(|field| field.departs.map(|(entry, value)| (entry, field.name.as_str(), value)))
    }
}

/// The letters and digits of a name, in lower case. So neither case nor signs between words make names different.
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
    }

    #[test]
    fn the_field_that_names_the_prompt_goes_before_others() {
        let found = |names: &[&str]| {
            let mut ids = IdField::default();
            for (place, name) in names.iter().enumerate() {
                rank(name).map_or(Ok(()), |rank| ids.offer(rank, name, place))?;
            }
            Ok::<_, String>(ids.found().map(|(&place, usual)| (place, usual)))
        };
        assert_eq!(found(&["concept", "id", "prompt_id"]), Ok(Some((2, "prompt_id"))));
        assert_eq!(found(&["prompt_id", "id"]), Ok(Some((0, "prompt_id"))));
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
        let labels = |values: &[i64]| values.iter().map(|&v| vec![("index", v)]).collect::<Vec<_>>();
        let found = |labels: &[Vec<(&str, i64)>]| {
            let mut counts = Counts::default();
            labels.iter().enumerate().for_each(|(entry, values)| counts.push(entry, values));
            counts.out_of_order().map(|(entry, name, value)| (entry, name.to_owned(), value))
        };
        assert_eq!(found(&labels(&[0, 1, 2])), None);
        assert_eq!(found(&labels(&[1, 2, 3])), None);
        assert_eq!(found(&labels(&[2, 0, 1])), Some((0, "index".to_owned(), 2)));
        assert_eq!(found(&labels(&[0, 2, 1])), Some((1, "index".to_owned(), 2)));
        assert_eq!(found(&[vec![("row", 5)], vec![]]), None);
        assert_eq!(found(&[]), None);
    }
}
