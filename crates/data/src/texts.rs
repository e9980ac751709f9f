//! Many short texts in one piece of memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// Texts one after another: one by one, the entries of a vocabulary would take several times the memory of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    joined: String,
    /// End of each text in `joined`.
    ends: Vec<usize>,
}

impl Texts {
    pub fn push(&mut self, text: &str) {
        self.joined.push_str(text);
        self.ends.push(self.joined.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.joined[start..end])
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

/// The text of a vocabulary's token, cut after 1,024 bytes: with a token of megabytes in many rows, the text of the rows would
/// be larger than any memory.
pub(crate) fn of_token(text: &str) -> &str {
    const MOST: usize = 1024;
    let end = (0..=MOST.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

/// A text in quotes for a message, cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 40;
    let mut rest = text.chars();
    let start: String = rest.by_ref().take(MOST).collect();
    let cut = if rest.next().is_some() { "…" } else { "" };
    format!("{start:?}{cut}")
}
