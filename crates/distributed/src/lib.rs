//! Ranks that MPI connects, for the program `unmix-mpi`.
#![cfg(feature = "mpi")]

mod failures;
mod world;

pub use crate::failures::{end_all, end_all_on_panic};
pub use crate::world::World;
