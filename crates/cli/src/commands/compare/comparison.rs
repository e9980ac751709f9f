//! A fit that is compared with the first one.

use unmix_interpret::Comparison;
use unmix_interpret::links::Measure;

use super::fit::Fit;
use crate::failure::Failure;

/// A fit, and how it matches the first one.
pub struct Compared<'a> {
    /// The fit.
    pub fit: &'a Fit<'a>,
    /// How its features match.
    pub comparison: Comparison,
}

impl<'a> Compared<'a> {
    /// Compares a fit with the first one, by what was asked for or by what is meaningful.
    pub fn of(first: &Fit<'_>, fit: &'a Fit<'a>, asked: Option<Measure>) -> Result<Self, Failure> {
        let Some(measure) = asked.or_else(|| Measure::between(&first.record, &fit.record)) else {
            let [other, own] = Measure::neurons_in_words(&fit.record, &first.record);
            return Err(Failure::Usage(format!(
                "{}: its features are over {other}, those of {} over {own}; only the features of one layer have cosines. If the rows \
                 of both fits are the same tokens, compare their coefficients with --by correlation",
                fit.path.display(),
                first.path.display()
            )));
        };
        let comparison = Comparison::of(&first.record, &fit.record, measure)
            .map_err(|error| Failure::Usage(format!("{}: {error}", fit.path.display())))?;
        Ok(Compared { fit, comparison })
    }
}
