//! The targets of fuzzing.

use std::path::Path;

/// A reader, its files, and what must hold of it.
#[derive(Debug)]
pub struct Target {
    /// Its name. Its program in `fuzz/fuzz_targets`, its folder in `fuzz/corpus` and its test have the same name.
    pub name: &'static str,
    /// The files that it reads.
    pub files: &'static [File],
    /// Words that mean something to it: keys and values of its JSON, names of tensors.
    pub words: &'static [&'static str],
    /// Valid inputs, from which all others are made. Each has a content for each of `files`.
    pub seeds: fn() -> Vec<Vec<Vec<u8>>>,
    /// Reads the files in a folder, and asserts what must hold of the result or of the error.
    pub(crate) read: fn(&Path),
}

/// A file that a reader reads.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// How it is built.
    pub form: Form,
}

/// How a file is built. Knowing it, a change can reach the parts that come after others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text: JSON, JSON lines, CSV.
    Text,
    /// A length of 8 bytes, a header in JSON, data.
    Safetensors,
    /// A magic number, a length, a Python literal, data.
    Npy,
}
