//! The names that labels give to prompts and concepts.

use std::collections::HashMap;

use unmix_data::{FitRecord, PromptLabels};

/// The concept of each token's prompt, if the fit knows prompts and all of them have a label.
pub fn prompt_concepts(labels: &PromptLabels, fit: &FitRecord) -> Option<Vec<String>> {
    let entries = labels.entries(fit.columns.prompt_ids.as_deref()?).ok()?;
    Some(entries.into_iter().map(|entry| labels.label(entry).concept.to_owned()).collect())
}

/// The wider concept of each concept, by name.
pub fn wider_concepts(labels: &PromptLabels) -> HashMap<String, String> {
    labels.labels().filter_map(|label| Some((label.concept.to_owned(), label.parent?.to_owned()))).collect()
}
