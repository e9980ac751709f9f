//! The table of features that `unmix demo` and `unmix features` print.

use std::ops::Range;

use console::{Alignment, measure_text_width, pad_str, truncate_str};
use unmix::FitSummary;

use crate::output::{Style, percent};
use unmix_interpret::{Contexts, Neuron, Occurrence, REPRODUCIBLE, Text};

/// Strongest words of each feature that are looked at.
pub const OCCURRENCES: usize = 10;

/// The content of the table.
pub struct FeatureTable<'a> {
    /// How the fit went.
    pub summary: &'a FitSummary,
    /// Words and prompts.
    pub text: &'a Text,
    /// Where every feature is active.
    pub contexts: &'a [Contexts],
    /// A guess at the meaning of every feature, if there are labels.
    pub hints: Option<&'a [String]>,
    /// Strongest neurons of every feature, if the table shows them.
    pub neurons: Option<&'a [Vec<Neuron>]>,
    /// Contexts shown for each feature.
    pub top: usize,
    /// Most words shown on each side.
    pub words: usize,
    /// Columns of the terminal.
    pub width: usize,
    /// How text is marked.
    pub style: Style,
}

/// Width of the columns for number, variance and active share, with the blanks after each.
const NUMBERS: usize = 4 + 2 + 8 + 2 + 6 + 2;
/// Width of the column for reproducibility, with its mark and the blanks after it.
const REPRODUCIBILITY: usize = 12 + 2;

