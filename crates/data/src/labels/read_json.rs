//! Labels in JSON, and in JSON lines.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::object::{LabelObject, ObjectVisitor};
use super::table::{Fields, LabelPlace, Refusal, Table};
use crate::texts::told;

/// Why there are no labels.
pub enum Problem {
    /// The bytes are not JSON.
    Json(serde_json::Error),
    /// The JSON is something other than labels.
    Refused(Refusal),
}

/// The labels of an array, or of an object whose `labels` are an array. None if the file is an object without `labels`.
pub fn document(bytes: &[u8]) -> Result<Option<Table>, Problem> {
    let mut labels = Labels::default();
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let found = parser.deserialize_any(Document(&mut labels)).and_then(|found| parser.end().map(|()| found));
    match found {
        Ok(found) => Ok(found.then_some(labels.table)),
        Err(error) => {
            let other = || match bytes.trim_ascii_start().first() {
                Some(b'{') => Refusal::whole("\"labels\" is no array"),
                _ => Refusal::whole("the JSON is neither an array nor an object"),
            };
            let refusal = labels.refusal.or_else(|| error.is_data().then(other));
            Err(of_json(bytes, error, refusal))
        }
    }
}

/// The labels of JSON lines.
pub fn lines(bytes: &[u8]) -> Result<Table, Refusal> {
    let mut table = Table::default();
    let lines = bytes.split(|&byte| byte == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    for (line, number) in lines {
        let refuse = |problem: String| Refusal::at(LabelPlace::Line(number), problem);
        // The line number in this error would always be 1. Its column is right.
        let entry = serde_json::from_slice(line).map_err(|error| {
            let problem = told(&error).replace(&format!(" at line 1 column {}", error.column()), "");
            refuse(format!("not valid JSON: {problem} (column {})", error.column()))
        })?;
        let Entry::Object(object) = entry else {
            return Err(refuse("not a JSON object; one a line is needed".to_owned()));
        };
        object.with_fields(|fields| table.push_line(number, fields)).map_err(refuse)??;
    }
    Ok(table)
}

/// The problem of bytes at which a reader stopped. If they are not JSON at all, this takes precedence over a refusal of
/// what they say.
fn of_json(bytes: &[u8], error: serde_json::Error, refusal: Option<Refusal>) -> Problem {
    let Some(refusal) = refusal else { return Problem::Json(error) };
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Ok(_) => Problem::Refused(refusal),
        Err(error) => Problem::Json(error),
    }
}

/// The labels that were read, and why no more are read.
#[derive(Default)]
struct Labels {
    table: Table,
    refusal: Option<Refusal>,
}

impl Labels {
    fn push(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let place = LabelPlace::Entry(self.table.len);
        match entry {
            Entry::Text(concept) => self.table.push_entry(Fields { concept: Some(concept), ..Fields::default() }),
            Entry::Object(object) => {
                let pushed = object.with_fields(|fields| self.table.push_entry(fields));
                pushed.map_err(|problem| Refusal::at(place, problem))?
            }
            Entry::Other => Err(Refusal::at(place, "neither a string nor an object")),
        }
    }

    /// Keeps a refusal, and returns an error that ends the reading.
    fn refuse<E: serde::de::Error>(&mut self, refusal: Refusal) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }
}

/// Reads the whole file, and says whether it has labels.
struct Document<'a>(&'a mut Labels);

impl<'de> Visitor<'de> for Document<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<bool, A::Error> {
        Array(self.0).visit_seq(entries)?;
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(name) = fields.next_key::<String>()? {
            if name != "labels" {
                fields.next_value::<IgnoredAny>()?;
            } else if found {
                return Err(self.0.refuse(Refusal::whole("\"labels\" is there twice; keep one of them")));
            } else {
                fields.next_value_seed(Array(self.0))?;
                found = true;
            }
        }
        Ok(found)
    }
}

/// An array of labels.
struct Array<'a>(&'a mut Labels);

impl<'de> DeserializeSeed<'de> for Array<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element()? {
            self.0.push(&entry).map_err(|refusal| self.0.refuse::<A::Error>(refusal))?;
        }
        Ok(())
    }
}

/// What may be a label.
enum Entry {
    Text(String),
    Object(Box<LabelObject>),
    Other,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Entry, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_unit<E>(self) -> Result<Entry, E> {
                Ok(Entry::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
                Ok(Entry::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Entry, A::Error> {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Entry, A::Error> {
                Ok(Entry::Object(Box::new(ObjectVisitor.visit_map(fields)?)))
            }
        }

        from.deserialize_any(Any)
    }
}
