//! A label that is a JSON object.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::numbering::{self, Id, IdField, MOST_COUNTS};
use super::scalar::Scalar;
use super::table::Fields;

/// The fields of an object that matter, unchecked.
#[derive(Debug, Default)]
pub struct LabelObject {
    ids: IdField<Scalar>,
    counts: Vec<(String, Option<i64>)>,
    concept: Option<Scalar>,
    label: Option<Scalar>,
    parent: Option<Scalar>,
    split: Option<Scalar>,
    /// What is wrong with the names of its fields.
    problem: Option<String>,
}

impl LabelObject {
    /// Calls `then` with what the label says.
    pub fn with_fields<T>(&self, then: impl FnOnce(Fields<'_>) -> T) -> Result<T, String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let id = match self.ids.found() {
            None => None,
            Some((value, field)) => {
                let number = value.whole().ok_or_else(|| numbering::refused(&value.to_string()))?;
                Some(Id { field, number })
            }
        };
        let counts: Vec<(&str, i64)> = match id {
            Some(_) => Vec::new(),
            None => self.counts.iter().filter_map(|(name, value)| Some((name.as_str(), (*value)?))).collect(),
        };
        let concept = match &self.concept {
            Some(concept) => text(concept, "concept")?,
            None => self.label.as_ref().map_or(Ok(None), |label| text(label, "label"))?,
        };
        let parent = self.parent.as_ref().map_or(Ok(None), |parent| text(parent, "parent"))?;
        let split = self.split.as_ref().map_or(Ok(None), |split| text(split, "split"))?;
        Ok(then(Fields { id, counts: &counts, concept, parent, split }))
    }
}

fn text<'a>(value: &'a Scalar, name: &str) -> Result<Option<&'a str>, String> {
    match value {
        Scalar::Text(text) => Ok(Some(text)),
        Scalar::Null => Ok(None),
        _ => Err(format!("{name:?} is no string")),
    }
}

/// Reads the fields of an object.
pub struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = LabelObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<LabelObject, A::Error> {
        let mut object = LabelObject::default();
        while let Some(name) = fields.next_key::<String>()? {
            let field = match name.as_str() {
                "concept" => Some(&mut object.concept),
                "label" => Some(&mut object.label),
                "parent" => Some(&mut object.parent),
                "split" => Some(&mut object.split),
                _ => None,
            };
            if let Some(field) = field {
                if field.replace(fields.next_value()?).is_some() {
                    object
                        .problem
                        .get_or_insert_with(|| format!("the field `{name}` is there twice; keep one of them"));
                }
            } else if let Some(rank) = numbering::rank(&name) {
                if let Err(problem) = object.ids.offer(rank, &name, fields.next_value()?) {
                    object.problem.get_or_insert(problem);
                }
            } else if object.counts.len() < MOST_COUNTS && numbering::may_count(&name) {
                object.counts.push((name, fields.next_value::<Scalar>()?.whole()));
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}
