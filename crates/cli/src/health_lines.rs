//! The health of a fit, in lines for people.

use unmix_interpret::report::{HealthLevel, HealthNote};

/// A line for each note, the advice below it.
pub fn lines<'a>(notes: impl IntoIterator<Item = &'a HealthNote>) -> String {
    let mut text = String::new();
    for note in notes {
        let level = note.level.name();
        text.push_str(&format!("{level}: {}{}\n", note.text, numbers(&note.features)));
        if !note.advice.is_empty() {
            text.push_str(&format!("{}  {}\n", " ".repeat(level.len()), note.advice));
        }
    }
    text
}

/// Whether a note is a warning.
pub fn is_warning(note: &&HealthNote) -> bool {
    note.level == HealthLevel::Warning
}

/// Numbers of features behind a note, as many as are worth reading.
fn numbers(features: &[usize]) -> String {
    const MOST: usize = 12;
    let shown: Vec<String> = features.iter().take(MOST).map(|k| format!("#{k}")).collect();
    match features.len() {
        0 => String::new(),
        1..=MOST => format!(" ({})", shown.join(", ")),
        _ => format!(" ({}, …)", shown.join(", ")),
    }
}
