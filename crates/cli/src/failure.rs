//! What can go wrong, and the exit code for it.

use unmix::RuntimeError;
use unmix_data::{ActivationSet, Error};
use unmix_fitting::tuning::TuningError;
use unmix_fitting::{FitFailure, FitInput, Wording};
use unmix_interpret::concepts::ConceptError;
use unmix_interpret::export::ExportError;
use unmix_interpret::{FitError, LensError, Role};

use crate::interrupt;

/// Exit code if memory ran out.
pub const OUT_OF_MEMORY: u8 = 4;

/// Why a command did not succeed. Each message says what was found, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// A problem with a file.
    #[error("{}{}", .0, file_flags(.0))]
    Data(#[from] Error),
    /// A problem with a file whose name the error itself does not know.
    #[error("{}: {error}", path.display())]
    DataOf {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: Error,
    },
    /// A problem with the weights of a model.
    #[error("{}{}", .0, model_flags(.0))]
    Lens(LensError),
    /// A problem with the labels of prompts.
    #[error(transparent)]
    Concepts(ConceptError),
    /// A problem with files for other tools.
    #[error(transparent)]
    Export(ExportError),
    /// A problem with the factorization.
    #[error("{}", IN_FLAGS.of_library(.0))]
    Fit(#[from] unmix::Error),
    /// A problem with an engine.
    #[error(transparent)]
    Engine(#[from] RuntimeError),
    /// No device passes what was required.
    #[error("{0}")]
    NoDevice(String),
    /// The host does not have enough memory.
    #[error("{0}")]
    Memory(String),
    /// A signal such as Ctrl-C. If anything was found, it has been saved.
    #[error("{0}")]
    Interrupted(String),
    /// Ranks that compute together have failed, one of them first.
    #[error("{message}")]
    OfRanks {
        /// The exit code.
        code: u8,
        /// What is wrong, and on which rank.
        message: String,
    },
    /// A check found something wrong.
    #[error("{0}")]
    Check(String),
    /// Nobody reads stdout any more, as with `unmix features … | head`. This is not worth a message.
    #[error("stdout was closed")]
    ReaderGone,
    /// Stdout cannot be written to.
    #[error("writing to stdout failed: {0}")]
    Output(std::io::Error),
}

// To the command line, a problem with a file is the same whatever the file is for.

impl From<LensError> for Failure {
    fn from(error: LensError) -> Failure {
        match error {
            LensError::Data(error) => Failure::Data(error),
            other => Failure::Lens(other),
        }
    }
}

impl From<ConceptError> for Failure {
    fn from(error: ConceptError) -> Failure {
        match error {
            ConceptError::Data(error) => Failure::Data(error),
            other => Failure::Concepts(other),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Failure {
        match error {
            ExportError::Data(error) => Failure::Data(error),
            other => Failure::Export(other),
        }
    }
}

impl From<FitFailure> for Failure {
    fn from(failure: FitFailure) -> Failure {
        match failure {
            FitFailure::Rank { .. } | FitFailure::Folder { .. } | FitFailure::OtherActivations { .. } => {
                Failure::Usage(failure.text(&IN_FLAGS))
            }
            FitFailure::Memory { .. } => Failure::Memory(failure.text(&IN_FLAGS)),
            FitFailure::Data(error) => error.into(),
            FitFailure::DataOf { path, error } => Failure::DataOf { path, error },
            FitFailure::Fit(error) => error.into(),
        }
    }
}

impl From<TuningError> for Failure {
    fn from(error: TuningError) -> Failure {
        match error {
            TuningError::System(problem) => Failure::Check(problem),
            TuningError::Data(error) => error.into(),
        }
    }
}

impl From<FitError> for Failure {
    fn from(error: FitError) -> Failure {
        match error {
            FitError::Fit(error) => error.into(),
            FitError::Data(error) => error.into(),
        }
    }
}

impl Failure {
    /// Adds the file, and the row in it, to an error that knows only the place in the matrix.
    pub fn in_files(error: Error, activations: &ActivationSet) -> Failure {
        FitFailure::in_input(error, &FitInput::Files(activations.clone())).into()
    }

    /// The error of a computation. If the activations are not finite, or cannot be read, it says where and why.
    pub fn of_computation(error: unmix::Error, activations: &ActivationSet) -> Failure {
        FitFailure::of_computation(error, &FitInput::Files(activations.clone())).into()
    }

    /// The error of a sweep, in the same way.
    pub fn of_sweep(error: FitError, activations: &ActivationSet) -> Failure {
        match error {
            FitError::Fit(error) => Failure::of_computation(error, activations),
            FitError::Data(error) => Failure::in_files(error, activations),
        }
    }

    /// Adds how to name a tensor to the error that asks for it. For commands with `--tensor`.
    pub fn with_tensor_flag(error: Error) -> Failure {
        match error {
            Error::AmbiguousTensor { .. } => Failure::Usage(format!("{error} with --tensor NAME")),
            other => other.into(),
        }
    }

    /// Ends the command if a signal came before there was anything to save.
    pub fn if_interrupted() -> Result<(), Failure> {
        if interrupt::requested() {
            Err(Failure::Interrupted("interrupted before the fit began; nothing was saved".to_owned()))
        } else {
            Ok(())
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Data(error) | Failure::DataOf { error, .. } => data_code(error),
            Failure::Lens(LensError::Data(error))
            | Failure::Concepts(ConceptError::Data(error))
            | Failure::Export(ExportError::Data(error)) => data_code(error),
            Failure::Lens(error) => usage_code(error.is_usage()),
            Failure::Concepts(error) => usage_code(error.is_usage()),
            Failure::Export(error) => usage_code(error.is_usage()),
            Failure::Fit(unmix::Error::Runtime(error)) | Failure::Engine(error) => engine_code(error),
            Failure::Fit(unmix::Error::Unsound { .. } | unmix::Error::CheckpointWrite { .. }) => 1,
            Failure::Fit(unmix::Error::Memory { .. }) => OUT_OF_MEMORY,
            // All other errors of a fit are about what it was given.
            Failure::Fit(_) => 2,
            Failure::NoDevice(_) => 3,
            Failure::Memory(_) => OUT_OF_MEMORY,
            Failure::Interrupted(_) => interrupt::exit_code(),
            Failure::OfRanks { code, .. } => *code,
            Failure::Check(_) | Failure::Output(_) => 1,
            // The reader closed the pipe because it had what it wanted.
            Failure::ReaderGone => 0,
        }
    }
}

fn data_code(error: &Error) -> u8 {
    match error {
        // For example, the system refuses to map a file.
        Error::Io { source, .. } | Error::Read(source) if source.kind() == std::io::ErrorKind::OutOfMemory => {
            OUT_OF_MEMORY
        }
        error => usage_code(error.is_usage()),
    }
}

fn usage_code(is_usage: bool) -> u8 {
    if is_usage { 2 } else { 1 }
}

/// The option that helps if something cannot be written. Every command that writes has it.
fn file_flags(error: &Error) -> &'static str {
    match error {
        Error::Exists(_) | Error::FileExists(_) => " with --force",
        _ => "",
    }
}

/// The options that help if a tensor was not found.
fn model_flags(error: &LensError) -> &'static str {
    match error {
        LensError::NotFound { role: Role::DownProjection, .. } => "; name it with --down-proj NAME",
        LensError::NotFound { role: Role::Unembedding, .. } => {
            "; name it with --unembedding NAME, or give its file by another --model PATH"
        }
        LensError::NotFound { role: Role::FinalNorm, .. } => {
            "; name it with --final-norm NAME, or do without by --norm none"
        }
        LensError::UnknownModel { .. } => {
            " (--down-proj NAME, --unembedding NAME, --final-norm NAME, --norm KIND; or --model-type TYPE)"
        }
        LensError::NoSuchType { .. } => " (--model-type TYPE)",
        LensError::UnknownNorm { .. } => " (--model-type TYPE or --norm KIND)",
        LensError::Square { .. } => " (--model-type TYPE)",
        LensError::Ambiguous { .. } => " (--layer N, --expert N or --down-proj NAME)",
        LensError::NoSuchLayer { .. } => " (--layer N)",
        LensError::NoSuchExpert { .. } => " (--expert N)",
        _ => "",
    }
}

fn engine_code(error: &RuntimeError) -> u8 {
    match error {
        RuntimeError::NoAdapter { .. } | RuntimeError::MissingFeature { .. } => 3,
        // Over a limit of the device means the same to a script as out of memory: try less.
        RuntimeError::OutOfMemory { .. } | RuntimeError::OverLimit { .. } => OUT_OF_MEMORY,
        RuntimeError::Activations { .. } | RuntimeError::Variants { .. } => 2,
        _ => 1,
    }
}

/// Options as the command line has them.
pub const IN_FLAGS: Wording = Wording { name: flag, given: |option, value| format!("{} {value}", flag(option)) };

/// `--max-iterations` for `max_iterations`.
fn flag(option: &str) -> String {
    format!("--{}", option.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        let option = unmix::Error::Option { option: "max_iterations", given: "0".into(), expected: "more".into() };
        assert_eq!(Failure::from(option.clone()).to_string(), "--max-iterations 0: more");
        assert_eq!(Failure::from(option).exit_code(), 2);
        let features =
            unmix::Error::Option { option: "features", given: "norm 1e-40".into(), expected: "larger".into() };
        assert_eq!(Failure::from(features).to_string(), "the features of the fit: norm 1e-40: larger");
        let none = RuntimeError::NoAdapter { wanted: String::new(), found: String::new() };
        assert_eq!(Failure::from(unmix::Error::from(none)).exit_code(), 3);
        let memory = RuntimeError::OutOfMemory { what: String::new(), needed: 1, adapter: String::new() };
        assert_eq!(Failure::from(memory).exit_code(), 4);
        assert_eq!(Failure::from(Error::NotFound("x".into())).exit_code(), 2);
        assert_eq!(Failure::from(Error::Read(std::io::Error::other("x"))).exit_code(), 1);
        assert_eq!(Failure::Interrupted(String::new()).exit_code(), 130);
        let refused = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        assert_eq!(Failure::from(Error::Read(refused())).exit_code(), 4);
        let mapping = Error::Io { path: "x".into(), action: "mapping", source: refused() };
        assert_eq!(Failure::from(mapping).exit_code(), 4);
    }

    #[test]
    fn what_may_be_forced_is_told_whatever_is_written() {
        let exists = || Error::Exists("x".into());
        for failure in [Failure::from(exists()), Failure::from(ExportError::Data(exists()))] {
            assert!(failure.to_string().ends_with(" with --force"), "{failure}");
            assert_eq!(failure.exit_code(), 2);
        }
    }
}
