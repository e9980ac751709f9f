//! Texts with their ids, as files list them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::texts::{NextText, Texts, quoted};

/// Decides which text an id means if several are listed under it: the one with the lowest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A token added to a model, under the id that the tokenizers library gives it.
    Added,
    /// An entry of the model.
    Model,
    /// A token added to a model, under the id that the file states.
    Stated,
}

/// Texts, each with one or more ids.
///
/// They are read from an object that maps texts to ids, or from an array of \[text, …\] whose index is the id.
#[derive(Debug, Default)]
pub struct Entries {
    pub texts: Texts,
    /// Id and place in `texts`.
    pub ids: Vec<(i64, Rank, u32)>,
}

/// Two texts of one model have the same id.
#[derive(Debug)]
pub struct SharedId {
    id: i64,
    texts: [String; 2],
}

impl fmt::Display for SharedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {} share the id {}", self.texts[0], self.texts[1], self.id)
    }
}

impl Entries {
    /// The texts, and their places sorted by id.
    pub fn by_id(self) -> Result<(Texts, Vec<(i64, u32)>), SharedId> {
        let Entries { texts, mut ids } = self;
        ids.sort_unstable();
        let text = |place: u32| texts.get(place as usize).unwrap_or_default();
        for pair in ids.windows(2) {
            let ((id, rank, first), (next, next_rank, second)) = (pair[0], pair[1]);
            let both_of_the_model = rank == Rank::Model && next_rank == Rank::Model;
            if id == next && both_of_the_model && text(first) != text(second) {
                return Err(SharedId { id, texts: [first, second].map(|place| quoted(text(place))) });
            }
        }
        ids.dedup_by_key(|&mut (id, ..)| id);
        let places = ids.into_iter().map(|(id, _, place)| (id, place)).collect();
        Ok((texts, places))
    }

    /// Adds an id to the text that was read last.
    fn name_last(&mut self, id: i64) -> Result<(), String> {
        let place = u32::try_from(self.texts.len() - 1).map_err(|_| "it has more than 4 billion entries".to_owned())?;
        self.ids.push((id, Rank::Model, place));
        Ok(())
    }
}

impl<'de> serde::Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Entries, D::Error> {
        from.deserialize_any(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from text to id, or an array of texts with their scores")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while map.next_key_seed(NextText(&mut entries.texts))?.is_some() {
            let id = map.next_value_seed(Id(&entries.texts))?;
            entries.name_last(id).map_err(A::Error::custom)?;
        }
        Ok(entries)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while array.next_element_seed(Scored(&mut entries.texts))?.is_some() {
            let id = entries.texts.len() as i64 - 1;
            entries.name_last(id).map_err(A::Error::custom)?;
        }
        Ok(entries)
    }
}

/// The id of the text that was read last.
struct Id<'a>(&'a Texts);

impl Id<'_> {
    fn refused<E: serde::de::Error>(&self, found: &str) -> E {
        let text = self.0.len().checked_sub(1).and_then(|last| self.0.get(last)).unwrap_or_default();
        E::custom(format!("the entry {} is {found} instead of an id, a whole number in the range of i64", quoted(text)))
    }
}

impl<'de> DeserializeSeed<'de> for Id<'_> {
    type Value = i64;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<i64, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Id<'_> {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id")
    }

    fn visit_i64<E: serde::de::Error>(self, id: i64) -> Result<i64, E> {
        Ok(id)
    }

    fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<i64, E> {
        i64::try_from(id).map_err(|_| self.refused(&format!("{id}")))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<i64, E> {
        Err(self.refused(&format!("the number {number}")))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<i64, E> {
        Err(self.refused("a truth value"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<i64, E> {
        Err(self.refused("null"))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<i64, E> {
        Err(self.refused("a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<i64, A::Error> {
        Err(self.refused("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<i64, A::Error> {
        Err(self.refused("an object"))
    }
}

/// The next text, in an array with its score.
struct Scored<'a>(&'a mut Texts);

impl<'de> DeserializeSeed<'de> for Scored<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Scored<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} to be an array of a text and its score", self.0.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<(), A::Error> {
        let Scored(texts) = self;
        if pair.next_element_seed(NextText(&mut *texts))?.is_none() {
            return Err(A::Error::invalid_value(Unexpected::Seq, &Scored(texts)));
        }
        // Scores serve to choose among tokens, which has been done already.
        while pair.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
