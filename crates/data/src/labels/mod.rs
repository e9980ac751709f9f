//! What each prompt is about: labels beside the activations.

mod half;
mod names;
mod numbering;
mod object;
mod read;
mod read_csv;
mod read_json;
mod scalar;
mod table;

use std::path::{Path, PathBuf};

pub use half::Half;
pub use table::LabelPlace;

use crate::Error;
use crate::regular_file::{MOST_TEXT, read_file};
use names::Names;
use table::{Refusal, Table};

/// The label of one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptLabel<'a> {
    /// What the prompt is about.
    pub concept: &'a str,
    /// The wider concept that `concept` is a part of, if the file names one.
    pub parent: Option<&'a str>,
    /// The prompt's half, if the file says which.
    pub half: Option<Half>,
}

/// The labels of prompts, as a file lists them.
///
/// Prompts are identified by number, which is the `prompt_ids` of the activations. The number of a label is its `id`.
/// If no label has one, the first label belongs to prompt 0, the next to prompt 1, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptLabels {
    path: PathBuf,
    len: usize,
    concepts: Names,
    parents: Names,
    /// The halves of all labels, or of none.
    halves: Vec<Half>,
    /// Prompt number and entry of each label, sorted by number. Absent if the entry is the number.
    numbers: Option<Vec<(i64, u32)>>,
}

impl PromptLabels {
    /// Reads labels. Four forms are known. They are told apart by content, and by the ending of the name if that is not
    /// enough:
    ///
    /// - JSON: an array of objects with `concept` (or `label`) and, optionally, `id` (or `prompt_id`), `parent` and
    ///   `split`. Or an array of strings, each of which is a concept.
    /// - JSON: an object whose `labels` are such an array.
    /// - JSON lines: one such object on each line.
    /// - CSV, with a heading that names these columns.
    ///
    /// An id is a whole number, which may be written as text: `17`, `"17"` or `17.0`. `prompt_ids`, `sequence_id` and
    /// `sequence_ids` are names for it as well, in upper or lower case. If there are several, one that names the prompt
    /// takes precedence over a mere `id`. `split` says `choose` or `train` for [`Half::Choosing`], and `score` or
    /// `test` for [`Half::Scoring`]. Other fields are ignored, and so are blanks around a name.
    ///
    /// # Errors
    /// If the file cannot be read, has more than 1 GiB or is in none of these forms. If a label has no concept. If an
    /// id is not a whole number or occurs twice, or only some labels have one. If no label has one, but a field such as
    /// `index` counts in another order than that of the file, because either could be meant. If `split` is given for
    /// only some prompts, or is another word. The error names the line or entry.
    pub fn read(path: impl AsRef<Path>) -> Result<PromptLabels, Error> {
        let path = path.as_ref();
        PromptLabels::from_bytes(path, &read_file(path, MOST_TEXT, "name the file of labels in it")?)
    }

    /// Labels from the content of a file. Errors call it `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read), except for what can go wrong with reading.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<PromptLabels, Error> {
        let path = path.as_ref();
        if bytes.len() as u64 > MOST_TEXT {
            return Err(Error::TooLarge { path: path.to_owned(), found: bytes.len() as u64, most: MOST_TEXT });
        }
        let refuse = |Refusal { place, problem }| Error::Labels { path: path.to_owned(), place, problem };
        let mut table = read::table(path, bytes).map_err(refuse)?;
        if table.len == 0 {
            return Err(refuse(Refusal::whole("there are no labels in it")));
        }
        let numbers = table.numbers().map_err(refuse)?;
        let Table { len, concepts, parents, halves, .. } = table;
        Ok(PromptLabels { path: path.to_owned(), len, concepts, parents, halves, numbers })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All labels, in the order of the file.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = PromptLabel<'_>> {
        (0..self.len).map(|entry| self.label(entry))
    }

    /// The label of entry number `entry`, from 0.
    ///
    /// # Panics
    /// If there is no such entry.
    pub fn label(&self, entry: usize) -> PromptLabel<'_> {
        assert!(entry < self.len, "label {entry} of {}", self.len);
        PromptLabel {
            concept: self.concepts.get(entry).unwrap_or_default(),
            parent: self.parents.get(entry),
            half: self.halves.get(entry).copied(),
        }
    }

    /// Whether ids say which prompt a label belongs to, rather than the order of the file.
    pub fn is_numbered(&self) -> bool {
        self.numbers.is_some()
    }

    /// Entry in [`labels`](Self::labels) for prompt `prompt`.
    pub fn entry(&self, prompt: i64) -> Option<usize> {
        match &self.numbers {
            Some(numbers) => {
                let place = numbers.binary_search_by_key(&prompt, |&(number, _)| number).ok()?;
                Some(numbers[place].1 as usize)
            }
            None => usize::try_from(prompt).ok().filter(|&entry| entry < self.len),
        }
    }

    /// For each row, the entry in [`labels`](Self::labels) of its prompt.
    ///
    /// # Errors
    /// [`Error::Unlabelled`] with the first prompt that has no label. [`Error::TooManyLabels`] if labels belong to
    /// prompts in the order of the file and there are more labels than prompts, because it is not known which of them
    /// are left over.
    pub fn entries(&self, prompt_ids: &[i64]) -> Result<Vec<usize>, Error> {
        let of = |(row, &prompt): (usize, &i64)| {
            self.entry(prompt).ok_or_else(|| Error::Unlabelled {
                path: self.path.clone(),
                prompt,
                row,
                labels: self.len,
                meant: if self.is_numbered() { "by their id" } else { "in the order of the prompts, from 0" },
            })
        };
        let entries: Vec<usize> = prompt_ids.iter().enumerate().map(of).collect::<Result<_, _>>()?;
        let used = entries.iter().max().map_or(0, |last| last + 1);
        if !self.is_numbered() && used < self.len {
            return Err(Error::TooManyLabels { path: self.path.clone(), labels: self.len, prompts: used });
        }
        Ok(entries)
    }
}
