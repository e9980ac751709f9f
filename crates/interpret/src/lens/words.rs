//! What the lens found, with the text of each token.

use serde::{Deserialize, Serialize};

use super::{LensReading, TokenIdLogit};

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

impl LensReading {
    /// The same tokens, with the text that `text` gives for their ids.
    pub fn in_words(&self, text: impl Fn(u32) -> String) -> LensWords {
        let named = |tokens: &[TokenIdLogit]| {
            tokens.iter().map(|t| TokenLogit { text: text(t.token_id), logit: t.logit.into() }).collect()
        };
        LensWords { promoted: named(&self.promoted), suppressed: named(&self.suppressed) }
    }
}
