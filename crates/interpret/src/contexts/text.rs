//! The text of all rows, with its words and the windows around them.

use std::borrow::Cow;
use std::ops::Range;

use super::Prompts;
use super::glyphs::glyph_name;
use super::pieces::{Notation, TokenNotation, is_inner};
use crate::one_line::one_line;

/// The text of the rows, cut into prompts.
#[derive(Clone, Debug)]
pub struct Text {
    bytes: Vec<u8>,
    /// End of each row's bytes.
    ends: Vec<usize>,
    prompts: Prompts,
    /// First row of each word, ascending.
    words: Vec<usize>,
}

/// Most rows of a word. Longer words are cut, for example if every character is a token and there are no blanks.
const LONGEST_WORD: usize = 64;

/// The surroundings of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows before the word.
    pub before: Range<usize>,
    /// Rows after the word.
    pub after: Range<usize>,
    /// Whether the prompt continues before and after the window.
    pub cut: (bool, bool),
}

impl Text {
    /// The text of tokens, with one string for each row, in the tokenizer's notation that most of them look like.
    pub fn new(tokens: &[impl AsRef<str>], prompts: Prompts) -> Text {
        let notation = Notation::of(tokens.iter().map(AsRef::as_ref));
        Text::in_notation(tokens, TokenNotation(notation), prompts)
    }

    /// The text of tokens, with one string for each row, in the notation of the vocabulary that they come from.
    pub fn in_notation(tokens: &[impl AsRef<str>], notation: TokenNotation, prompts: Prompts) -> Text {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(tokens.len()));
        for token in tokens {
            notation.0.decode(token.as_ref(), &mut bytes);
            ends.push(bytes.len());
        }
        Text::of_rows(bytes, ends, prompts)
    }

    /// Labels that take the place of words: ids or row numbers.
    pub fn of_labels<L: std::fmt::Display>(labels: impl Iterator<Item = L>, prompts: Prompts) -> Text {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for label in labels {
            // A blank before each label keeps them apart.
            bytes.extend(format!(" {label}").bytes());
            ends.push(bytes.len());
        }
        Text::of_rows(bytes, ends, prompts)
    }

    fn of_rows(bytes: Vec<u8>, ends: Vec<usize>, prompts: Prompts) -> Text {
        let mut text = Text { bytes, ends, prompts, words: Vec::new() };
        let mut words: Vec<usize> = Vec::new();
        for prompt in text.prompts.ranges() {
            for row in prompt.clone() {
                let is_next = row > prompt.start && !text.prompts.is_after_gap(row);
                let goes_on = is_next && words.last().is_some_and(|start| row - start < LONGEST_WORD);
                if !(goes_on && text.joins(row)) {
                    words.push(row);
                }
            }
        }
        text.words = words;
        text
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Whether it is known where prompts begin.
    pub fn knows_prompts(&self) -> bool {
        self.prompts.known
    }

    /// The rows of the word that row `row` belongs to. Punctuation is a word of its own, and no word has more than 64
    /// rows.
    pub fn word(&self, row: usize) -> Range<usize> {
        let next = self.words.partition_point(|&start| start <= row);
        let start = next.checked_sub(1).map_or(0, |index| self.words[index]);
        start..self.words.get(next).copied().unwrap_or(self.ends.len())
    }

    /// The rows of each word, in order.
    pub fn words(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.words.iter().enumerate().map(|(at, &start)| start..self.words.get(at + 1).copied().unwrap_or(self.rows()))
    }

    /// The rows of the prompt of `row`.
    pub fn prompt(&self, row: usize) -> Range<usize> {
        self.prompts.around(row)
    }

    /// The words around `word` within its prompt, up to `words` on each side. The window stops growing when `fits`
    /// refuses all rows that it would have.
    pub fn window(&self, word: Range<usize>, words: usize, fits: impl Fn(Range<usize>) -> bool) -> Window {
        let prompt = self.prompts.around(word.start);
        let (mut before, mut after) = (word.start, word.end);
        let (mut left, mut right) = (words, words);
        // What comes before a word says more about why a model is where it is, so it gets the larger part.
        for turn in 0.. {
            let (can_left, can_right) = (left > 0 && before > prompt.start, right > 0 && after < prompt.end);
            if !can_left && !can_right {
                break;
            }
            if can_left && (turn % 3 != 2 || !can_right) {
                let start = self.word(before - 1).start;
                if fits(start..after) {
                    (before, left) = (start, left - 1);
                } else {
                    left = 0;
                }
            } else {
                let end = self.word(after).end;
                if fits(before..end) {
                    (after, right) = (end, right - 1);
                } else {
                    right = 0;
                }
            }
        }
        Window { before: before..word.start, after: word.end..after, cut: (before > prompt.start, after < prompt.end) }
    }

    /// The text of the rows, as it is.
    pub fn raw(&self, rows: Range<usize>) -> String {
        String::from_utf8_lossy(self.bytes_of(rows)).into_owned()
    }

    /// The text of one row. It is copied only if it is not whole characters.
    fn row(&self, row: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes_of(row..row + 1))
    }

    fn bytes_of(&self, rows: Range<usize>) -> &[u8] {
        let start = rows.start.checked_sub(1).map_or(0, |row| self.ends[row]);
        let end = rows.end.checked_sub(1).map_or(0, |row| self.ends[row]);
        &self.bytes[start..end.max(start)]
    }

    /// The text of each of these rows. If a character is spread over several rows, the last of them has it, and the
    /// others are empty.
    pub fn pieces(&self, rows: Range<usize>) -> Vec<String> {
        let mut pieces: Vec<String> = Vec::with_capacity(rows.len());
        let mut waiting = rows.start;
        for row in rows.clone() {
            let bytes = self.bytes_of(waiting..row + 1);
            if ends_within_a_character(bytes) && row + 1 < rows.end {
                pieces.push(String::new());
            } else {
                pieces.push(String::from_utf8_lossy(bytes).into_owned());
                waiting = row + 1;
            }
        }
        pieces
    }

    /// The text of the rows on one line, without blanks at its ends.
    pub fn join(&self, rows: Range<usize>) -> String {
        one_line(self.raw(rows).trim())
    }

    /// What to call the text of the rows: the text on one line, or the names of its characters if it is no word, as in
    /// `full stop “.”`.
    pub fn name(&self, rows: Range<usize>) -> String {
        glyph_name(&self.raw(rows))
    }

    /// The key by which two words are the same: their names, in lower case.
    pub fn spelling(&self, word: Range<usize>) -> String {
        self.name(word).to_lowercase()
    }

    /// Whether there is a blank between row `row` and the row before it.
    pub fn has_blank_before(&self, row: usize) -> bool {
        self.row(row).starts_with(char::is_whitespace) || row > 0 && self.row(row - 1).ends_with(char::is_whitespace)
    }

    /// Whether row `row` continues the word of the row before it.
    fn joins(&self, row: usize) -> bool {
        let (previous, own) = (self.row(row - 1), self.row(row));
        let (mut behind, mut ahead) = (previous.chars().rev(), own.chars());
        let (last, before_last) = (behind.next(), behind.next());
        let (first, second) = (ahead.next(), ahead.next());
        let inner = |c: Option<char>| c.is_some_and(is_inner);
        let apostrophe = |c: Option<char>| matches!(c, Some('\'' | '’'));
        if previous.trim().is_empty() {
            // Some tokenizers write the blank before a number as a token of its own.
            return last.is_some() && !previous.contains('\n') && inner(first);
        }
        inner(last) && inner(first)
            || inner(last) && apostrophe(first) && inner(second)
            || inner(before_last) && apostrophe(last) && inner(first)
    }
}

