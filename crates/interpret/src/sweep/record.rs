//! A sweep as it is stored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unmix::Options;
use unmix_data::InputRecord;

use super::point::SweepPoint;
use super::recommendation::{Recommendation, recommend};

/// Version of the stored form. It is raised when an older unmix would misread it.
pub const SWEEP_VERSION: u32 = 1;

/// Sweeps over the activations of one or several layers, with the same settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// [`SWEEP_VERSION`].
    pub sweep_version: u32,
    /// Version of unmix that wrote it.
    pub unmix_version: String,
    /// Command line, beginning with the program.
    pub command_line: Vec<String>,
    /// Options of the fits, except for their ranks and sparsities, and the numbers of seeds and folds. Points can be
    /// compared only if these are the same.
    pub settings: Map<String, Value>,
    /// The sweep of each layer.
    pub layers: Vec<LayerSweep>,
}

/// A sweep over the activations of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSweep {
    /// Name of the layer: that of its file.
    pub name: String,
    /// Where its activations came from.
    pub input: InputRecord,
    /// Fingerprint of the prompts that are held out together. Absent if tokens are held out one by one, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<String>,
    /// What was measured, by rank and sparsity.
    pub points: Vec<SweepPoint>,
    /// Whether everything was measured.
    pub complete: bool,
    /// The number of features to take, as far as it is known.
    pub recommendation: Option<Recommendation>,
    /// Folders of the fits that were kept, and pages about them. Paths are relative to the folder of the sweep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<KeptFit>,
}

/// A fit of a sweep that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFit {
    /// Number of features.
    pub rank: u32,
    /// Number of neurons that a feature keeps.
    pub kept_per_feature: u32,
    /// Seed.
    pub seed: u64,
    /// Folder of the fit.
    pub folder: String,
    /// The report about it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

impl KeptFit {
    /// Whether this is a fit of that point.
    pub fn is_of(&self, point: &SweepPoint) -> bool {
        (self.rank, self.kept_per_feature) == (point.rank, point.kept_per_feature)
    }
}

impl SweepRecord {
    /// The settings of a sweep whose fits have these options.
    pub fn settings(options: &Options, seeds: u32, folds: u32) -> Map<String, Value> {
        let mut settings = match serde_json::to_value(options) {
            Ok(Value::Object(settings)) => settings,
            // Options are plain numbers and names.
            _ => Map::new(),
        };
        settings.remove("rank");
        settings.remove("sparsity");
        settings.insert("seeds".to_owned(), seeds.into());
        settings.insert("folds".to_owned(), folds.into());
        settings
    }

    /// The points as a table of comma-separated values, a line for each.
    pub fn csv(&self) -> String {
        let mut text = "layer,rank,sparsity,kept_per_feature,seeds,relative_error,held_out_error,stability,\
                        reproducible_features,dead_features,duplicate_features,active_features,iterations,seconds,recommended\n"
            .to_owned();
        for layer in &self.layers {
            for point in &layer.points {
                let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
                let chosen = layer.recommendation.as_ref();
                let is_chosen = chosen.is_some_and(|r| (r.rank, r.sparsity) == (point.rank, point.sparsity));
                let cells = [
                    quoted(&layer.name),
                    point.rank.to_string(),
                    point.sparsity.to_string(),
                    point.kept_per_feature.to_string(),
                    point.seeds.len().to_string(),
                    point.relative_error().to_string(),
                    number(point.held_out_error()),
                    number(point.stability()),
                    number(point.reproducible()),
                    point.dead_features.to_string(),
                    point.duplicate_features.to_string(),
                    point.active_features.to_string(),
                    point.iterations.to_string(),
                    point.seconds.to_string(),
                    is_chosen.to_string(),
                ];
                text += &cells.join(",");
                text.push('\n');
            }
        }
        text
    }
}

impl LayerSweep {
    /// A sweep of which nothing is measured yet.
    pub fn new(name: String, input: InputRecord) -> LayerSweep {
        LayerSweep {
            name,
            input,
            prompts: None,
            points: Vec::new(),
            complete: false,
            recommendation: None,
            fits: Vec::new(),
        }
    }

    /// Adds a point, and recommends anew.
    pub fn add(&mut self, point: SweepPoint) {
        self.points.push(point);
        self.points.sort_by(|a, b| a.sparsity.total_cmp(&b.sparsity).then(a.rank.cmp(&b.rank)));
        self.recommendation = recommend(&self.points);
    }

    /// Whether the fits of all seeds of a point were kept.
    pub fn has_fits(&self, point: &SweepPoint) -> bool {
        point.seeds.iter().all(|&seed| self.fits.iter().any(|fit| fit.is_of(point) && fit.seed == seed))
    }

    /// Forgets the points whose fits were not kept, so that they are measured again, and recommends anew. Returns their
    /// number.
    pub fn forget_points_without_fits(&mut self) -> usize {
        let (kept, forgotten): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.points).into_iter().partition(|point| self.has_fits(point));
        self.points = kept;
        self.fits.retain(|fit| forgotten.iter().all(|point| !fit.is_of(point)));
        self.recommendation = recommend(&self.points);
        forgotten.len()
    }
}

/// A cell of a table of comma-separated values.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
