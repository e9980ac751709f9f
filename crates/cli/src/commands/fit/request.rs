//! The command line with which a fit began. It is kept beside the checkpoints so that the fit can go on.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use unmix_data::{CheckpointFolder, Error};

use super::args::{FitArgs, NewFitArgs};
use crate::activation_args::ActivationArgs;
use crate::arguments;
use crate::failure::Failure;
use crate::memory_args::MemoryArgs;
use crate::shared_args::SharedArgs;

/// The file `request.json` in the folder of checkpoints: how the fit began.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The working directory, to which relative paths refer.
    directory: Text,
    /// The command line. Its first entry is the program.
    arguments: Vec<Text>,
    /// Fingerprint of the activations.
    pub fingerprint: String,
}

/// Text of the operating system, which need not be UTF-8.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Unicode(String),
    Bytes(Vec<u8>),
}

impl From<OsString> for Text {
    fn from(text: OsString) -> Self {
        match text.into_string() {
            Ok(text) => Text::Unicode(text),
            Err(other) => Text::Bytes(other.into_encoded_bytes()),
        }
    }
}

impl From<Text> for OsString {
    fn from(text: Text) -> Self {
        match text {
            Text::Unicode(text) => text.into(),
            #[cfg(unix)]
            Text::Bytes(bytes) => std::os::unix::ffi::OsStringExt::from_vec(bytes),
            #[cfg(not(unix))]
            Text::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        }
    }
}

/// A command line with which a fit can begin.
#[derive(Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    shared: SharedArgs,
}

#[derive(Subcommand)]
enum Command {
    Fit(FitArgs),
}

/// The options with which a fit began.
pub struct BegunFit {
    /// The activations.
    pub activations: ActivationArgs,
    /// The options of the fit.
    pub args: NewFitArgs,
    /// How much memory it may take.
    pub memory: MemoryArgs,
    /// The options that all commands share.
    pub shared: SharedArgs,
}

impl Request {
    /// The request of this process, as JSON, for activations with this fingerprint.
    pub fn of_this_process(fingerprint: String) -> Result<Vec<u8>, Error> {
        let directory = std::env::current_dir().map_err(|source| Error::Io {
            path: ".".into(),
            action: "looking up the working directory",
            source,
        })?;
        let directory = directory.into_os_string().into();
        let request =
            Request { directory, arguments: arguments::all().iter().cloned().map(Text::from).collect(), fingerprint };
        // Text and numbers can always be written as JSON.
        Ok(serde_json::to_vec_pretty(&request).unwrap_or_default())
    }

    /// Reads the request of the fit whose checkpoints are in `folder`.
    pub fn parse(folder: &CheckpointFolder) -> Result<Request, Failure> {
        serde_json::from_slice(&folder.request()?).map_err(|problem| damaged(folder, &problem))
    }

    /// Changes to the working directory of the request, so that relative paths mean what they meant when the fit began.
    pub fn enter_directory(&self) -> Result<(), Failure> {
        let directory = PathBuf::from(OsString::from(self.directory.clone()));
        std::env::set_current_dir(&directory).map_err(|error| {
            Failure::Usage(format!(
                "{}: the fit began in this folder, which cannot be entered any more ({error}); put it back, or start the fit anew",
                directory.display()
            ))
        })
    }

    /// The options with which the fit began.
    pub fn arguments(&self) -> Result<BegunFit, Failure> {
        let parsed = CommandLine::try_parse_from(self.arguments.iter().cloned().map(OsString::from));
        match parsed {
            Ok(CommandLine { command: Command::Fit(FitArgs { activations, new: Some(args), memory, .. }), shared }) => {
                Ok(BegunFit { activations, args, memory, shared })
            }
            _ => Err(Failure::Usage(format!(
                "this version of unmix does not understand the command line with which the fit began ({}); start the fit anew",
                self.command_line().join(" ")
            ))),
        }
    }

    /// The command line as text.
    pub fn command_line(&self) -> Vec<String> {
        let text = |argument: &Text| OsString::from(argument.clone()).to_string_lossy().into_owned();
        self.arguments.iter().map(text).collect()
    }
}

fn damaged(folder: &CheckpointFolder, problem: &serde_json::Error) -> Failure {
    Failure::Usage(format!(
        "{}: what the fit was asked for cannot be read ({problem}); start the fit anew with --force",
        folder.path().display()
    ))
}
