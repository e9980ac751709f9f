//! By what features of two fits can be compared.

use serde::{Deserialize, Serialize};
use unmix::{DenseMatrix, Matching, feature_cosines, match_similarities};
use unmix_data::{Error, FitRecord};

use super::common_tokens::{common_coefficients, have_known_tokens_in_common};
use crate::correlation::cross_correlations;
use crate::fit_error::FitError;

/// A similarity of features of two fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// The cosine of the features. The fits must be over the same neurons, those of one layer.
    #[default]
    Cosine,
    /// The correlation of the coefficients. The fits must be of the same tokens, and may be of different layers.
    Correlation,
}

impl Measure {
    /// What is meaningful for two fits. Features over the same neurons have cosines: those of fits of the same activations, or of files
    /// that name the same place in a model. If the activations differ while the token ids are the same, they are those of two layers,
    /// whose neurons have nothing to do with one another: then coefficients have correlations. This holds as well if tokens were left
    /// out of one of them. Fits of other tokens are taken to be of the same neurons, unless their files name different layers or sites.
    /// `None` if the fits have neither neurons nor tokens in common.
    pub fn between(first: &FitRecord, second: &FitRecord) -> Option<Measure> {
        let (a, b) = (&first.run.input, &second.run.input);
        let same_activations = a.fingerprint == b.fingerprint;
        let same_neurons = same_activations || a.origin.is_same_place(&b.origin);
        if !same_neurons && have_known_tokens_in_common(first, second) {
            return Some(Measure::Correlation);
        }
        let other_neurons = !same_activations && a.origin.difference(&b.origin).is_some();
        (first.features.columns == second.features.columns && !other_neurons).then_some(Measure::Cosine)
    }

    /// The neurons of two fits in words, for messages about fits that have no measure.
    pub fn neurons_in_words(first: &FitRecord, second: &FitRecord) -> [String; 2] {
        let places = first.run.input.origin.difference(&second.run.input.origin);
        let of = |fit: &FitRecord, place: Option<String>| {
            format!("{} neurons{}", fit.features.columns, place.map_or(String::new(), |place| format!(" of {place}")))
        };
        let (place, other) = places.unzip();
        [of(first, place), of(second, other)]
    }

    /// The similarity of each feature of the first fit with each of the second, [A, B]. It is 0 for features that are
    /// zero or that no token uses.
    ///
    /// # Errors
    /// If the fits do not have in common what this measure needs.
    pub fn similarities(self, first: &FitRecord, second: &FitRecord) -> Result<DenseMatrix, FitError> {
        match self {
            Measure::Cosine if first.features.columns != second.features.columns => Err(other_neurons(first, second)),
            Measure::Cosine => Ok(feature_cosines(&first.features, &second.features)?),
            Measure::Correlation => match common_coefficients(first, second) {
                Some((a, b)) => Ok(cross_correlations(&a, &b)),
                None => Err(FitError::from(Error::Inconsistent {
                    what: "the tokens of a fit".to_owned(),
                    found: shape(second),
                    expected: format!(
                        "correlations need the same tokens in the same order, and the other fit is of {}",
                        shape(first)
                    ),
                })),
            },
        }
    }

    /// The one-to-one matching of the features of two fits by this measure. Features that are zero do not count as possible.
    ///
    /// # Errors
    /// As [`similarities`](Self::similarities).
    pub fn matching(self, first: &FitRecord, second: &FitRecord) -> Result<Matching, FitError> {
        let possible = living(first).min(living(second));
        Ok(Matching { possible, ..match_similarities(&self.similarities(first, second)?) })
    }

    /// From this similarity on, a feature is the same.
    pub fn same_from(self) -> f32 {
        match self {
            Measure::Cosine => 0.8,
            // Coefficients of two layers also differ by what the layers between add.
            Measure::Correlation => 0.6,
        }
    }

    /// From this similarity on, a feature has something of another.
    pub fn linked_from(self) -> f32 {
        match self {
            Measure::Cosine => 0.4,
            Measure::Correlation => 0.3,
        }
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Cosine => "cosine",
            Measure::Correlation => "correlation",
        }
    }
}

/// What is wrong with the cosines of features over other neurons.
pub(super) fn other_neurons(first: &FitRecord, second: &FitRecord) -> FitError {
    let [own, found] = Measure::neurons_in_words(first, second);
    let expected = format!("cosines need features over the same neurons, and the other fit is over {own}");
    FitError::from(Error::Inconsistent { what: "the neurons of a fit".to_owned(), found, expected })
}

/// Number of features that are not zero.
fn living(fit: &FitRecord) -> usize {
    let features = &fit.features;
    (0..features.rows).filter(|&k| features.row(k).iter().any(|&z| z != 0.0)).count()
}

fn shape(fit: &FitRecord) -> String {
    format!("{} tokens and {} neurons", fit.coefficients.rows, fit.features.columns)
}
