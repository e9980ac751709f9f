//! What each prompt is about: labels beside the activations.

mod numbering;
mod read;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use read::LabelPlace;

use crate::Error;
use crate::regular_file::{MOST_TEXT, read_file};
use crate::texts::quoted;
use read::Row;

/// Which half of the prompts a prompt belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// On which features and concepts are chosen for each other; `choose` or `train` in files.
    Choosing,
    /// On which the choice is scored; `score` or `test` in files.
    Scoring,
}

/// The label of one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptLabel {
    /// What the prompt is about.
    pub concept: String,
    /// The wider concept that `concept` is a part of, where the file names one.
    pub parent: Option<String>,
    /// The prompt's half, where the file says so.
    pub half: Option<Half>,
}

/// The labels of prompts as a file lists them.
///
/// Prompts are told apart by number, the `prompt_ids` of the activations. The number of a label is its `id`; where no label
/// has one, the first label is that of prompt 0, the next of prompt 1 and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptLabels {
    path: PathBuf,
    labels: Vec<PromptLabel>,
    /// Entry of each prompt number; absent where the entry is the number.
    entries: Option<HashMap<i64, usize>>,
}

impl PromptLabels {
    /// Reads labels. Four forms are known, told apart by content, and by the name's ending where that is not enough:
    ///
    /// - JSON, an array of objects with `concept` (or `label`), and as far as wanted `id` (or `prompt_id`), `parent` and
    ///   `split`, or an array of strings, each a concept;
    /// - JSON, an object whose `labels` are such an array;
    /// - JSON lines, such an object a line;
    /// - CSV, with a heading that names these columns.
    ///
    /// An id is a whole number, also as text: `17`, `"17"` or `17.0`. `prompt_ids`, `sequence_id` and `sequence_ids` are
    /// names for it too, in any case of letters; of several, one that names the prompt goes before a mere `id`. `split` says
    /// `choose` or `train` for [`Half::Choosing`], `score` or `test` for [`Half::Scoring`]. Other fields are ignored, blanks
    /// around a name too.
    ///
    /// # Errors
    /// If the file cannot be read, has more than 1 GiB or is none of these; if a label lacks its concept; if an id is no whole
    /// number or occurs twice, or only some labels have one; if no label has one, but a field such as `index` counts in
    /// another order than that of the file, since either could be meant; if `split` is given for some prompts only, or is
    /// another word. Line or entry are named.
    pub fn read(path: impl AsRef<Path>) -> Result<PromptLabels, Error> {
        let path = path.as_ref();
        PromptLabels::from_bytes(path, &read_file(path, MOST_TEXT, "name the file of labels in it")?)
    }

    /// Labels from the content of a file that errors call `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for what can go wrong with reading.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<PromptLabels, Error> {
        let path = path.as_ref();
        let rows = read::rows(path, bytes)?;
        let refuse = |place, problem| Error::Labels { path: path.to_owned(), place, problem };
        if rows.is_empty() {
            return Err(refuse(None, "there are no labels in it".to_owned()));
        }
        let entries = numbers(&rows).map_err(|(place, problem)| refuse(Some(place), problem))?;
        let halved = rows.iter().any(|row| row.half.is_some());
        if let Some(row) = rows.iter().find(|row| row.half.is_none()).filter(|_| halved) {
            let problem = "no split, while other labels have one; give it for all of them, or for none";
            return Err(refuse(Some(row.place), problem.to_owned()));
        }
        let labels =
            rows.into_iter().map(|row| PromptLabel { concept: row.concept, parent: row.parent, half: row.half });
        Ok(PromptLabels { path: path.to_owned(), labels: labels.collect(), entries })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All labels, in the order of the file.
    pub fn labels(&self) -> &[PromptLabel] {
        &self.labels
    }

    /// Whether ids tell which prompt a label is for, rather than the order of the file.
    pub fn is_numbered(&self) -> bool {
        self.entries.is_some()
    }

    /// Entry in [`labels`](Self::labels) for prompt `prompt`.
    pub fn entry(&self, prompt: i64) -> Option<usize> {
        match &self.entries {
            Some(entries) => entries.get(&prompt).copied(),
            None => usize::try_from(prompt).ok().filter(|&entry| entry < self.labels.len()),
        }
    }

    /// For each row, the entry in [`labels`](Self::labels) of its prompt.
    ///
    /// # Errors
    /// [`Error::Unlabelled`] with the first prompt that has no label; [`Error::TooManyLabels`] if labels belong to prompts in
    /// the order of the file and there are more of them than prompts, so that it is not known which are left over.
    pub fn entries(&self, prompt_ids: &[i64]) -> Result<Vec<usize>, Error> {
        let of = |(row, &prompt): (usize, &i64)| {
            self.entry(prompt).ok_or_else(|| Error::Unlabelled {
                path: self.path.clone(),
                prompt,
                row,
                labels: self.labels.len(),
                meant: if self.is_numbered() { "by their id" } else { "in the order of the prompts, from 0" },
            })
        };
        let entries: Vec<usize> = prompt_ids.iter().enumerate().map(of).collect::<Result<_, _>>()?;
        let used = entries.iter().max().map_or(0, |last| last + 1);
        if !self.is_numbered() && used < self.labels.len() {
            return Err(Error::TooManyLabels { path: self.path.clone(), labels: self.labels.len(), prompts: used });
        }
        Ok(entries)
    }
}

/// The entry of each prompt number, or none if the order of the file counts; or what is wrong, and where.
fn numbers(rows: &[Row]) -> Result<Option<HashMap<i64, usize>>, (LabelPlace, String)> {
    let Some((first, first_place)) = rows.iter().find_map(|row| Some((row.id?, row.place))) else {
        let counts: Vec<_> = rows.iter().map(|row| row.counts.as_slice()).collect();
        return match numbering::out_of_order(&counts) {
            None => Ok(None),
            Some((entry, field, value)) => Err((
                rows[entry].place,
                format!(
                    "the field {} is {value}, so it counts in another order than that of the file; call it `id` if it is the \
                     prompt's number in `prompt_ids`, or leave it out if the order of the file counts",
                    quoted(field)
                ),
            )),
        };
    };
    let mut entries = HashMap::with_capacity(rows.len());
    for (entry, row) in rows.iter().enumerate() {
        let problem = match row.id {
            None => format!("no `{}`, while other labels have one; number all of them, or none", first.field),
            Some(id) if id.field != first.field => {
                format!("the id is called `{}`, but `{}` in {first_place}; use one name", id.field, first.field)
            }
            Some(id) => match entries.insert(id.number, entry) {
                None => continue,
                Some(earlier) => format!("the id {} is also that of {}", id.number, rows[earlier].place),
            },
        };
        return Err((row.place, problem));
    }
    Ok(Some(entries))
}
