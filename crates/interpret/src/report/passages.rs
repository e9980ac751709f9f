//! Passages of text around the tokens at which something is strongest.

use std::collections::HashMap;
use std::ops::Range;

use super::{Context, Piece};
use crate::{Activation, Text};

/// What passages are cut from.
pub(super) struct Passages<'a> {
    pub text: &'a Text,
    /// Number of each row's prompt, if known.
    pub prompt_ids: Option<&'a [i64]>,
    /// Label of each row's prompt, if known.
    pub labels: Option<&'a [String]>,
    /// Most passages for one feature.
    pub most: usize,
    /// Tokens on each side of the strongest token.
    pub window: usize,
}

/// A passage that was chosen, before its strengths are known.
pub(super) struct Passage {
    /// The token that it was chosen for.
    pub peak: Activation,
    rows: Range<usize>,
    /// How many passages with the same text are left out for it.
    merged: usize,
}

/// What has been shown of a feature already.
#[derive(Default)]
pub(super) struct Seen {
    /// Rows of the passages.
    rows: Vec<Range<usize>>,
    /// Their texts, with their place in the list that is being put together.
    texts: HashMap<String, Option<usize>>,
}

impl Passages<'_> {
    /// The passages around `tokens` that have not been seen, in their order. A token that an earlier passage shows gets
    /// no passage of its own, and passages with the same text are merged.
    pub fn unseen(&self, tokens: &[Activation], seen: &mut Seen) -> Vec<Passage> {
        seen.texts.values_mut().for_each(|place| *place = None);
        let mut found: Vec<Passage> = Vec::new();
        for &peak in tokens {
            if found.len() == self.most {
                break;
            }
            let (row, prompt) = (peak.row, self.text.prompt(peak.row));
            let rows = row.saturating_sub(self.window).max(prompt.start)
                ..row.saturating_add(self.window).saturating_add(1).min(prompt.end);
            if seen.rows.iter().any(|earlier| earlier.contains(&row)) {
                continue;
            }
            if let Some(&place) = seen.texts.get(&self.text.raw(rows.clone())) {
                if let Some(place) = place {
                    found[place].merged += 1;
                }
                continue;
            }
            seen.texts.insert(self.text.raw(rows.clone()), Some(found.len()));
            seen.rows.push(rows.clone());
            found.push(Passage { peak, rows, merged: 0 });
        }
        found
    }

    /// The text of a passage. `strength(rows)` gives the coefficients of rows, which are shown relative to `largest`.
    pub fn context(&self, passage: &Passage, largest: f32, strength: impl Fn(Range<usize>) -> Vec<f32>) -> Context {
        let Passage { peak, rows, merged } = passage;
        let prompt = self.text.prompt(peak.row);
        let relative = |y: f32| if largest > 0.0 { (y / largest).clamp(0.0, 1.0) } else { 0.0 };
        let pieces = self.text.pieces(rows.clone()).into_iter().zip(strength(rows.clone()));
        Context {
            pieces: pieces.map(|(text, y)| Piece { text, strength: relative(y) }).collect(),
            peak: peak.row - rows.start,
            coefficient: peak.coefficient.into(),
            prompt: self.prompt_ids.map(|ids| ids[peak.row]),
            prompt_label: self.labels.map(|labels| labels[peak.row].clone()),
            cut_before: rows.start > prompt.start,
            cut_after: rows.end < prompt.end,
            merged: *merged,
        }
    }
}

/// The tokens that passages were chosen for.
pub(super) fn peaks(passages: &[Passage]) -> Vec<Activation> {
    passages.iter().map(|passage| passage.peak).collect()
}

/// The strength at the first of these tokens, which are in order of strength.
pub(super) fn largest(strongest: &[Activation]) -> f32 {
    strongest.first().map_or(0.0, |first| first.coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prompts;

    fn activations(rows: &[usize]) -> Vec<Activation> {
        rows.iter().enumerate().map(|(i, &row)| Activation { row, coefficient: 8.0 - i as f32 }).collect()
    }

    #[test]
    fn passages_stay_in_their_prompt_and_equal_ones_are_one() {
        let tokens = ["a", " b", " c", " d", " e", " a", " b", " c", " d", " e", "a", " b", " c", " d", " e"];
        let ids: Vec<i64> = (0..15).map(|i| i / 5).collect();
        let text = Text::new(&tokens, Prompts::new(15, Some(&ids), None));
        let passages = Passages { text: &text, prompt_ids: Some(&ids), labels: None, most: 9, window: 1 };
        // Row 3 is shown by the passage around row 2. Rows 2 and 12 have the same words around them.
        let chosen = passages.unseen(&activations(&[2, 3, 12, 0, 14]), &mut Seen::default());
        assert_eq!(peaks(&chosen).iter().map(|peak| peak.row).collect::<Vec<_>>(), [2, 0, 14]);
        let strength = |rows: Range<usize>| rows.map(|row| row as f32).collect();
        let found: Vec<Context> = chosen.iter().map(|passage| passages.context(passage, 8.0, strength)).collect();
        let texts: Vec<String> =
            found.iter().map(|c| c.pieces.iter().map(|p| p.text.as_str()).collect::<String>()).collect();
        assert_eq!(texts, [" b c d", "a b", " d e"]);
        assert_eq!(found.iter().map(|c| (c.peak, c.merged)).collect::<Vec<_>>(), [(1, 1), (0, 0), (1, 0)]);
        assert_eq!(
            found.iter().map(|c| (c.cut_before, c.cut_after)).collect::<Vec<_>>(),
            [(true, true), (false, true), (true, false)]
        );
        assert_eq!(found[0].pieces.iter().map(|p| p.strength).collect::<Vec<_>>(), [0.125, 0.25, 0.375]);
        assert_eq!(found[2].prompt, Some(2));
    }

    #[test]
    fn what_has_been_seen_is_not_shown_again() {
        let tokens = ["a", " b", " c", " d", "a", " b", " c", " e"];
        let ids = [0, 0, 0, 0, 1, 1, 1, 1];
        let text = Text::new(&tokens, Prompts::new(8, Some(&ids), None));
        let passages = Passages { text: &text, prompt_ids: None, labels: None, most: 9, window: 1 };
        let mut seen = Seen::default();
        let rows = |found: Vec<Passage>| found.iter().map(|p| p.peak.row).collect::<Vec<_>>();
        assert_eq!(rows(passages.unseen(&activations(&[1]), &mut seen)), [1]);
        // Row 2 is in the first passage, and the passage around row 5 has the same text as the first.
        let second = passages.unseen(&activations(&[2, 5, 7]), &mut seen);
        assert!(second.iter().all(|passage| passage.merged == 0));
        assert_eq!(rows(second), [7]);
    }

    #[test]
    fn no_more_passages_than_wanted_and_none_for_what_is_never_active() {
        let text = Text::new(&["a"; 9], Prompts::new(9, None, None));
        let passages = Passages { text: &text, prompt_ids: None, labels: None, most: 2, window: 0 };
        assert_eq!(passages.unseen(&activations(&[8, 1, 4]), &mut Seen::default()).len(), 1);
        assert!(passages.unseen(&[], &mut Seen::default()).is_empty());
    }
}
