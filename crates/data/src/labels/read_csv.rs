//! Labels in CSV.

use csv::{Position, ReaderBuilder, StringRecord, Trim};

use super::numbering::{self, Id, IdField};
use super::table::{Fields, LabelPlace, Refusal, Table};
use crate::texts::quoted;

/// Most columns of a table.
const MOST_COLUMNS: usize = 4096;

/// The labels of a table whose heading names its columns.
pub fn table(bytes: &[u8]) -> Result<Table, Refusal> {
    if is_wide(bytes) {
        return Err(Refusal::whole(format!("a line of more than {MOST_COLUMNS} columns; is it CSV?")));
    }
    let not_csv = |error: csv::Error| Refusal::whole(format!("not CSV in UTF-8: {error}"));
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(bytes);
    let heading = reader.headers().map_err(not_csv)?.clone();
    let columns = Columns::of(&heading).map_err(|problem| Refusal::at(LabelPlace::Line(1), problem))?;
    let mut table = Table::default();
    let mut record = StringRecord::new();
    let mut counts = Vec::new();
    while reader.read_record(&mut record).map_err(not_csv)? {
        let line = record.position().map_or(0, Position::line);
        let text = |column: Option<usize>| column.and_then(|column| record.get(column));
        let id = match columns.id {
            None => None,
            Some((column, field)) => {
                let text = &record[column];
                let number = numbering::of_text(text)
                    .ok_or_else(|| Refusal::at(LabelPlace::Line(line), numbering::refused(&quoted(text))))?;
                Some(Id { field, number })
            }
        };
        let count = |&column: &usize| Some((&heading[column], numbering::of_text(&record[column])?));
        counts.clear();
        counts.extend(columns.counting.iter().filter_map(count));
        let (concept, parent, split) = (text(Some(columns.concept)), text(columns.parent), text(columns.split));
        table.push_line(line, Fields { id, counts: &counts, concept, parent, split })?;
    }
    Ok(table)
}

/// Which columns hold which fields.
struct Columns {
    concept: usize,
    parent: Option<usize>,
    split: Option<usize>,
    id: Option<(usize, &'static str)>,
    /// Columns that may be a count of labels, if there is no id.
    counting: Vec<usize>,
}

impl Columns {
    fn of(heading: &StringRecord) -> Result<Columns, String> {
        let column = |name: &str| {
            let mut places = heading.iter().enumerate().filter(|(_, own)| *own == name).map(|(place, _)| place);
            match (places.next(), places.next()) {
                (Some(_), Some(_)) => Err(format!("the heading has the column `{name}` twice; keep one of them")),
                (place, _) => Ok(place),
            }
        };
        let Some(concept) = column("concept")?.or(column("label")?) else {
            let found: Vec<String> = heading.iter().take(12).map(quoted).collect();
            let found = found.join(", ");
            return Err(format!("no column `concept` or `label` in the heading, which is [{found}]"));
        };
        let mut ids = IdField::default();
        for (place, name) in heading.iter().enumerate() {
            if let Some(rank) = numbering::rank(name) {
                ids.offer(rank, name, place)?;
            }
        }
        let id = ids.found().map(|(&place, field)| (place, field));
        let counting = match id {
            Some(_) => Vec::new(),
            None => {
                let counting = (0..heading.len()).filter(|&place| numbering::may_count(&heading[place]));
                counting.take(numbering::MOST_COUNTS).collect()
            }
        };
        Ok(Columns { concept, parent: column("parent")?, split: column("split")?, id, counting })
    }
}

/// Whether a line has more than [`MOST_COLUMNS`]. The reader keeps several numbers for each column, which is many times
/// the size of a file of commas.
fn is_wide(bytes: &[u8]) -> bool {
    let (mut columns, mut quoted, mut before) = (1, false, b'\n');
    for &byte in bytes {
        match byte {
            // A quote opens a text only at the beginning of a field. Two quotes within a text are one quote.
            b'"' if quoted || matches!(before, b',' | b'\n' | b'\r' | b'"') => quoted = !quoted,
            b'\n' | b'\r' if !quoted => columns = 1,
            b',' if !quoted => columns += 1,
            _ => {}
        }
        if columns > MOST_COLUMNS {
            return true;
        }
        before = byte;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_within_quotes_are_no_columns() {
        let commas = ",".repeat(MOST_COLUMNS);
        assert!(is_wide(commas.as_bytes()));
        assert!(is_wide(format!("x\ny\n\"a\"\"\"{commas}").as_bytes()));
        assert!(is_wide(format!("5\" tall{commas}").as_bytes()));
        assert!(!is_wide(format!("x\n\"{commas}\"\n").as_bytes()));
        assert!(!is_wide(format!("x\n\"say \"\"{commas}\"\"\"\n").as_bytes()));
        assert!(!is_wide(",\n".repeat(MOST_COLUMNS).as_bytes()));
    }
}
