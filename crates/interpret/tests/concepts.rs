//! Whether features detect concepts: held against slow definitions in f64.
