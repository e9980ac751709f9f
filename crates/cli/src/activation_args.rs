//! The options that say which activations a command reads.

use std::path::PathBuf;

use clap::Args;
use unmix_data::{ActivationSet, OpenOptions};

use crate::failure::Failure;

/// The files, and what to read of them.
#[derive(Clone, Debug, Args)]
pub struct ActivationArgs {
    /// The activations: safetensors or npy files, a folder of them, or an index of shards (*.index.json). Several are
    /// read as one matrix, in this order. Files of a folder are read in the order of their names, with 2 before 10
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// What to read of files of activations.
#[derive(Clone, Debug, Args)]
pub struct ChoiceArgs {
    /// Name of the tensor of activations, if a file holds several that could be meant
    #[arg(long, value_name = "NAME", help_heading = "Activations")]
    pub tensor: Option<String>,
}

impl ActivationArgs {
    /// Opens the files.
    pub fn open(&self) -> Result<ActivationSet, Failure> {
        open(&self.files, self.choice.tensor.clone())
    }
}

/// Opens files as one matrix, and reports what a user may not expect of them.
pub fn open(files: &[PathBuf], tensor: Option<String>) -> Result<ActivationSet, Failure> {
    let set = ActivationSet::open(files, &OpenOptions { tensor }).map_err(Failure::with_tensor_flag)?;
    if set.prompts_were_renumbered() {
        log::warn!(
            "{} and other files number their prompts alike; their prompts stay apart under new numbers, which labels must use",
            set.files()[0].path().display()
        );
    }
    Ok(set)
}

/// The files in words: the only one, or the first one and the number of the others.
pub fn names(set: &ActivationSet) -> String {
    let first = set.files()[0].path().display();
    match set.files().len() {
        1 => first.to_string(),
        2 => format!("{first} and {}", set.files()[1].path().display()),
        count => format!("{first} and {} more files", count - 1),
    }
}
