//! The forms in which labels are written.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use super::Half;
use super::numbering::{self, Id};
use crate::Error;
use crate::json::kind;
use crate::texts::quoted;

/// Where a label stands in its file.
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

/// A label and where it was found.
pub struct Row {
    pub place: LabelPlace,
    pub id: Option<Id>,
    /// Fields that may number labels in some way, where there is no id.
    pub counts: Vec<(String, i64)>,
    pub concept: String,
    pub parent: Option<String>,
    pub half: Option<Half>,
}

/// All labels of a file.
pub fn rows(path: &Path, bytes: &[u8]) -> Result<Vec<Row>, Error> {
    // Spreadsheets begin their files with a byte-order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let refuse = |problem: String| Error::Labels { path: path.to_owned(), place: None, problem };
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let of = |form: &str| ending.as_deref() == Some(form);
    if of("csv") || !(matches!(first, Some(b'[' | b'{')) || of("json") || of("jsonl")) {
        return csv_rows(path, bytes);
    }
    match (first, serde_json::from_slice(bytes)) {
        (_, Ok(Value::Array(values))) => array_rows(path, values),
        (_, Ok(Value::Object(mut object))) if object.contains_key("labels") => match object.remove("labels") {
            Some(Value::Array(values)) => array_rows(path, values),
            _ => Err(refuse("\"labels\" is no array".to_owned())),
        },
        (Some(b'{'), whole) => match whole {
            // The text of one object over several lines cannot be JSON lines, so its own mistake is the one to tell.
            Err(error) if of("json") && !error.to_string().starts_with("trailing characters") => {
                Err(refuse(format!("not valid JSON: {error}")))
            }
            _ => line_rows(path, bytes),
        },
        (_, Err(error)) => Err(refuse(format!("not valid JSON: {error}"))),
        (_, Ok(_)) => Err(refuse("the JSON is neither an array nor an object".to_owned())),
    }
}

fn array_rows(path: &Path, values: Vec<Value>) -> Result<Vec<Row>, Error> {
    let row = |(entry, value)| {
        let place = LabelPlace::Entry(entry);
        match value {
            Value::String(concept) => row(path, place, Fields { concept: Some(concept), ..Fields::default() }),
            Value::Object(object) => object_row(path, place, object),
            _ => Err(refused(path, place, "neither a string nor an object".to_owned())),
        }
    };
    values.into_iter().enumerate().map(row).collect()
}

fn line_rows(path: &Path, bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let lines = bytes.split(|&byte| byte == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    lines
        .map(|(line, number)| {
            let place = LabelPlace::Line(number);
            // Its line number would be 1 for every line; the column is right.
            let error = |error: serde_json::Error| {
                let problem = error.to_string().replace(&format!(" at line 1 column {}", error.column()), "");
                refused(path, place, format!("not valid JSON: {problem} (column {})", error.column()))
            };
            match serde_json::from_slice(line).map_err(error)? {
                Value::Object(object) => object_row(path, place, object),
                _ => Err(refused(path, place, "not a JSON object; one a line is needed".to_owned())),
            }
        })
        .collect()
}

fn csv_rows(path: &Path, bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let whole = |problem: String| Error::Labels { path: path.to_owned(), place: None, problem };
    let heading = reader.headers().map_err(|error| whole(format!("not CSV in UTF-8: {error}")))?.clone();
    let in_heading = |problem: String| refused(path, LabelPlace::Line(1), problem);
    let column = |name: &str| {
        let mut places = heading.iter().enumerate().filter(|(_, own)| *own == name).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(_), Some(_)) => {
                Err(in_heading(format!("the heading has the column `{name}` twice; keep one of them")))
            }
            (place, _) => Ok(place),
        }
    };
    let Some(concept) = column("concept")?.or(column("label")?) else {
        let found: Vec<&str> = heading.iter().take(12).collect();
        return Err(in_heading(format!("no column `concept` or `label` in the heading, which is {found:?}")));
    };
    let id = numbering::field(heading.iter()).map_err(in_heading)?;
    let counting: Vec<usize> = match id {
        Some(_) => Vec::new(),
        None => {
            let counting = (0..heading.len()).filter(|&place| numbering::may_count(&heading[place]));
            counting.take(numbering::MOST_COUNTS).collect()
        }
    };
    let (parent, split) = (column("parent")?, column("split")?);
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| whole(format!("not CSV in UTF-8: {error}")))? {
        let place = LabelPlace::Line(record.position().map_or(0, csv::Position::line));
        let text = |column: Option<usize>| {
            column.and_then(|column| record.get(column)).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let id = match id {
            None => None,
            Some((column, field)) => {
                let text = &record[column];
                let number =
                    numbering::of_text(text).ok_or_else(|| refused(path, place, numbering::refused(&quoted(text))))?;
                Some(Id { field, number })
            }
        };
        let count = |&column: &usize| Some((heading[column].to_owned(), numbering::of_text(&record[column])?));
        let fields = Fields {
            id,
            counts: counting.iter().filter_map(count).collect(),
            concept: text(Some(concept)),
            parent: text(parent),
            split: text(split),
        };
        rows.push(row(path, place, fields)?);
    }
    Ok(rows)
}

/// What a label says, unchecked.
#[derive(Default)]
struct Fields {
    id: Option<Id>,
    counts: Vec<(String, i64)>,
    concept: Option<String>,
    parent: Option<String>,
    split: Option<String>,
}

fn object_row(path: &Path, place: LabelPlace, mut object: Map<String, Value>) -> Result<Row, Error> {
    let field = numbering::field(object.keys().map(String::as_str)).map_err(|problem| refused(path, place, problem))?;
    let id = match field.and_then(|(at, field)| Some((object.values().nth(at)?, field))) {
        None => None,
        Some((value, field)) => {
            let number =
                numbering::of_json(value).ok_or_else(|| refused(path, place, numbering::refused(&shown(value))))?;
            Some(Id { field, number })
        }
    };
    let counts = match id {
        Some(_) => Vec::new(),
        None => object
            .iter()
            .filter(|(name, _)| numbering::may_count(name))
            .take(numbering::MOST_COUNTS)
            .filter_map(|(name, value)| Some((name.clone(), numbering::of_json(value)?)))
            .collect(),
    };
    let mut take = |names: [&str; 2]| names.iter().find_map(|name| object.remove(*name)).filter(|v| !v.is_null());
    let mut text = |names: [&str; 2]| match take(names) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refused(path, place, format!("{:?} is no string", names[0]))),
    };
    let (concept, parent, split) = (text(["concept", "label"])?, text(["parent"; 2])?, text(["split"; 2])?);
    row(path, place, Fields { id, counts, concept, parent, split })
}

fn row(path: &Path, place: LabelPlace, fields: Fields) -> Result<Row, Error> {
    let named = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let Some(concept) = named(fields.concept) else {
        return Err(refused(path, place, "the concept is missing or empty".to_owned()));
    };
    let half = match named(fields.split).as_deref() {
        None => None,
        Some("choose" | "train") => Some(Half::Choosing),
        Some("score" | "test") => Some(Half::Scoring),
        Some(other) => {
            let problem = format!("the split is {other:?}; it must be choose or train, score or test");
            return Err(refused(path, place, problem));
        }
    };
    Ok(Row { place, id: fields.id, counts: fields.counts, concept, parent: named(fields.parent), half })
}

/// A value for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}

fn refused(path: &Path, place: LabelPlace, problem: String) -> Error {
    Error::Labels { path: path.to_owned(), place: Some(place), problem }
}
