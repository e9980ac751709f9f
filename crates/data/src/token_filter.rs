//! Which tokens to leave out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which tokens to leave out of activations. The default leaves out none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenFilter {
    /// Leaves out tokens with these ids. This needs a column `token_ids`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_token_ids: Vec<i64>,
    /// Leaves out this many tokens at the beginning of each prompt, whatever else leaves tokens out. This needs a
    /// column `prompt_ids`, or a batch of sequences. Prompts whose rows were shuffled are put in order by `positions`
    /// first.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip_first: u64,
    /// Leaves out tokens with a larger norm. To find them, all activations are read once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<NormLimit>,
    /// Leaves out tokens for which this tensor is zero or false. Each file must have such a tensor, with an entry for
    /// each row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
}

impl TokenFilter {
    /// Whether the filter leaves out no token.
    pub fn is_empty(&self) -> bool {
        *self == TokenFilter::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The largest norm of a token that is kept. As text, `10x` is ten times the median norm, and `10` is the norm 10.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum NormLimit {
    /// A norm.
    Norm(f64),
    /// This many times the median norm of the tokens that nothing else leaves out.
    TimesMedian(f64),
}

impl FromStr for NormLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<NormLimit, String> {
        let (number, limit): (&str, fn(f64) -> NormLimit) = match text.strip_suffix(['x', 'X', '×']) {
            Some(number) => (number, NormLimit::TimesMedian),
            None => (text, NormLimit::Norm),
        };
        match number.trim().parse::<f64>() {
            Ok(number) if number > 0.0 && number.is_finite() => Ok(limit(number)),
            _ => {
                Err("a number above 0 is needed: 10x is ten times the median norm of the tokens, 10 the norm 10"
                    .to_owned())
            }
        }
    }
}

impl fmt::Display for NormLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NormLimit::Norm(norm) => write!(f, "{norm}"),
            NormLimit::TimesMedian(times) => write!(f, "{times}x"),
        }
    }
}

impl From<NormLimit> for String {
    fn from(limit: NormLimit) -> String {
        limit.to_string()
    }
}

impl TryFrom<String> for NormLimit {
    type Error = String;

    fn try_from(text: String) -> Result<NormLimit, String> {
        text.parse()
    }
}

/// How many rows were left out. Each counts for the first reason that holds, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LeftOut {
    /// Left out by the attention mask of a batch.
    pub by_attention_mask: u64,
    /// Left out by the mask that [`TokenFilter::keep`] names.
    pub by_mask: u64,
    /// Left out by their token id.
    pub by_token_id: u64,
    /// Left out as one of the first tokens of their prompt.
    pub by_place: u64,
    /// Left out by their norm.
    pub by_norm: u64,
    /// The largest norm of a token that is kept, if there is a limit.
    pub norm_limit: Option<f64>,
}

impl LeftOut {
    /// Number of all rows that were left out.
    pub fn total(&self) -> u64 {
        self.by_attention_mask + self.by_mask + self.by_token_id + self.by_place + self.by_norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_multiples_or_norms() {
        assert_eq!("10x".parse(), Ok(NormLimit::TimesMedian(10.0)));
        assert_eq!("2.5".parse(), Ok(NormLimit::Norm(2.5)));
        for text in ["", "x", "-1x", "0", "inf", "nanx", "1e400", "10y"] {
            assert!(text.parse::<NormLimit>().is_err(), "{text}");
        }
        for limit in [NormLimit::Norm(0.1), NormLimit::TimesMedian(1e300)] {
            assert_eq!(limit.to_string().parse(), Ok(limit));
        }
    }

    #[test]
    fn a_filter_is_json_of_what_it_does() {
        let filter =
            TokenFilter { skip_first: 1, max_norm: Some(NormLimit::TimesMedian(10.0)), ..TokenFilter::default() };
        let json = serde_json::to_string(&filter).expect("JSON");
        assert_eq!(json, r#"{"skip_first":1,"max_norm":"10x"}"#);
        assert_eq!(serde_json::from_str::<TokenFilter>(&json).expect("read"), filter);
        assert!(serde_json::from_str::<TokenFilter>(r#"{"max_norm":"-1"}"#).is_err());
        assert!(serde_json::from_str::<TokenFilter>(r#"{"skip_last":1}"#).is_err());
    }
}
