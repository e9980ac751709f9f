//! Comparisons as text.

use unmix::{MatchedPair, Matching};
use unmix_interpret::links::Measure;

use super::comparison::Compared;
use super::fit::Fit;
use crate::feature_table::word_list;
use crate::output::{self, Style, Table};

/// One line for each fit.
pub fn table(first: &Fit<'_>, comparisons: &[Compared<'_>]) -> Table {
    let measures = || comparisons.iter().map(|compared| compared.comparison.measure);
    let is_mixed = measures().any(|measure| measure != Measure::Cosine) && measures().any(|m| m == Measure::Cosine);
    let mean = match measures().next() {
        _ if is_mixed => ">mean",
        Some(Measure::Correlation) => ">mean correlation",
        _ => ">mean cosine",
    };
    let mut titles = vec!["fit", ">features", ">error", mean, ">median", ">by chance", ">found again"];
    if is_mixed {
        titles.push("compared by");
    }
    let mut table = Table::new(&titles);
    let cells = |fit: &Fit<'_>| {
        let error = format!("{:.4}", fit.record.run.summary.relative_error);
        vec![fit.path.display().to_string(), fit.record.features.rows.to_string(), error]
    };
    table.row(cells(first));
    for Compared { fit, comparison } in comparisons {
        let matching = &comparison.matching;
        let mut row = cells(fit);
        row.extend([matching.stability(), matching.median(), comparison.by_chance(Matching::stability)].map(three));
        row.push(format!("{} of {}", comparison.found_again(), matching.possible));
        if is_mixed {
            row.push(comparison.measure.name().to_owned());
        }
        table.row(row);
    }
    table
}

/// What the numbers mean, in sentences.
pub fn sentences(Compared { fit, comparison }: &Compared<'_>) -> String {
    let (matching, path) = (&comparison.matching, output::path(fit.path));
    let verdict = comparison.verdict();
    if matching.possible == 0 {
        return format!("{path}: {}{}\n", verdict[..1].to_lowercase(), &verdict[1..]);
    }
    let name = comparison.measure.name();
    let shuffled = match comparison.measure {
        Measure::Cosine => "each neuron's weights shuffled among the features",
        Measure::Correlation => "the tokens of the second fit in a random order",
    };
    format!(
        "{path}: {} of {} features were found again, with a counterpart of a {name} of at least {}. \
         By chance {:.0} would be.\n\
         The {name} with the counterpart is {} on average (0 where there is none) and {} at the median.\n\
         By chance it is {} on average, with {shuffled}.\n{verdict}\n",
        comparison.found_again(),
        matching.possible,
        comparison.found_from(),
        comparison.found_again_by_chance(),
        three(matching.stability()),
        three(matching.median()),
        three(comparison.by_chance(Matching::stability)),
    )
}

/// The most similar pairs, with the words of both features if they are known.
pub fn pairs(first: &Fit<'_>, compared: &Compared<'_>, top: usize, style: Style) -> String {
    let Compared { fit, comparison } = compared;
    /// Width of the numbers and of the space between columns.
    const NUMBERS: usize = 5 + 2 + 6 + 2 + 11 + 4;
    let shown: Vec<&MatchedPair> = comparison.matching.pairs.iter().take(top).collect();
    if shown.is_empty() {
        return String::new();
    }
    let room = (output::width().saturating_sub(NUMBERS) / 2).max(12);
    let words = |fit: &Fit<'_>, feature: usize| {
        let words = fit.words.as_ref();
        words.map(|words| word_list(&words.of_features[feature], &words.text, room)).unwrap_or_default()
    };
    let similarity_title = match comparison.measure {
        Measure::Cosine => ">cosine",
        Measure::Correlation => ">correlation",
    };
    let has_words = first.words.is_some();
    let mut table = if has_words {
        Table::new(&[">first", "its words", ">second", "its words", similarity_title])
    } else {
        Table::new(&[">first", ">second", similarity_title])
    };
    for pair in shown {
        let (a, b) = (pair.first.to_string(), pair.second.to_string());
        let similarity = three(pair.cosine.into());
        table.row(if has_words {
            vec![a, words(first, pair.first), b, words(fit, pair.second), similarity]
        } else {
            vec![a, b, similarity]
        });
    }
    let title = style.strong(&format!("Most alike in {}", fit.path.display()));
    format!("\n{title}\n{}", table.render(style))
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}
