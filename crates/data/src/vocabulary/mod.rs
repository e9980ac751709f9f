//! The vocabulary of a model: the text of each token id.

mod decoder;
mod entries;
mod tokenizer;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Error;
use crate::json::{FOLDER_ADVICE, kind, not_as_expected, parse, wrong};
use crate::regular_file::{MOST_VOCABULARY, read_file};
use crate::texts::{Texts, of_token};
use entries::Entries;

pub use decoder::TokenDecoder;

const EXPECTED: &str = "a vocabulary: a JSON array of strings (index = id), a JSON object from text to id, or the tokenizer.json \
                        of a Hugging Face model";

/// Texts by token id, in the tokenizer's own notation (`Ġ` or `▁` for a blank and so on).
#[derive(Clone, Debug)]
pub struct Vocabulary {
    path: PathBuf,
    texts: Texts,
    /// Ids in ascending order, each with the place of its text. Absent if the place is the id.
    places: Option<Vec<(i64, u32)>>,
    decoder: Option<TokenDecoder>,
}

impl Vocabulary {
    /// Reads a vocabulary. This is a JSON array of strings whose index is the id, a JSON object that maps texts to ids
    /// (`vocab.json`), or the tokenizer of a Hugging Face model (`tokenizer.json`, including its added tokens).
    ///
    /// Of a tokenizer, only the texts, their ids and the kind of its decoder are read. Normalizers, merges and
    /// everything else that turns text into tokens are ignored.
    ///
    /// # Errors
    /// If the file cannot be read, has more than 512 MiB or is something else, or if two texts have the same id.
    pub fn read(path: impl AsRef<Path>) -> Result<Vocabulary, Error> {
        let path = path.as_ref();
        Vocabulary::from_bytes(path, &read_file(path, MOST_VOCABULARY, FOLDER_ADVICE)?)
    }

    /// A vocabulary from the content of such a file. Errors call it `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read), except for what can go wrong with reading.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Vocabulary, Error> {
        let path = path.as_ref();
        let (entries, decoder) = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') if tokenizer::is_one(bytes).map_err(|e| not_as_expected(path, &e, EXPECTED))? => {
                let refuse = |problem| wrong(path, format!("this tokenizer cannot be read: {problem}"), EXPECTED);
                tokenizer::read(bytes).map_err(refuse)?
            }
            Some(b'{') => (parse::<Entries>(path, bytes, EXPECTED)?, None),
            Some(b'[') => {
                let texts = parse(path, bytes, EXPECTED)?;
                return Ok(Vocabulary { path: path.to_owned(), texts, places: None, decoder: None });
            }
            _ => {
                let other: Value = parse(path, bytes, EXPECTED)?;
                return Err(wrong(path, format!("the file holds {}", kind(&other)), EXPECTED));
            }
        };
        let (texts, places) = entries.by_id().map_err(|shared| wrong(path, shared.to_string(), EXPECTED))?;
        Ok(Vocabulary { path: path.to_owned(), texts, places: Some(places), decoder })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of ids with a text.
    pub fn len(&self) -> usize {
        self.places.as_ref().map_or(self.texts.len(), Vec::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of token `id`, if there is such an id. It is cut after 1,024 bytes.
    pub fn get(&self, id: i64) -> Option<&str> {
        self.texts.get(self.place(id)? as usize).map(of_token)
    }

    /// How many of the ids from 0 to `tokens` - 1 have a text.
    pub fn known_below(&self, tokens: u64) -> usize {
        let end = i64::try_from(tokens).unwrap_or(i64::MAX);
        match &self.places {
            Some(places) => places.partition_point(|&(id, _)| id < end) - places.partition_point(|&(id, _)| id < 0),
            None => self.texts.len().min(usize::try_from(tokens).unwrap_or(usize::MAX)),
        }
    }

    /// All texts, in no particular order.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.texts.iter()
    }

    /// How texts become plain text, if a tokenizer.json says so.
    pub fn decoder(&self) -> Option<TokenDecoder> {
        self.decoder
    }

    /// The place of token `id` in the texts.
    pub(crate) fn place(&self, id: i64) -> Option<u32> {
        match &self.places {
            Some(places) => {
                let at = places.binary_search_by_key(&id, |&(id, _)| id).ok()?;
                Some(places[at].1)
            }
            None => u32::try_from(id).ok().filter(|&place| (place as usize) < self.texts.len()),
        }
    }

    pub(crate) fn into_texts(self) -> Texts {
        self.texts
    }
}
