//! What the page shows, as plain data. The caller fills in what it has and leaves the rest empty. Empty parts do not
//! appear on the page.
//!
//! Features are referred to by number everywhere: in links, in the tree, in health notes. The number of a feature is
//! its row of Z, from 0. A number that is not among [`Report::features`] is shown without a link. Shares are fractions:
//! 0.25 is shown as 25%. Values that are not finite are shown as a dash. Text is not trusted and may hold anything.

mod beside;
mod concept;
mod context;
mod feature;
mod health;
mod tree;

use serde::{Deserialize, Serialize};

pub use crate::{ActiveFeatures, Agreement, Interpretability, LensChance, TokenLogit};
pub use beside::{Beside, BesideFeature, BesidePair};
pub use concept::{ConceptChance, ConceptRow, ConceptScore};
pub use context::{Band, Context, Piece};
pub use feature::{CoActive, Histogram, Neighbour, NeuronWeight, Quantile, ReportFeature, WordCount};
pub use health::{HealthLevel, HealthNote};
pub use tree::{TreeChild, TreeLevel, TreeNode};

/// The whole page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Title of the page, for example the name of the model and the layer.
    pub title: String,
    /// Where the features come from.
    pub run: RunCard,
    /// What tells the features of this fit from those of others: the page keeps a reader's notes under it. Empty if the
    /// title has to do.
    pub id: String,
    /// The features, in the order in which they should be read. Their numbers must differ.
    pub features: Vec<ReportFeature>,
    /// Names of the groups that colour the map, referred to by [`ReportFeature::group`]. May be empty.
    pub groups: Vec<String>,
    /// How features merge into coarser ones, finest first. The nodes of `tree[0]` have features as children, those of
    /// `tree[1]` have nodes of `tree[0]`, and so on. Empty if there is no tree.
    pub tree: Vec<TreeLevel>,
    /// The concepts that features were compared with. Empty if there were none.
    pub concepts: Vec<ConceptRow>,
    /// What shuffled labels give instead of these concepts.
    pub concept_chance: Option<ConceptChance>,
    /// How many features a token uses.
    pub active_features: Option<ActiveFeatures>,
    /// What the promoted and suppressed tokens of the features had to pass. Absent if no model was given.
    pub lens_chance: Option<LensChance>,
    /// Another fit, to be read beside this one.
    pub beside: Option<Beside>,
    /// What was found about the fit as a whole. Empty if it was not looked at.
    pub health: Vec<HealthNote>,
}

/// The run that the features come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    /// Name of the file of activations, if they came from one.
    pub data: Option<String>,
    /// Tokens n.
    pub tokens: u64,
    /// Neurons d.
    pub neurons: u64,
    /// Type of the activations: `f32`, `f16` or `bf16`.
    pub dtype: String,
    /// Options of the fit for people, name and value, in the order in which they are shown: `("solver", "projected-ls")`.
    pub options: Vec<(String, String)>,
    /// `cpu` or `gpu`.
    pub engine: String,
    /// The adapter's or processor's name.
    pub adapter: String,
    /// ‖X − YZ‖² / ‖X‖². The headline shows one minus this as the explained share.
    pub relative_error: f64,
    /// Relative error after each iteration.
    pub loss_curve: Vec<f64>,
    /// The iteration, from 1, whose factors are shown. 0 if not known.
    pub best_iteration: u32,
    /// Why the fit ended, in words, such as `converged`.
    pub stop_reason: String,
    /// Wall time of the fit in seconds.
    pub seconds: f64,
    /// Runs of which the features are the consensus. Absent for a single run.
    pub runs: Option<u32>,
    /// Mean cosine of the features of one run with those of another that they match. Absent for a single run.
    pub stability: Option<f64>,
    /// Version of unmix.
    pub version: String,
    /// The date, in any notation. It is left out if the page should be the same from one call to the next.
    pub date: Option<String>,
    /// Numbers of the features that no token uses.
    pub dead_features: Vec<usize>,
}
