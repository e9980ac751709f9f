//! What a model's `config.json` says.

use serde_json::Value;
use unmix_data::Weights;

use super::LensError;

/// Entries of a model's configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a> {
    whole: Option<&'a Value>,
    /// The part about the text model, if there is one, or else the whole.
    text: Option<&'a Value>,
}

/// Where models that also read images or sound keep the part about their text model.
const PARTS: [&str; 4] = ["thinker_config", "text_config", "language_config", "llm_config"];

impl<'a> Config<'a> {
    pub(super) fn of(weights: &'a Weights) -> Config<'a> {
        let whole = weights.config();
        let mut text = whole;
        while let Some(part) =
            text.and_then(|text| PARTS.iter().find_map(|part| text.get(part)?.is_object().then_some(&text[part])))
        {
            text = Some(part);
        }
        Config { whole, text }
    }

    /// The type of the text model, or that of the whole if the text model has none.
    pub(super) fn model_type(&self) -> Option<&'a str> {
        self.value("model_type")?.as_str()
    }

    /// An entry of the text model, or of the whole if the text model does not have it. Absent also if the entry is
    /// null.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.entry(key).filter(|value| !value.is_null())
    }

    /// As [`value`](Config::value), but null if the configuration has null.
    fn entry(&self, key: &str) -> Option<&'a Value> {
        [self.text, self.whole].into_iter().find_map(|part| part?.get(key))
    }

    /// A number: that of the entry, or `default` if there is no such entry. Absent if the entry is null.
    pub(super) fn number(&self, key: &'static str, default: Option<f64>) -> Result<Option<f64>, LensError> {
        match self.entry(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64().filter(|number| number.is_finite()) {
                Some(number) => Ok(Some(number)),
                None => Err(LensError::Config { key, found: value.to_string(), expected: "a finite number" }),
            },
        }
    }

    /// Whether an entry is true or false, if it is there.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.value(key)?.as_bool()
    }

    /// Whether the unembedding is the embedding, if the configuration says so. As in transformers, the entry of the
    /// whole counts before that of the text model.
    pub(super) fn is_tied(&self) -> Option<bool> {
        let said = |part: Option<&Value>| part?.get("tie_word_embeddings")?.as_bool();
        said(self.whole).or_else(|| said(self.text))
    }

    /// Number of layers. Heads that predict further tokens may have numbers beyond it.
    pub(super) fn layers(&self) -> Option<u64> {
        ["num_hidden_layers", "n_layer", "num_layers", "n_layers"].iter().find_map(|key| self.value(key)?.as_u64())
    }

    /// Number of tokens in the vocabulary.
    pub(super) fn tokens(&self) -> Option<u64> {
        self.value("vocab_size")?.as_u64()
    }
}
