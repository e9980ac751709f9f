//! The vocabulary of a model: the text of each token id.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::Error;
use crate::strings::{kind, read_file, strings, wrong};

const EXPECTED: &str = "a vocabulary: a JSON array of strings (index = id), a JSON object from text to id, or the tokenizer.json \
                        of a Hugging Face model";

/// Texts by token id, in the tokenizer's own notation (`Ġ` or `▁` for a blank and so on).
#[derive(Clone, Debug)]
pub struct Vocabulary {
    path: PathBuf,
    texts: Vec<String>,
    /// Place in `texts` of each id; absent where it is the id itself.
    places: Option<HashMap<i64, u32>>,
}

impl Vocabulary {
    /// Reads a vocabulary: a JSON array of strings whose index is the id, a JSON object from text to id (`vocab.json`), or a
    /// tokenizer as Hugging Face models have it (`tokenizer.json`, with its added tokens).
    ///
    /// # Errors
    /// If the file cannot be read or is something else, or two texts share an id.
    pub fn read(path: impl AsRef<Path>) -> Result<Vocabulary, Error> {
        let path = path.as_ref();
        let bytes = read_file(path, "name one JSON file in it")?;
        let value =
            serde_json::from_slice(&bytes).map_err(|e| wrong(path, format!("not valid JSON: {e}"), EXPECTED))?;
        let (texts, places) = match value {
            Value::Array(values) => (strings(path, values, EXPECTED)?, None),
            Value::Object(map) if is_tokenizer(&map) => of_tokenizer(path, &bytes)?,
            Value::Object(map) => of_map(path, map)?,
            other => return Err(wrong(path, format!("the file holds {}", kind(&other)), EXPECTED)),
        };
        Ok(Vocabulary { path: path.to_owned(), texts, places })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text of token `id`, if there is such an id.
    pub fn get(&self, id: i64) -> Option<&str> {
        self.place(id).map(|place| self.texts[place as usize].as_str())
    }

    /// All texts, in no particular order.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// Where in the texts token `id` is.
    pub(crate) fn place(&self, id: i64) -> Option<u32> {
        match &self.places {
            Some(places) => places.get(&id).copied(),
            None => u32::try_from(id).ok().filter(|&place| (place as usize) < self.texts.len()),
        }
    }

    pub(crate) fn into_texts(self) -> Vec<String> {
        self.texts
    }
}

type Entries = (Vec<String>, Option<HashMap<i64, u32>>);

/// A vocabulary from text to id may have the words "model" and "version" too, but then they are numbers.
fn is_tokenizer(map: &Map<String, Value>) -> bool {
    map.contains_key("version") && map.get("model").is_some_and(Value::is_object)
}

fn of_tokenizer(path: &Path, bytes: &[u8]) -> Result<Entries, Error> {
    let tokenizer = Tokenizer::from_bytes(bytes)
        .map_err(|e| wrong(path, format!("this tokenizer cannot be read: {e}"), EXPECTED))?;
    let mut ids: Vec<u32> = tokenizer.get_vocab(true).into_values().collect();
    ids.sort_unstable();
    ids.dedup();
    let (mut texts, mut places) = (Vec::with_capacity(ids.len()), HashMap::with_capacity(ids.len()));
    for id in ids {
        if let Some(text) = tokenizer.id_to_token(id) {
            places.insert(i64::from(id), texts.len() as u32);
            texts.push(text);
        }
    }
    Ok((texts, Some(places)))
}

fn of_map(path: &Path, map: Map<String, Value>) -> Result<Entries, Error> {
    let mut texts: Vec<String> = Vec::with_capacity(map.len());
    let mut places = HashMap::with_capacity(map.len());
    for (text, id) in map {
        let Some(id) = id.as_i64() else {
            return Err(wrong(path, format!("the entry {text:?} is {} instead of an id", kind(&id)), EXPECTED));
        };
        if let Some(other) = places.insert(id, texts.len() as u32) {
            let other = &texts[other as usize];
            return Err(wrong(path, format!("{other:?} and {text:?} share the id {id}"), EXPECTED));
        }
        texts.push(text);
    }
    Ok((texts, Some(places)))
}
