//! Whether features detect concepts: held against slow definitions in f64.

mod cosine;
mod degenerate;
mod harness;
mod invariance;
mod scores;
