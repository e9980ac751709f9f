//! Labels in columns. They are checked one by one as a file is read.

use std::fmt;

use super::half::Half;
use super::names::Names;
use super::numbering::{Counts, Id};
use crate::texts::quoted;

/// Where a label is in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelPlace {
    /// A line, from 1.
    Line(u64),
    /// An entry of a JSON array, from 0.
    Entry(usize),
}

impl fmt::Display for LabelPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelPlace::Line(line) => write!(f, "line {line}"),
            LabelPlace::Entry(entry) => write!(f, "entry {entry}"),
        }
    }
}

/// What is wrong with a file of labels, and where.
#[derive(Debug)]
pub struct Refusal {
    pub place: Option<LabelPlace>,
    pub problem: String,
}

impl Refusal {
    pub fn whole(problem: impl Into<String>) -> Refusal {
        Refusal { place: None, problem: problem.into() }
    }

    pub fn at(place: LabelPlace, problem: impl Into<String>) -> Refusal {
        Refusal { place: Some(place), problem: problem.into() }
    }
}

/// What a label says, unchecked.
#[derive(Clone, Copy, Default)]
pub struct Fields<'a> {
    pub id: Option<Id>,
    /// Fields that may be a count of labels, if there is no id.
    pub counts: &'a [(&'a str, i64)],
    pub concept: Option<&'a str>,
    pub parent: Option<&'a str>,
    pub split: Option<&'a str>,
}

/// Labels in the order of their file.
#[derive(Default)]
pub struct Table {
    pub len: usize,
    pub concepts: Names,
    pub parents: Names,
    /// The halves of all labels, or of none.
    pub halves: Vec<Half>,
    /// Prompt and entry of all labels, or of none.
    numbers: Vec<(i64, u32)>,
    /// The name of the field that held the `numbers`.
    id_field: Option<&'static str>,
    counts: Counts,
    /// Line of each label, if each label is on a line of its own.
    lines: Vec<u32>,
}

impl Table {
    /// Adds the label of the next entry of an array.
    pub fn push_entry(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        self.push(LabelPlace::Entry(self.len), fields)
    }

    /// Adds the label in line `line`.
    pub fn push_line(&mut self, line: u64, fields: Fields<'_>) -> Result<(), Refusal> {
        self.push(LabelPlace::Line(line), fields)?;
        self.lines.push(line as u32);
        Ok(())
    }

    fn push(&mut self, place: LabelPlace, fields: Fields<'_>) -> Result<(), Refusal> {
        fn named(text: Option<&str>) -> Option<&str> {
            text.map(str::trim).filter(|text| !text.is_empty())
        }
        let refuse = |problem: String| Err(Refusal::at(place, problem));
        let Some(concept) = named(fields.concept) else {
            return refuse("the concept is missing or empty".to_owned());
        };
        match named(fields.split) {
            None => {}
            Some("choose" | "train") => self.push_half(Half::Choosing)?,
            Some("score" | "test") => self.push_half(Half::Scoring)?,
            Some(other) => {
                return refuse(format!("the split is {}; it must be choose or train, score or test", quoted(other)));
            }
        }
        if !self.halves.is_empty() && self.halves.len() == self.len {
            return Err(without_split(place));
        }
        match (fields.id, self.id_field) {
            (None, None) => self.counts.push(self.len, fields.counts),
            (None, Some(field)) => return Err(without_id(place, field)),
            (Some(id), None) if self.len > 0 => return Err(without_id(self.place(0), id.field)),
            (Some(id), Some(field)) if id.field != field => {
                let first = self.place(0);
                return refuse(format!("the id is called `{}`, but `{field}` in {first}; use one name", id.field));
            }
            (Some(id), _) => {
                self.id_field = Some(id.field);
                self.numbers.push((id.number, self.len as u32));
            }
        }
        self.concepts.put(self.len, concept);
        if let Some(parent) = named(fields.parent) {
            self.parents.put(self.len, parent);
        }
        self.len += 1;
        Ok(())
    }

    fn push_half(&mut self, half: Half) -> Result<(), Refusal> {
        if self.halves.len() < self.len {
            return Err(without_split(self.place(0)));
        }
        self.halves.push(half);
        Ok(())
    }

    /// Prompt and entry of each label, in the order of prompts. None if the order of the file counts.
    pub fn numbers(&mut self) -> Result<Option<Vec<(i64, u32)>>, Refusal> {
        if self.id_field.is_none() {
            return match self.counts.out_of_order() {
                None => Ok(None),
                Some((entry, field, value)) => {
                    let problem = format!(
                        "the field {} is {value}, so it counts in another order than that of the file; call it `id` if it is \
                         the prompt's number in `prompt_ids`, or leave it out if the order of the file counts",
                        quoted(field)
                    );
                    Err(Refusal::at(self.place(entry), problem))
                }
            };
        }
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.sort_unstable();
        let shared = numbers.windows(2).filter(|pair| pair[0].0 == pair[1].0).min_by_key(|pair| pair[1].1);
        if let Some(&[(number, earlier), (_, later)]) = shared {
            let problem = format!("the id {number} is also that of {}", self.place(earlier as usize));
            return Err(Refusal::at(self.place(later as usize), problem));
        }
        numbers.shrink_to_fit();
        Ok(Some(numbers))
    }

    fn place(&self, entry: usize) -> LabelPlace {
        self.lines.get(entry).map_or(LabelPlace::Entry(entry), |&line| LabelPlace::Line(line.into()))
    }
}

fn without_split(place: LabelPlace) -> Refusal {
    Refusal::at(place, "no split, while other labels have one; give it for all of them, or for none")
}

fn without_id(place: LabelPlace, field: &str) -> Refusal {
    Refusal::at(place, format!("no `{field}`, while other labels have one; number all of them, or none"))
}
