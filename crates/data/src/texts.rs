//! Many short texts in one piece of memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// Texts one after another. As separate strings, the entries of a vocabulary would take several times the memory of its
/// file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    joined: String,
    /// End of each text in `joined`. No file of texts is read that has 4 GiB.
    ends: Vec<u32>,
}

impl Texts {
    pub fn push(&mut self, text: &str) {
        self.joined.push_str(text);
        self.ends.push(u32::try_from(self.joined.len()).expect("less than 4 GiB of text"));
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.joined[start as usize..end as usize])
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

/// An array of strings.
impl<'de> serde::Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Texts, D::Error> {
        struct Strings;

        impl<'de> Visitor<'de> for Strings {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Texts, A::Error> {
                let mut texts = Texts::default();
                while entries.next_element_seed(NextText(&mut texts))?.is_some() {}
                Ok(texts)
            }
        }

        from.deserialize_seq(Strings)
    }
}

/// A string that becomes the next of the texts.
pub(crate) struct NextText<'a>(pub &'a mut Texts);

impl<'de> DeserializeSeed<'de> for NextText<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for NextText<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} to be a string", self.0.len())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.push(text);
        Ok(())
    }
}

/// The text of a vocabulary's token, cut after 1,024 bytes. If a token of megabytes were in many rows, the text of the
/// rows would be larger than any memory.
pub(crate) fn of_token(text: &str) -> &str {
    const MOST: usize = 1024;
    let end = (0..=MOST.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

/// A text in quotes for a message. A long text is cut.
pub(crate) fn quoted(text: &str) -> String {
    quoted_up_to(40, text)
}

/// The name of a tensor in quotes for a message. It is cut only if it is longer than any sensible name.
pub(crate) fn quoted_name(name: &str) -> String {
    quoted_up_to(MOST_NAME, name)
}

/// The name of a tensor for a message, as [`quoted_name`] without the quotes.
pub(crate) fn cut_name(name: &str) -> String {
    let (start, cut) = start(MOST_NAME, name);
    format!("{start}{cut}")
}

/// A library's message about a file, for a message of ours. It may quote a text of any length, so it is cut in its
/// middle: places are named at the end.
pub(crate) fn told(problem: &impl fmt::Display) -> String {
    const START: usize = 300;
    const END: usize = 100;
    let text = problem.to_string();
    let place = |index: usize| text.char_indices().nth(index).map(|(place, _)| place);
    let end = text.char_indices().rev().nth(END - 1).map_or(0, |(place, _)| place);
    match place(START) {
        Some(start) if start < end => format!("{}…{}", &text[..start], &text[end..]),
        _ => text,
    }
}

/// Longest name of a tensor in a message, in characters. Those of today's models have up to 100.
const MOST_NAME: usize = 200;

fn quoted_up_to(most: usize, text: &str) -> String {
    let (start, cut) = start(most, text);
    format!("{start:?}{cut}")
}

/// The first `most` characters of a text, and a sign if there are more.
fn start(most: usize, text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(most) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_quotes_is_cut_and_the_place_kept() {
        let text = format!("invalid value {:?} at line 1 column 7", "é".repeat(70_000));
        let told = told(&text);
        assert!(told.starts_with("invalid value \"éé") && told.ends_with("éé\" at line 1 column 7"), "{told}");
        assert_eq!(told.chars().count(), 401);
        for length in [300, 399, 400] {
            let text = "é".repeat(length);
            assert_eq!(super::told(&text), text);
        }
    }

    #[test]
    fn names_are_whole_up_to_a_length_that_no_sensible_name_has() {
        let name = "model.layers.10.mlp.experts.23.down_proj.weight";
        assert_eq!((quoted_name(name), cut_name(name)), (format!("{name:?}"), name.to_owned()));
        assert_eq!(cut_name(&"n".repeat(201)), format!("{}…", "n".repeat(200)));
    }
}
