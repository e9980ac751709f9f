//! Hostile inputs for every reader of unmix, and what must hold whatever the inputs contain.
//!
//! A [`Target`] is a reader: the files that it reads, valid examples of them, and a function that reads the files and
//! asserts what must hold of the result. [`execute`] runs a target on one input, and asserts what must hold of every
//! reader: no panic, little time, little memory. [`mutate`] makes new inputs from old ones. It understands JSON,
//! safetensors files and npy files.
//!
//! Two kinds of programs use them. The command `unmix-fuzz` of this crate makes inputs from a seed and a number,
//! without feedback. It needs only a stable compiler, and the tests run it. The programs of `fuzz/` are led by
//! coverage, through libFuzzer.

mod allocations;
mod corpus;
mod dictionary;
mod execution;
mod generator;
mod input;
mod mutation;
mod target;
mod targets;
mod watchdog;

pub use corpus::{corpus, write_corpus};
pub use execution::execute;
pub use generator::Generator;
pub use mutation::{LONGEST, mutate};
pub use target::{File, Form, Target};
