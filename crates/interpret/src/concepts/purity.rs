//! How alike the strongest tokens of a feature are.

use std::collections::HashMap;
use std::hash::Hash;

use super::Labelling;
use super::scores::Purity;

/// Where features are strongest.
#[derive(Clone, Copy, Debug)]
pub struct StrongestRows<'a> {
    /// For each feature, the rows of its strongest tokens, as from [`strongest_tokens`](crate::strongest_tokens); none for a
    /// feature that no token uses.
    pub rows: &'a [Vec<usize>],
    /// The token of each row, where known.
    pub token_ids: Option<&'a [i64]>,
}

/// The purity of each feature; absent where no token uses it.
pub fn purity(strongest: &StrongestRows, labelling: &Labelling) -> Vec<Option<Purity>> {
    let (groups, prompts) = (labelling.groups(), labelling.prompt_of_row());
    let of = |rows: &Vec<usize>| {
        let purity = modal_share(rows.iter().map(|&row| groups[prompts[row] as usize]))?;
        let token_purity = strongest.token_ids.and_then(|ids| modal_share(rows.iter().map(|&row| ids[row])));
        Some(Purity { purity, token_purity, either: purity.max(token_purity.unwrap_or(0.0)) })
    };
    strongest.rows.iter().map(of).collect()
}

/// Share of the values that are the most frequent one.
fn modal_share<T: Hash + Eq>(values: impl ExactSizeIterator<Item = T>) -> Option<f64> {
    let all = values.len() as f64;
    let mut counts: HashMap<T, usize> = HashMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_values().max().map(|most| most as f64 / all)
}
