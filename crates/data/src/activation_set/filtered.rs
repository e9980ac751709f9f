//! Leaves tokens out of activations.

use unmix::{ActivationSource, OutlierTokens};

use super::ActivationSet;
use crate::token_filter::{LeftOut, NormLimit, TokenFilter};
use crate::{Error, OrdinaryReads, reading_order, token_norms};

impl ActivationSet {
    /// The same activations without the tokens that `filter` leaves out.
    ///
    /// # Errors
    /// If a column that it needs is missing, a file has no mask of that name or none that fits, reading the norms fails, or no token
    /// is left.
    pub fn filtered(&self, filter: &TokenFilter) -> Result<ActivationSet, Error> {
        let mut kept = vec![true; self.tokens() as usize];
        let mut left_out = self.left_out;
        let LeftOut { by_mask, by_token_id, by_place, .. } = &mut left_out;
        if let Some(name) = &filter.keep {
            let masks = self.files.iter().map(|file| file.mask(name)).collect::<Result<Vec<_>, _>>()?.concat();
            *by_mask += leave_out(&mut kept, self.kept.stored().map(|row| !masks[row as usize]));
        }
        if !filter.skip_token_ids.is_empty() {
            let why = "skipping tokens by their id needs it";
            let ids = self.column(self.columns.token_ids.as_deref(), "token_ids", why)?;
            *by_token_id += leave_out(&mut kept, ids.iter().map(|id| filter.skip_token_ids.contains(id)));
        }
        if filter.skip_first > 0 {
            let why = "skipping the first tokens of each prompt needs it";
            let ids = self.column(self.columns.prompt_ids.as_deref(), "prompt_ids", why)?;
            let places = reading_order::places(ids, self.columns.positions.as_deref());
            *by_place += leave_out(&mut kept, places.into_iter().map(|place| place < filter.skip_first));
        }
        let mut set = self.retain(&kept, "what is to be left out leaves out all; leave out fewer")?;
        set.filter = filter.clone();
        set.left_out = left_out;
        match filter.max_norm {
            None => Ok(set),
            Some(limit) => set.up_to(limit),
        }
    }

    /// The tokens up to a norm. Those with numbers that are not finite are kept, so that a fit finds them and says so.
    fn up_to(&self, limit: NormLimit) -> Result<ActivationSet, Error> {
        let norms = token_norms::squared_norms(&OrdinaryReads(self.clone()))?;
        let largest = match limit {
            NormLimit::Norm(norm) => norm * norm,
            NormLimit::TimesMedian(times) => OutlierTokens::median(&norms).unwrap_or(0.0) * times * times,
        };
        let kept: Vec<bool> = norms.iter().map(|norm| !norm.is_finite() || *norm <= largest).collect();
        let mut set = self.retain(&kept, "every token has a larger norm; raise the limit")?;
        set.left_out.by_norm = self.tokens() - set.tokens();
        set.left_out.norm_limit = Some(largest.sqrt());
        Ok(set)
    }

    /// A column that is needed.
    fn column<'a>(&self, column: Option<&'a [i64]>, name: &'static str, why: &'static str) -> Result<&'a [i64], Error> {
        column.ok_or_else(|| Error::MissingColumn { path: self.files[0].path().to_owned(), column: name, why })
    }
}

/// Marks tokens as left out, and counts those that were not yet. `leaves` has an entry for each token.
fn leave_out(kept: &mut [bool], leaves: impl Iterator<Item = bool>) -> u64 {
    let mut count = 0;
    for (kept, leaves) in kept.iter_mut().zip(leaves) {
        count += u64::from(*kept && leaves);
        *kept &= !leaves;
    }
    count
}
