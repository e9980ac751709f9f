//! The vocabulary in a tokenizer.json.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::decoder::TokenDecoder;
use super::entries::{Entries, Rank};
use crate::texts::told;

/// Whether a JSON object is a tokenizer, which has an object as its `model`. A vocabulary may contain that word too,
/// but with a number.
pub fn is_one(bytes: &[u8]) -> Result<bool, serde_json::Error> {
    #[derive(Deserialize)]
    struct Probe {
        model: Option<Object>,
    }

    match serde_json::from_slice(bytes) {
        Ok(Probe { model }) => Ok(model.is_some()),
        // The `model` is something else.
        Err(error) if error.is_data() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Texts with their ids, and how they become plain text, if the file says so in a known way.
pub fn read(bytes: &[u8]) -> Result<(Entries, Option<TokenDecoder>), String> {
    let Tokenizer { model, added_tokens, decoder } = serde_json::from_slice(bytes).map_err(|e| told(&e))?;
    let mut entries = model.vocab;
    add(&mut entries, &added_tokens.unwrap_or_default())?;
    Ok((entries, decoder.and_then(|decoder| decoder.known())))
}

#[derive(Deserialize)]
struct Tokenizer {
    model: Model,
    added_tokens: Option<Vec<AddedToken>>,
    decoder: Option<Decoder>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Entries,
}

#[derive(Deserialize)]
struct AddedToken {
    id: i64,
    content: String,
}

#[derive(Deserialize)]
struct Decoder {
    #[serde(rename = "type")]
    kind: String,
    /// The decoders of a sequence.
    #[serde(default)]
    decoders: Vec<Decoder>,
}

impl Decoder {
    fn known(&self) -> Option<TokenDecoder> {
        match self.kind.as_str() {
            "ByteLevel" => Some(TokenDecoder::ByteLevel),
            "Metaspace" | "ByteFallback" => Some(TokenDecoder::SentencePiece),
            "WordPiece" => Some(TokenDecoder::WordPiece),
            _ => self.decoders.iter().find_map(Decoder::known),
        }
    }
}

/// Adds tokens to those of a model, under the ids that the tokenizers library gives them. This is the id of the same
/// text in the model, or else the next id from the number of the model's entries on. The ids in the file are the same,
/// unless the file was edited. If they differ, they are known as well, as long as nothing else has them.
fn add(entries: &mut Entries, added: &[AddedToken]) -> Result<(), String> {
    let mut next = entries.texts.len() as i64;
    let mut ids: HashMap<&str, Option<i64>> = added.iter().map(|token| (token.content.as_str(), None)).collect();
    for &(id, _, place) in &entries.ids {
        let text = entries.texts.get(place as usize).unwrap_or_default();
        if let Some(known) = ids.get_mut(text) {
            *known = Some(id);
        }
    }
    for AddedToken { id: stated, content } in added.iter().filter(|token| !token.content.is_empty()) {
        let place = u32::try_from(entries.texts.len()).map_err(|_| "it has more than 4 billion entries")?;
        entries.texts.push(content);
        let id = ids.entry(content).or_default().get_or_insert_with(|| {
            next += 1;
            next - 1
        });
        entries.ids.push((*id, Rank::Added, place));
        if stated != id {
            entries.ids.push((*stated, Rank::Stated, place));
        }
    }
    Ok(())
}

/// Any object.
struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Object)
            }
        }

        from.deserialize_map(Entries)
    }
}
