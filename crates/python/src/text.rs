//! The native class `Text`: the tokens of a fit in the order in which the model read them, with their text.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use unmix_data::{FitRecord, TokenStrings, Vocabulary};
use unmix_interpret::{TextGiven, TextSource, TokenText, VocabularyWords, in_reading_order, stored_row};

use crate::errors;
use crate::fit::Fit;

/// The text of a fit's tokens.
#[pyclass(frozen, module = "unmix._unmix")]
pub struct Text {
    /// The fit, with its tokens in reading order.
    pub fit: Arc<FitRecord>,
    /// The text of its tokens.
    pub found: TokenText,
    /// The texts of token ids.
    pub words: VocabularyWords,
    /// The fit, with its tokens in the order of the activations.
    pub as_fitted: Arc<FitRecord>,
}

/// A number of tokens without a text, of different ids, and the row and id of the first of them.
type Unknown = (usize, usize, usize, i64);

#[pymethods]
impl Text {
    /// The text from a string for each token, or else from a vocabulary: a file of it, or its content as JSON.
    #[new]
    #[pyo3(signature = (fit, strings=None, path=None, vocabulary=None))]
    fn new(
        py: Python<'_>,
        fit: Py<Fit>,
        strings: Option<Vec<String>>,
        path: Option<PathBuf>,
        vocabulary: Option<String>,
    ) -> PyResult<Self> {
        let record = &fit.get().record;
        py.detach(|| Text::of(record, strings.as_deref(), path, vocabulary.as_deref())).map_err(errors::of_data)
    }

    /// Where words come from: `tokens`, `vocabulary`, `token_ids` or `rows`.
    #[getter]
    fn source(&self) -> &'static str {
        self.found.source.name()
    }

    /// Whether it is known where prompts begin.
    #[getter]
    fn knows_prompts(&self) -> bool {
        self.found.text.knows_prompts()
    }

    /// Number of tokens that have lost bytes, if they are many.
    #[getter]
    fn lost(&self) -> Option<usize> {
        self.found.lost
    }

    /// Tokens that the vocabulary does not have.
    #[getter]
    fn unknown(&self) -> Option<Unknown> {
        let unknown = self.found.unknown?;
        let row = stored_row(&self.fit.columns, unknown.first_row);
        Some((unknown.rows, unknown.ids, row, unknown.first_id))
    }
}

impl Text {
    /// Whether there are words rather than numbers.
    pub fn has_words(&self) -> bool {
        matches!(self.found.source, TextSource::Tokens | TextSource::Vocabulary)
    }

    fn of(
        record: &Arc<FitRecord>,
        strings: Option<&[String]>,
        path: Option<PathBuf>,
        vocabulary: Option<&str>,
    ) -> Result<Text, unmix_data::Error> {
        let vocabulary = match (vocabulary, path) {
            (Some(json), _) => Some(Vocabulary::from_bytes("the tokenizer", json.as_bytes())?),
            (None, Some(path)) => Some(Vocabulary::read(path)?),
            (None, None) => None,
        };
        let fit = match in_reading_order(record) {
            Cow::Borrowed(_) => Arc::clone(record),
            Cow::Owned(ordered) => Arc::new(ordered),
        };
        let given = match (strings, &vocabulary) {
            (Some(strings), _) => TextGiven::Strings(TokenStrings::of_fit("token_strings", strings, &fit)?),
            (None, Some(vocabulary)) => TextGiven::Vocabulary(vocabulary.clone()),
            (None, None) => TextGiven::Nothing,
        };
        let found = TokenText::of(fit.coefficients.rows, &fit.columns, given)
            .map_err(|error| error.at_stored_row(fit.columns.rows.as_deref()))?;
        Ok(Text { fit, found, words: VocabularyWords::of(vocabulary), as_fitted: Arc::clone(record) })
    }
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Text>()
}
