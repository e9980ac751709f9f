//! Updates of the coefficients for given features. Each update has a file of its own.

mod hals;
mod multiplicative;
mod published;
mod update;

pub(crate) use hals::HalsCoefficients;
pub(crate) use multiplicative::MultiplicativeUpdates;
pub(crate) use published::PublishedUpdate;
pub(crate) use update::{CoefficientsUpdate, Operands, Settings};
