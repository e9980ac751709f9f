//! What the features of a factorization mean: where they are active, what they make a model say, which concepts they detect,
//! how they nest, whether a fit is healthy, and files for other tools.
//!
//! Everything here works on a finished fit ([`FitRecord`](unmix_data::FitRecord)) and, where it must, on the activations again,
//! panel by panel. Nothing prints.

mod contexts;

pub use contexts::{Activation, Contexts, Occurrence, Prompts, Spelling, Text, Window, contexts, strongest_tokens};
