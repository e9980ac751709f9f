//! Whether features detect concepts, compared with slow definitions in f64.

mod cosine;
mod degenerate;
mod harness;
mod invariance;
mod scores;
