//! Updates of the features from sums over all tokens. Each update has a file of its own.

mod hals;
mod least_squares;
mod update;

pub(crate) use hals::HalsFeatures;
pub(crate) use least_squares::ProjectedLeastSquares;
pub(crate) use update::{FeaturesUpdate, Operands, Settings};
