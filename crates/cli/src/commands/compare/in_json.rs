//! A comparison as JSON.

use serde_json::{Value, json};

use super::comparison::Compared;
use super::fit::Fit;
use crate::output;

/// A comparison for programs.
pub fn in_json(first: &Fit<'_>, compared: &Compared<'_>) -> Value {
    let Compared { fit, comparison } = compared;
    let words = first.words.as_ref().zip(fit.words.as_ref()).map(|(first, second)| [first, second]);
    let mut value = json!(comparison.summary(&fit.record, words));
    value["fit"] = output::json_path(fit.path);
    value
}
