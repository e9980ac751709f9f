//! Features of several fits, and the links between neighbouring fits.

use serde::Serialize;
use unmix_data::FitRecord;

use super::link::{Links, links};
use super::measure::{Measure, other_neurons};
use crate::fit_error::FitError;

/// Fits in the order in which they are compared, and the links from each to the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureGraph {
    /// The fits.
    pub fits: Vec<GraphFit>,
    /// The links between the fits `i` and `i + 1`.
    pub links: Vec<Links>,
}

/// A fit of a graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphFit {
    /// Its name.
    pub name: String,
    /// ‖X − YZ‖² / ‖X‖².
    pub relative_error: f64,
    /// Number of tokens.
    pub tokens: u64,
    /// Number of neurons.
    pub neurons: u32,
    /// Its features, by number.
    pub features: Vec<GraphFeature>,
}

/// A feature of a graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphFeature {
    /// Words at which it is strongest. Empty if the text is not known.
    pub words: Vec<String>,
    /// The amount by which the error would rise without it.
    pub explained_share: f64,
    /// Share of the tokens that use it.
    pub active_share: f64,
    /// How well it was found again by the runs of a consensus, if the fit is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproducibility: Option<f64>,
}

/// A fit that is to be in a graph.
pub struct NamedFit<'a> {
    /// What it is called.
    pub name: String,
    /// The fit.
    pub record: &'a FitRecord,
    /// The words of each of its features, if they are known.
    pub words: Option<Vec<Vec<String>>>,
}

impl FeatureGraph {
    /// The graph of some fits.
    ///
    /// `measure` is how features are compared. Without it, [`Measure::between`] decides for each pair of neighbours.
    ///
    /// # Errors
    /// If two neighbours cannot be compared.
    pub fn of(fits: &[NamedFit<'_>], measure: Option<Measure>) -> Result<FeatureGraph, FitError> {
        let neighbours = fits.iter().zip(fits.iter().skip(1));
        let linked = neighbours.map(|(first, second)| {
            let measure = measure.or_else(|| Measure::between(first.record, second.record));
            let measure = measure.ok_or_else(|| other_neurons(first.record, second.record))?;
            Ok(links(&measure.similarities(first.record, second.record)?, measure))
        });
        Ok(FeatureGraph { links: linked.collect::<Result<_, FitError>>()?, fits: fits.iter().map(graph_fit).collect() })
    }
}

fn graph_fit(NamedFit { name, record, words }: &NamedFit<'_>) -> GraphFit {
    let summary = &record.run.summary;
    let feature = |(k, statistics): (usize, &unmix::FeatureStatistics)| GraphFeature {
        words: words.as_ref().and_then(|words| words.get(k).cloned()).unwrap_or_default(),
        explained_share: statistics.explained_share,
        active_share: statistics.active_share,
        reproducibility: statistics.reproducibility,
    };
    GraphFit {
        name: name.clone(),
        relative_error: summary.relative_error,
        tokens: summary.tokens,
        neurons: summary.neurons,
        features: summary.feature_statistics.iter().enumerate().map(feature).collect(),
    }
}
