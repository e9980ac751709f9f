//! What the lens found, with the text of each token.

use serde::{Deserialize, Serialize};
use unmix::DenseMatrix;
use unmix_data::unknown_token;

use super::{LensChance, LensError, LensReading, Readout, TokenIdLogit};
use crate::VocabularyWords;

/// Promoted and suppressed tokens of each feature, in reports and exports.
const TOKENS: usize = 12;

/// A token's text, and how much a direction favours it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogit {
    /// The token's text.
    pub text: String,
    /// Its logit minus the mean over all tokens, as in [`TokenIdLogit`].
    pub logit: f64,
}

/// A [`LensReading`] for people and for other tools.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LensWords {
    /// Tokens with the largest logits, largest first.
    pub promoted: Vec<TokenLogit>,
    /// Tokens with the smallest logits, smallest first.
    pub suppressed: Vec<TokenLogit>,
}

/// A [`LensReading`] for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedReading {
    /// Mean of the logits over all tokens.
    pub mean_logit: f64,
    /// Tokens with the largest logits, largest first.
    pub promoted: Vec<NamedToken>,
    /// Tokens with the smallest logits, smallest first.
    pub suppressed: Vec<NamedToken>,
}

/// A token by its id and its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedToken {
    /// Its id.
    pub token_id: u32,
    /// Its text, if a vocabulary has it.
    pub text: Option<String>,
    /// What to show for it: its text on one line, with blanks at its ends as dots, or else its id.
    pub shown: String,
    /// Its logit minus the mean over all tokens.
    pub logit: f32,
}

impl LensReading {
    /// The same tokens, each with its text, or with its id if `words` do not know it.
    pub fn in_words(&self, words: &VocabularyWords) -> LensWords {
        let text = |id| words.text(id).unwrap_or_else(|| unknown_token(id.into()));
        let named = |tokens: &[TokenIdLogit]| {
            tokens.iter().map(|t| TokenLogit { text: text(t.token_id), logit: t.logit.into() }).collect()
        };
        LensWords { promoted: named(&self.promoted), suppressed: named(&self.suppressed) }
    }

    /// The same tokens by id and text.
    pub fn named(&self, words: &VocabularyWords) -> NamedReading {
        let token = |&TokenIdLogit { token_id, logit }: &TokenIdLogit| NamedToken {
            token_id,
            text: words.text(token_id),
            shown: words.shown(token_id),
            logit,
        };
        let named = |tokens: &[TokenIdLogit]| tokens.iter().map(token).collect();
        NamedReading {
            mean_logit: self.mean_logit,
            promoted: named(&self.promoted),
            suppressed: named(&self.suppressed),
        }
    }
}

impl Readout {
    /// For each of `features` [K, d], the tokens that it promotes and suppresses most. Tokens that `words` do not know
    /// appear by their id.
    ///
    /// # Errors
    /// As [`Readout::directions`] and [`Readout::read`].
    pub fn promoted_and_suppressed(
        &self,
        features: &DenseMatrix,
        words: &VocabularyWords,
    ) -> Result<Vec<LensWords>, LensError> {
        let readings = self.read(&self.directions(features)?, TOKENS)?;
        Ok(readings.iter().map(|reading| reading.in_words(words)).collect())
    }

    /// The same, but only the tokens that random directions do not reach, and what that takes.
    ///
    /// # Errors
    /// As [`Readout::directions`] and [`Readout::read`].
    pub fn promoted_beyond_chance(
        &self,
        features: &DenseMatrix,
        words: &VocabularyWords,
    ) -> Result<(Vec<LensWords>, LensChance), LensError> {
        let (readings, chance) = self.read_beyond_chance(features, TOKENS, 0)?;
        Ok((readings.iter().map(|reading| reading.in_words(words)).collect(), chance))
    }
}
