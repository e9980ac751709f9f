//! The health of a fit, in lines for people.

use console::measure_text_width;
use unmix::FitSummary;
use unmix_interpret::report::{HealthLevel, HealthNote};

/// The notes in lines of at most `width` columns. The advice of a note is below it.
pub fn lines<'a>(notes: impl IntoIterator<Item = &'a HealthNote>, width: usize) -> String {
    let mut text = String::new();
    for note in notes {
        let level = format!("{}: ", note.level.name());
        let indent = " ".repeat(level.len());
        wrap(&mut text, &level, &indent, &format!("{}{}", note.text, numbers(&note.features)), width);
        wrap(&mut text, &indent, &indent, &note.advice, width);
    }
    text
}

/// Whether a note is a warning.
pub fn is_warning(note: &&HealthNote) -> bool {
    note.level == HealthLevel::Warning
}

/// Warns if the factors of a fit may be of no use.
pub fn warn_of_fit(summary: &FitSummary) {
    if let Some(warning) = summary.warning() {
        log::warn!("{warning}");
    }
}

/// Adds the words of `sentence` in lines. The first line begins with `first`, the others with `indent`.
fn wrap(text: &mut String, first: &str, indent: &str, sentence: &str, width: usize) {
    let mut line = first.to_owned();
    for word in sentence.split(' ').filter(|word| !word.is_empty()) {
        let is_begun = line.len() > indent.len();
        if is_begun && measure_text_width(&line) + 1 + measure_text_width(word) > width {
            text.push_str(&format!("{line}\n"));
            line = format!("{indent}{word}");
        } else {
            line.push_str(if is_begun { " " } else { "" });
            line.push_str(word);
        }
    }
    if line.len() > indent.len() {
        text.push_str(&format!("{line}\n"));
    }
}

/// The numbers of the features that a note is about, as many as are worth reading.
fn numbers(features: &[usize]) -> String {
    const MOST: usize = 12;
    let shown: Vec<String> = features.iter().take(MOST).map(|k| format!("#{k}")).collect();
    match features.len() {
        0 => String::new(),
        1..=MOST => format!(" ({})", shown.join(", ")),
        _ => format!(" ({}, …)", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_wrapped_under_their_level() {
        let note = HealthNote {
            level: HealthLevel::Warning,
            text: "2 pairs of near copies".to_owned(),
            advice: "Read each pair as one.".to_owned(),
            features: vec![1, 12],
        };
        let found = lines([&note], 31);
        let expected = "warning: 2 pairs of near copies\n         (#1, #12)\n         Read each pair as one.\n";
        assert_eq!(found, expected);
        assert_eq!(lines([&HealthNote { advice: String::new(), ..note }], 80).lines().count(), 1);
    }
}