/// Whether these bytes end within a character, whatever comes before it.
fn ends_within_a_character(bytes: &[u8]) -> bool {
    let rest = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tokens: &[&str], prompt_ids: Option<&[i64]>) -> Text {
        Text::new(tokens, Prompts::new(tokens.len(), prompt_ids, None))
    }

    #[test]
    fn sub_word_tokens_join_to_words() {
        let t = text(&["up", "stairs", ",", " don", "'t", " ", "1", "9", "3", " re", "-", "open", "s", "."], None);
        let words: Vec<String> = [0, 2, 3, 5, 6, 9, 10, 12, 13].map(|row| t.join(t.word(row))).into();
        assert_eq!(words, ["upstairs", ",", "don't", "193", "193", "re", "-", "opens", "."]);
    }

    #[test]
    fn quotes_are_no_part_of_a_word() {
        let t = text(&[" the", " '", "word", "'", " here", " can'", "t"], None);
        assert_eq!(t.join(t.word(2)), "word");
        assert_eq!(t.join(t.word(5)), "can't");
    }

    #[test]
    fn words_and_windows_stay_in_their_prompt() {
        let t = text(&["sea", "son", "al", " work"], Some(&[0, 1, 1, 1]));
        assert_eq!(t.word(1), 1..3);
        assert_eq!(t.word(0), 0..1);
        let window = t.window(1..3, 9, |_| true);
        assert_eq!(window, Window { before: 1..1, after: 3..4, cut: (false, false) });
    }

    #[test]
    fn a_character_that_is_spread_over_tokens_is_in_the_last_of_them() {
        let t = text(&["Ġcaf", "Ã", "©", "Ġde"], None);
        assert_eq!(t.pieces(0..4), [" caf", "", "é", " de"]);
        assert_eq!(t.pieces(0..2), [" caf", "\u{fffd}"]);
        assert_eq!(t.pieces(2..4), ["\u{fffd}", " de"]);
        // This also holds if a byte that belongs to no character comes first.
        let t = text(&["Ġ", "©Ã", "©"], None);
        assert_eq!(t.pieces(0..3), [" ", "", "\u{fffd}é"]);
    }

    #[test]
    fn text_without_blanks_is_cut_into_words_of_64_rows() {
        let mut tokens = vec!["a"; 200];
        tokens[150] = " b";
        let t = text(&tokens, None);
        let words: Vec<Range<usize>> = [0, 63, 64, 149, 150, 199].map(|row| t.word(row)).into();
        assert_eq!(words, [0..64, 0..64, 64..128, 128..150, 150..200, 150..200]);
    }

    #[test]
    fn a_window_ends_where_it_does_not_fit() {
        let t = text(&["one", " two", " three", " four", " five"], None);
        let window = t.window(2..3, 9, |rows| rows.len() <= 3);
        assert_eq!(window, Window { before: 0..2, after: 3..3, cut: (false, true) });
        let window = t.window(2..3, 1, |_| true);
        assert_eq!((window.before, window.after), (1..2, 3..4));
        assert_eq!(t.window(0..1, 0, |_| true).cut, (false, true));
    }

    #[test]
    fn ideographs_are_words_of_their_own_and_line_breaks_stay_on_the_line() {
        let t = text(&["東", "京", "\n", "a", " b"], None);
        assert_eq!(t.word(0), 0..1);
        assert_eq!(t.raw(0..4), "東京\na");
        assert_eq!(t.join(0..4), "東京⏎a");
    }
}
