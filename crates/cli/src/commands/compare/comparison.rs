//! How a fit matches the first one, and what chance would give.

use unmix::Matching;
use unmix_interpret::links::{Measure, common_coefficients};
use unmix_interpret::{match_by_chance, match_correlations_by_chance};

use super::fit::Fit;
use crate::failure::Failure;

/// Shuffles that show what chance gives. Each has as many pairs as the matching itself.
const SHUFFLES: usize = 3;

/// A fit that is compared with the first one.
pub struct Comparison<'a> {
    /// The fit.
    pub fit: &'a Fit<'a>,
    /// By what features are compared.
    pub measure: Measure,
    /// Pairs of features of the first fit and of this one.
    pub matching: Matching,
    chance: Vec<Matching>,
}

impl<'a> Comparison<'a> {
    /// Compares a fit with the first one, by what was asked for or by what is meaningful.
    pub fn of(first: &Fit<'_>, fit: &'a Fit<'a>, asked: Option<Measure>) -> Result<Self, Failure> {
        let Some(measure) = asked.or_else(|| Measure::between(&first.record, &fit.record)) else {
            return Err(Failure::Usage(format!(
                "{}: its features are over {} neurons, those of {} over {}; only the features of one layer have cosines. If the rows \
                 of both fits are the same tokens, compare their coefficients with --by correlation",
                fit.path.display(),
                fit.record.features.columns,
                first.path.display(),
                first.record.features.columns
            )));
        };
        let matching = measure
            .matching(&first.record, &fit.record)
            .map_err(|error| Failure::Usage(format!("{}: {error}", fit.path.display())))?;
        let chance = match measure {
            Measure::Cosine => match_by_chance(&first.record.features, &fit.record.features, SHUFFLES, 0)?,
            Measure::Correlation => {
                let common = common_coefficients(&first.record, &fit.record);
                common.map_or_else(Vec::new, |(a, b)| match_correlations_by_chance(&a, &b, SHUFFLES, 0))
            }
        };
        Ok(Comparison { fit, measure, matching, chance })
    }

    /// From this similarity on, a feature counts as found again.
    pub fn found_from(&self) -> f32 {
        self.measure.same_from()
    }

    /// Number of features that were found again.
    pub fn found_again(&self) -> usize {
        self.matching.at_least(self.found_from())
    }

    /// The mean of a figure over the shuffles.
    pub fn by_chance(&self, figure: impl Fn(&Matching) -> f64) -> f64 {
        self.chance.iter().map(figure).sum::<f64>() / self.chance.len().max(1) as f64
    }

    /// The same for the number of features that were found again.
    pub fn found_again_by_chance(&self) -> f64 {
        self.by_chance(|matching| matching.at_least(self.found_from()) as f64)
    }
}
