//! The report: one HTML file with everything that is known about the features of a fit, for people, without a network.
//!
//! The caller fills in a [`Report`], whose parts are plain data and mostly optional, and [`render`] makes the page of it.
//! [`map_positions`] places features on the page's map.

mod map;
mod model;

pub use map::map_positions;
pub use model::*;
