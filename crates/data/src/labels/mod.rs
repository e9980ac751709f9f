//! What each prompt is about: labels beside the activations.

mod read;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use read::LabelPlace;

use crate::Error;
use crate::strings::read_file;

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
/// Prompts are told apart by number, the `prompt_ids` of the activations. The number of a label is its `id` where the ids
/// are whole numbers; where they are text, or there are none, the first label is that of prompt 0, the next of prompt 1 and
/// so on.
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
    /// `split` says `choose` or `train` for [`Half::Choosing`], `score` or `test` for [`Half::Scoring`]. Other fields are
    /// ignored, blanks around a name too.
    ///
    /// # Errors
    /// If the file cannot be read or is none of these; if a label lacks its concept; if an id occurs twice, or only some
    /// labels have one; if `split` is given for some prompts only, or is another word. Line or entry are named.
    pub fn read(path: impl AsRef<Path>) -> Result<PromptLabels, Error> {
        let path = path.as_ref();
        PromptLabels::from_bytes(path, &read_file(path, "name the file of labels in it")?)
    }

    /// Labels from the content of a file that errors call `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for what can go wrong with reading.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<PromptLabels, Error> {
        let path = path.as_ref();
        let rows = read::rows(path, bytes)?;
        let refuse = |row: Option<&read::Row>, problem: String| {
            Err(Error::Labels { path: path.to_owned(), place: row.map(|row| row.place), problem })
        };
        if rows.is_empty() {
            return refuse(None, "there are no labels in it".to_owned());
        }
        let numbered = rows.iter().filter(|row| row.id.is_some()).count();
        if let Some(row) = rows.iter().find(|row| row.id.is_none()).filter(|_| numbered > 0) {
            let problem =
                "the id is missing or no whole number, while other labels have one; number all of them, or none";
            return refuse(Some(row), problem.to_owned());
        }
        let halved = rows.iter().filter(|row| row.half.is_some()).count();
        if let Some(row) = rows.iter().find(|row| row.half.is_none()).filter(|_| halved > 0) {
            let problem = "no split, while other labels have one; give it for all of them, or for none";
            return refuse(Some(row), problem.to_owned());
        }
        let mut entries = HashMap::with_capacity(numbered);
        for (entry, row) in rows.iter().enumerate() {
            if let Some(earlier) = row.id.and_then(|id| entries.insert(id, entry)) {
                let id = row.id.unwrap_or_default();
                return refuse(Some(row), format!("the id {id} is also that of {}", rows[earlier].place));
            }
        }
        let labels =
            rows.into_iter().map(|row| PromptLabel { concept: row.concept, parent: row.parent, half: row.half });
        let entries = (numbered > 0).then_some(entries);
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
    /// [`Error::Unlabelled`] with the first prompt that has no label.
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
        prompt_ids.iter().enumerate().map(of).collect()
    }
}
