//! The report: one HTML file for people, with everything that is known about the features of a fit. It needs no
//! network.
//!
//! [`assemble`] fills in a [`Report`] from a fit and what was found out about it. The parts of a report are plain data
//! and mostly optional. [`render`] makes the page from it. [`map_positions`] places features on the page's map.

mod assemble;
mod beside;
mod compact;
mod concepts;
mod feature_notes;
mod identity;
mod map;
mod model;
mod notes;
mod page;
mod passages;
mod run_card;
mod tree;

pub use assemble::{ReportParts, assemble};
pub use beside::{BesideParts, MatchedFit, match_fits};
pub use map::map_positions;
pub use model::*;
pub use notes::health_notes;
pub use page::render;
