//! How alike the strongest tokens of a feature are.

use std::collections::HashMap;
use std::hash::Hash;

use unmix_data::Error;

use super::Labelling;
use super::scores::Purity;

/// Where features are strongest.
#[derive(Clone, Copy, Debug)]
pub struct StrongestRows<'a> {
    /// For each feature, the rows of its strongest tokens, as from [`strongest_tokens`](crate::strongest_tokens). A
    /// feature that no token uses has none.
    pub rows: &'a [Vec<usize>],
    /// The token of each row, if known.
    pub token_ids: Option<&'a [i64]>,
}

impl StrongestRows<'_> {
    /// Refuses anything that does not have `features` features and `tokens` tokens.
    pub(super) fn check(&self, features: usize, tokens: usize) -> Result<(), Error> {
        let inconsistent = |what: &str, found: String, expected: String| {
            Err(Error::Inconsistent { what: what.to_owned(), found, expected })
        };
        if self.rows.len() != features {
            let expected = format!("there are {features} features");
            return inconsistent("the list of strongest tokens", format!("{} entries long", self.rows.len()), expected);
        }
        if let Some(ids) = self.token_ids.filter(|ids| ids.len() != tokens) {
            let expected = format!("there are {tokens} tokens");
            return inconsistent("the column of token ids", format!("{} entries long", ids.len()), expected);
        }
        match self.rows.iter().flatten().find(|&&row| row >= tokens) {
            None => Ok(()),
            Some(row) => inconsistent(
                "the row of a strongest token",
                format!("number {row}"),
                format!("there are {tokens} rows, numbered from 0"),
            ),
        }
    }
}

/// The purity of each feature. Absent if no token uses it.
pub fn purity(strongest: &StrongestRows, labelling: &Labelling) -> Vec<Option<Purity>> {
    let (groups, prompts) = (labelling.groups(), labelling.prompt_of_row());
    let of = |rows: &Vec<usize>| {
        let purity = modal_share(rows.iter().map(|&row| groups[prompts[row] as usize]))?;
        let token_purity = strongest.token_ids.and_then(|ids| modal_share(rows.iter().map(|&row| ids[row])));
        Some(Purity { purity, token_purity, either: purity.max(token_purity.unwrap_or(0.0)) })
    };
    strongest.rows.iter().map(of).collect()
}

/// The share of the values that equal the most frequent one.
fn modal_share<T: Hash + Eq>(values: impl ExactSizeIterator<Item = T>) -> Option<f64> {
    let all = values.len() as f64;
    let mut counts: HashMap<T, usize> = HashMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_values().max().map(|most| most as f64 / all)
}
