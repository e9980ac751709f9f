//! Exports that are read back: shapes, scale, the affine encoder against slow oracles, and what happens when something
//! is missing.

mod autoencoders;
mod caches;
mod dashboards;
mod encoder;
mod fixtures;
mod places;
mod scale;
mod steer;
