//! Why there is no fit.

use std::path::PathBuf;

use unmix::RuntimeError;
use unmix_data::{Error, StoredRow, check_finite};

use crate::{FitInput, size_text};

/// Why there is no fit.
#[derive(Debug)]
pub enum FitFailure {
    /// A number of features that the activations cannot have.
    Rank {
        /// The number.
        rank: u32,
        /// What the activations are.
        names: String,
        /// Number of tokens.
        tokens: u64,
        /// Number of neurons.
        neurons: u64,
    },
    /// The fit needs more memory than it may take.
    Memory {
        /// What the activations are.
        names: String,
        /// Number of features.
        rank: u32,
        /// Where the activations would be.
        placement: &'static str,
        /// Whose memory it is.
        whose: &'static str,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are allowed.
        allowed: u64,
        /// Whether the caller set what is allowed.
        is_set: bool,
        /// What to do.
        remedy: &'static str,
    },
    /// A problem with the activations.
    Data(Error),
    /// A problem with a file whose name the error itself does not know.
    DataOf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Error,
    },
    /// A problem with a folder in which the fit is saved, or with what the fit needs.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The activations are not those with which the fit began.
    OtherActivations {
        /// What they are.
        names: String,
        /// The folder of the fit.
        out: PathBuf,
    },
    /// A problem with the factorization.
    Fit(unmix::Error),
}

/// How the options are called where the messages are read. They are known by the names of the library's builder.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// The name of an option: `--rank`.
    pub name: fn(&str) -> String,
    /// An option with its value: `--rank 5`.
    pub given: fn(&str, &str) -> String,
}

impl Wording {
    /// An error of the library: `--max-iterations 0` instead of `max_iterations = 0`.
    pub fn of_library(&self, error: &unmix::Error) -> String {
        match error {
            // This is no option of the caller. The features come from a fit.
            unmix::Error::Option { option: "features", given, expected } => {
                format!("the features of the fit: {given}: {expected}")
            }
            unmix::Error::Option { option, given, expected } => format!("{}: {expected}", (self.given)(option, given)),
            other => other.to_string(),
        }
    }
}

impl FitFailure {
    /// The message.
    pub fn text(&self, wording: &Wording) -> String {
        match self {
            FitFailure::Rank { rank, names, tokens, neurons } => format!(
                "{}: {names} holds {tokens} tokens × {neurons} neurons, so a rank from 1 to {} is needed",
                (wording.given)("rank", &rank.to_string()),
                tokens.min(neurons)
            ),
            FitFailure::Memory { names, rank, placement, whose, needed, allowed, is_set, remedy } => {
                let may =
                    if *is_set { format!("{} allows", (wording.name)("memory")) } else { "it may take".to_owned() };
                format!(
                    "{names}: a fit of {rank} features with {placement} activations needs about {} of memory of {whose}, and {may} {}; \
                     {remedy} by {}",
                    size_text(*needed),
                    size_text(*allowed),
                    (wording.given)("memory", "SIZE")
                )
            }
            FitFailure::Data(error) => error.to_string(),
            FitFailure::DataOf { path, error } => format!("{}: {error}", path.display()),
            FitFailure::Folder { path, problem } => format!("{}: {problem}", path.display()),
            FitFailure::OtherActivations { names, out } => format!(
                "{names}: changed since the fit {} began (its fingerprint is another), so the fit cannot go on; put the activations \
                 back, or start a fit anew in another folder",
                out.display()
            ),
            FitFailure::Fit(error) => wording.of_library(error),
        }
    }

    /// Whether all processes that compute a fit together have this failure, because it comes from what they know of all tokens.
    pub fn is_of_all_ranks(&self) -> bool {
        use unmix::Error::{NonFinite, OutOfRange, Unsound};
        let is_not_finite = |error: &Error| matches!(error, Error::NotFinite { .. });
        match self {
            FitFailure::Fit(error) => matches!(error, NonFinite | OutOfRange { .. } | Unsound { .. }),
            FitFailure::Data(error) | FitFailure::DataOf { error, .. } => is_not_finite(error),
            FitFailure::Rank { .. }
            | FitFailure::Memory { .. }
            | FitFailure::Folder { .. }
            | FitFailure::OtherActivations { .. } => false,
        }
    }

    /// The error of a computation. If the activations are not finite, or cannot be read, it says where and why.
    pub fn of_computation(error: unmix::Error, input: &FitInput) -> FitFailure {
        let found = match &error {
            unmix::Error::NonFinite => check_finite(input),
            unmix::Error::Runtime(RuntimeError::Read(_)) => input.check_whole().and_then(|()| check_finite(input)),
            _ => Ok(()),
        };
        match found {
            Err(found) => FitFailure::in_input(found, input),
            Ok(()) => FitFailure::Fit(error),
        }
    }

    /// Adds the file, and the row in it, to an error that knows only the place in the matrix.
    pub fn in_input(error: Error, input: &FitInput) -> FitFailure {
        match (error, input) {
            (Error::NotFinite { token, neuron, value }, FitInput::Files(set)) => {
                let StoredRow { path, row } = set.locate(token);
                FitFailure::DataOf { path: path.to_owned(), error: Error::NotFinite { token: row, neuron, value } }
            }
            (error, _) => FitFailure::Data(error),
        }
    }
}

impl From<Error> for FitFailure {
    fn from(error: Error) -> FitFailure {
        FitFailure::Data(error)
    }
}

impl From<unmix::Error> for FitFailure {
    fn from(error: unmix::Error) -> FitFailure {
        FitFailure::Fit(error)
    }
}
