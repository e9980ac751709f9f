//! How features persist and split: features of fits with other ranks, of other layers, or of other seeds, linked by their
//! similarity.

mod graph;
mod link;
mod measure;
mod page;

pub use graph::{FeatureGraph, GraphFeature, GraphFit, NamedFit};
pub use link::{Link, Links, Persistence, links};
pub use measure::Measure;
pub use page::render;
