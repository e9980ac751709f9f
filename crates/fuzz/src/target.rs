//! What is fuzzed.

use std::path::Path;

/// A reader, its files and what must hold of it.
#[derive(Debug)]
pub struct Target {
    /// Its name: that of its program in `fuzz/fuzz_targets`, of its folder in `fuzz/corpus` and of its test.
    pub name: &'static str,
    /// The files that it reads.
    pub files: &'static [File],
    /// Words that mean something to it: keys and values of its JSON, names of tensors.
    pub words: &'static [&'static str],
    /// Valid inputs, each a content for each of `files`, from which all others come.
    pub seeds: fn() -> Vec<Vec<Vec<u8>>>,
    /// Reads the files in a folder, and asserts what must hold of what was read or of the error.
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

/// How a file is built, so that a change can reach the parts that are behind others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text: JSON, JSON lines, CSV.
    Text,
    /// A length of 8 bytes, a header in JSON, data.
    Safetensors,
    /// A magic number, a length, a Python literal, data.
    Npy,
}
