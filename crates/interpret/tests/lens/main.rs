//! The logit lens against an oracle in double precision, on small models of every family.

mod errors;
mod experts;
mod families;
mod files;
mod model;
mod reading;
mod transformers;
