//! The orders in which the features of a fit are listed.

use unmix::Error;
use unmix_data::FitRecord;

use crate::{
    Activation, INTERPRETED_CONTEXTS, Interpreter, TOKENS_A_WORD, Text, contexts_of_tokens, reading_order,
    strongest_tokens,
};

/// An order of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeatureOrder {
    /// What can be trusted and read: features that other runs find again first, and of these the ones whose strongest
    /// words agree.
    #[default]
    Reading,
    /// Share of variance, largest first.
    Share,
    /// Number of the feature.
    Index,
    /// Agreement of the runs of a consensus on the feature, largest first.
    Reproducibility,
}

impl FeatureOrder {
    /// All orders.
    pub const ALL: [FeatureOrder; 4] =
        [FeatureOrder::Reading, FeatureOrder::Share, FeatureOrder::Index, FeatureOrder::Reproducibility];

    /// The name: `reading`, `share`, `index` or `reproducibility`.
    pub const fn name(self) -> &'static str {
        match self {
            FeatureOrder::Reading => "reading",
            FeatureOrder::Share => "share",
            FeatureOrder::Index => "index",
            FeatureOrder::Reproducibility => "reproducibility",
        }
    }

    /// Refuses an order that needs what the fit does not know.
    ///
    /// # Errors
    /// If features are to be ordered by their reproducibility, and the fit is of a single run.
    pub fn check(self, fit: &FitRecord) -> Result<(), Error> {
        if self != FeatureOrder::Reproducibility || fit.run.summary.consensus.is_some() {
            return Ok(());
        }
        Err(Error::Option {
            option: "sort",
            given: self.name().to_owned(),
            expected: "the fit is of a single run, so nothing is known about it".to_owned(),
        })
    }

    /// The features of a fit in this order. `text` is that of its tokens.
    pub fn of(self, fit: &FitRecord, text: &Text) -> Vec<usize> {
        let statistics = &fit.run.summary.feature_statistics;
        let mut order: Vec<usize> = (0..fit.features.rows).collect();
        match self {
            FeatureOrder::Index => {}
            FeatureOrder::Share => {
                order.sort_by(|&a, &b| statistics[b].explained_share.total_cmp(&statistics[a].explained_share));
            }
            FeatureOrder::Reproducibility => {
                let agreement = |k: usize| statistics[k].reproducibility.unwrap_or(0.0);
                order.sort_by(|&a, &b| agreement(b).total_cmp(&agreement(a)));
            }
            FeatureOrder::Reading => order = reading_order(statistics, &word_scores(fit, text)),
        }
        order
    }
}

/// How far the strongest words of each feature agree, from 0 to 1.
fn word_scores(fit: &FitRecord, text: &Text) -> Vec<f64> {
    let interpreter = Interpreter::new(text, None, fit.run.seed);
    let score = |tokens: &Vec<Activation>| {
        let words = contexts_of_tokens(tokens, text, INTERPRETED_CONTEXTS).occurrences;
        let peaks: Vec<Activation> =
            words.iter().map(|word| Activation { row: word.row, coefficient: word.coefficient }).collect();
        interpreter.of(&peaks).score
    };
    strongest_tokens(&fit.coefficients, INTERPRETED_CONTEXTS * TOKENS_A_WORD).iter().map(score).collect()
}
