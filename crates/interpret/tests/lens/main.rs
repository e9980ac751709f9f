//! The logit lens against an oracle in double precision, on small models of every family.

mod errors;
mod families;
mod model;
mod reading;
