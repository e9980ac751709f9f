//! Where features are active: the tokens with the largest coefficients, as words in their contexts.
//!
//! [`in_reading_order`] puts shuffled tokens in order, [`strongest_tokens`] selects rows in one pass over the coefficients, [`Text`] knows the words and prompts around a row,
//! and [`contexts`] puts the two together. Nothing here prints.

mod by_strength;
mod glyphs;
mod in_reading_order;
mod pieces;
mod prompts;
mod strongest;
mod text;

pub use by_strength::{StrengthBand, strength_bands};
pub use glyphs::glyph_name;
pub use in_reading_order::in_reading_order;
pub use pieces::TokenNotation;
pub use prompts::Prompts;
pub use strongest::{Activation, StrongestTokens, strongest_tokens};
pub use text::{Text, Window};

use std::collections::HashMap;
use std::ops::Range;

use unmix::DenseMatrix;

/// A word of the text at which a feature is active.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    /// Row of the word's most active token.
    pub row: usize,
    /// Its coefficient.
    pub coefficient: f32,
    /// Rows of the word.
    pub word: Range<usize>,
}

/// A spelling of the words in [`Contexts::occurrences`].
#[derive(Clone, Debug, PartialEq)]
pub struct Spelling {
    /// Rows of its strongest occurrence.
    pub word: Range<usize>,
    /// How many of the occurrences have this spelling. Upper and lower case count as the same.
    pub count: usize,
}

/// Where one feature is most active.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contexts {
    /// The most active words, strongest first.
    pub occurrences: Vec<Occurrence>,
    /// Their different spellings, strongest first.
    pub spellings: Vec<Spelling>,
}

/// Tokens that are looked at for each word. Several tokens of a word are often active together, so more tokens than
/// words are needed.
pub const TOKENS_A_WORD: usize = 4;

/// The `most` most active words of each feature.
pub fn contexts(coefficients: &DenseMatrix, text: &Text, most: usize) -> Vec<Contexts> {
    let tokens = strongest_tokens(coefficients, most.saturating_mul(TOKENS_A_WORD));
    tokens.iter().map(|tokens| contexts_of_tokens(tokens, text, most)).collect()
}

/// The `most` most active words among `tokens`, which are the strongest tokens of a feature, strongest first.
pub fn contexts_of_tokens(tokens: &[Activation], text: &Text, most: usize) -> Contexts {
    let mut found = Contexts::default();
    let mut places: HashMap<String, usize> = HashMap::new();
    for &Activation { row, coefficient } in tokens {
        if found.occurrences.len() == most {
            break;
        }
        let word = text.word(row);
        if found.occurrences.iter().any(|earlier| earlier.word == word) {
            continue;
        }
        match places.get(&text.spelling(word.clone())) {
            Some(&place) => found.spellings[place].count += 1,
            None => {
                places.insert(text.spelling(word.clone()), found.spellings.len());
                found.spellings.push(Spelling { word: word.clone(), count: 1 });
            }
        }
        found.occurrences.push(Occurrence { row, coefficient, word });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_are_merged_and_tokens_of_one_word_count_once() {
        let tokens = ["In", " Sept", "ember", " or", " september", ".", "Sept", "ember"].map(String::from);
        let text = Text::new(&tokens, Prompts::new(8, Some(&[0, 0, 0, 0, 0, 0, 1, 1]), None));
        let values = vec![0.0, 0.5, 1.0, 0.0, 0.9, 0.1, 0.2, 0.3];
        let y = DenseMatrix { rows: 8, columns: 1, values };
        let found = &contexts(&y, &text, 5)[0];
        let words: Vec<_> = found.spellings.iter().map(|s| (text.join(s.word.clone()), s.count)).collect();
        assert_eq!(words, [("September".to_owned(), 3), (".".to_owned(), 1)]);
        let rows: Vec<_> = found.occurrences.iter().map(|o| o.row).collect();
        assert_eq!(rows, [2, 4, 7, 5]);
    }
}
