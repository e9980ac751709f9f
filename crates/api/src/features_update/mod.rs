//! Updates of the features from sums over all tokens, a file each.

mod hals;
mod least_squares;
mod update;

pub(crate) use hals::HalsFeatures;
pub(crate) use least_squares::ProjectedLeastSquares;
pub(crate) use update::{FeaturesUpdate, Operands, Settings};