impl FeatureTable<'_> {
    /// The table of `features`, in this order, with its heading.
    pub fn render(&self, features: &[usize]) -> String {
        let hint_width = self.hints.map_or(0, |hints| {
            hints.iter().map(|hint| measure_text_width(hint)).max().unwrap_or(0).max("concept".len()) + 2
        });
        let numbers_width = NUMBERS + if self.summary.consensus.is_some() { REPRODUCIBILITY } else { 0 };
        let room = self.width.saturating_sub(numbers_width + hint_width).max(24);
        let hint = |hint: &str| pad_str(hint, hint_width, Alignment::Left, None).into_owned();
        let title = if self.hints.is_some() { hint("concept") } else { String::new() };
        let agreed = if self.summary.consensus.is_some() { "reproducible  " } else { "" };
        let title =
            format!("{:>4}  {:>8}  {:>6}  {agreed}{title}strongest words, and where", "#", "variance", "active");
        let mut text = self.style.strong(&title) + "\n";
        for &k in features {
            let statistics = &self.summary.feature_statistics[k];
            let numbers = format!(
                "{k:>4}  {:>8}  {:>6}  {}{}",
                percent(statistics.explained_share),
                percent(statistics.active_share),
                statistics.reproducibility.map_or_else(String::new, |mean| format!("{:<12}  ", reproducibility(mean))),
                self.hints.map_or_else(String::new, |hints| hint(&hints[k]))
            );
            let blank = " ".repeat(numbers_width + hint_width);
            for (i, line) in self.lines(k, room).iter().enumerate() {
                text.push_str(if i == 0 { &numbers } else { &blank });
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    fn lines(&self, feature: usize, room: usize) -> Vec<String> {
        let contexts = &self.contexts[feature];
        if contexts.occurrences.is_empty() {
            return vec![self.style.faint("(dead: no token uses it)")];
        }
        let mut lines = vec![self.style.strong(&word_list(contexts, self.text, room))];
        let mut shown: Vec<Range<usize>> = Vec::new();
        for occurrence in &contexts.occurrences {
            if shown.len() == self.top {
                break;
            }
            if shown.iter().any(|rows| rows.contains(&occurrence.row)) {
                continue;
            }
            let (line, rows) = self.context(occurrence, contexts, room);
            lines.push(line);
            // One context from each prompt is enough. The other strong words of that prompt are marked in it or are not
            // far away.
            shown.push(if self.text.knows_prompts() { self.text.prompt(occurrence.row) } else { rows });
        }
        if let Some(neurons) = self.neurons {
            let list: Vec<String> =
                neurons[feature].iter().map(|n| format!("{} ({:+.2})", n.neuron, n.weight)).collect();
            lines.push(self.style.faint(&truncate_str(&format!("neurons {}", list.join(", ")), room, "…")));
        }
        lines
    }

    /// A word in its context in at most `room` columns, and the rows that are shown. The feature's other strong words
    /// are marked as well.
    fn context(&self, occurrence: &Occurrence, contexts: &Contexts, room: usize) -> (String, Range<usize>) {
        let marked: Vec<&Range<usize>> = contexts.occurrences.iter().map(|o| &o.word).collect();
        let ellipses = "… ".chars().count() + " …".chars().count();
        let fits = |rows: Range<usize>| measure_text_width(&self.marked(rows, &marked)) + ellipses <= room;
        let mut window = self.text.window(occurrence.word.clone(), self.words, fits);
        if window.cut.0 {
            // A context does not begin with the comma after what is left out.
            while !window.before.is_empty()
                && !self.text.join(window.before.start..window.before.start + 1).contains(char::is_alphanumeric)
            {
                window.before.start += 1;
            }
        }
        let rows = window.before.start..window.after.end;
        let text = self.marked(rows.clone(), &marked);
        let (start, end) = (if window.cut.0 { "… " } else { "" }, if window.cut.1 { " …" } else { "" });
        // Only a word that is wider than the table is ever cut.
        (truncate_str(&format!("{start}{text}{end}"), room, "…").into_owned(), rows)
    }

    /// The text of rows on one line, with marks around the `marked` words. Adjacent words share their marks.
    fn marked(&self, rows: Range<usize>, marked: &[&Range<usize>]) -> String {
        let mut line = String::new();
        let mut row = rows.start;
        while row < rows.end {
            let word = self.text.word(row);
            let is_marked = marked.contains(&&word);
            let mut end = word.end;
            while is_marked && end < rows.end && marked.contains(&&self.text.word(end)) {
                end = self.text.word(end).end;
            }
            let text = self.text.join(row..end);
            if row > rows.start && !text.is_empty() && self.text.has_blank_before(row) {
                line.push(' ');
            }
            line.push_str(&if is_marked { self.style.strong(&format!("«{text}»")) } else { text });
            row = end;
        }
        line
    }
}

/// A reproducibility in words, with a mark if it is low.
pub fn reproducibility(mean: f64) -> String {
    format!("{mean:.2}{}", if mean < REPRODUCIBLE { " ?" } else { "" })
}

/// The words of a feature, strongest first, as many as fit in `room` columns.
pub fn word_list(contexts: &Contexts, text: &Text, room: usize) -> String {
    let mut list = String::new();
    for spelling in &contexts.spellings {
        let word = text.name(spelling.word.clone());
        let count = if spelling.count > 1 { format!(" ×{}", spelling.count) } else { String::new() };
        let separator = if list.is_empty() { "" } else { " · " };
        let longer = format!("{list}{separator}{word}{count}");
        if measure_text_width(&longer) > room && !list.is_empty() {
            break;
        }
        list = longer;
    }
    truncate_str(&list, room, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmix::DenseMatrix;
    use unmix_interpret::{Prompts, contexts};

    fn lines(coefficients: [f32; 8], room: usize) -> Vec<String> {
        let tokens = ["A", " loose", " kn", "ot", ",", " tested", "One", " more"];
        let text = Text::new(&tokens, Prompts::new(8, Some(&[0, 0, 0, 0, 0, 0, 1, 1]), None));
        let found = contexts(&DenseMatrix { rows: 8, columns: 1, values: coefficients.into() }, &text, OCCURRENCES);
        let summary: FitSummary = serde_json::from_str(SUMMARY).expect("a summary");
        let table = FeatureTable {
            summary: &summary,
            text: &text,
            contexts: &found,
            hints: None,
            neurons: None,
            top: 3,
            words: usize::MAX,
            width: room + NUMBERS,
            style: Style::PLAIN,
        };
        let rendered = table.render(&[0]);
        assert!(rendered.lines().skip(1).all(|line| measure_text_width(line) <= room + NUMBERS), "{rendered}");
        rendered.lines().skip(1).map(|line| line.chars().skip(NUMBERS).collect()).collect()
    }

    const SUMMARY: &str = r#"{"relative_error": 0.5, "iterations": 1, "best_iteration": 1, "stop_reason": "converged",
        "seconds": 0, "engine": "", "adapter": "", "tokens": 8, "neurons": 1, "kept_per_feature": 1, "squared_norm": 1,
        "loss_curve": [1], "objective_curve": [], "revived": [], "dead_features": [], "feature_statistics": [
        {"energy_share": 0.1, "explained_share": 0.1, "active_share": 0.5, "max_coefficient": 1, "norm": 1, "nonzeros": 1}],
        "options": {"rank": 1, "sparsity": 1, "solver": "hals", "penalty": 0, "init": "kmeans", "seed": 0,
        "max_iterations": 1, "tolerance": 0, "patience": 1, "ridge": 0, "sweeps": 1, "revive": true, "keep_best": true,
        "debias": false}}"#;

    #[test]
    fn each_prompt_is_shown_once_with_all_its_strong_words() {
        let found = lines([0.0, 0.5, 0.0, 1.0, 0.0, 0.4, 0.7, 0.0], 40);
        assert_eq!(found, ["knot · One · loose · tested", "A «loose knot», «tested»", "«One» more"]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_at_the_ends() {
        let found = lines([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], 24);
        assert_eq!(found, ["tested", "… loose knot, «tested»"]);
    }

    #[test]
    fn a_dead_feature_says_so() {
        assert_eq!(lines([0.0; 8], 40), ["(dead: no token uses it)"]);
    }
}
