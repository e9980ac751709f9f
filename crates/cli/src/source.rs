//! Opens the activations of a fit again.

use std::path::{Path, PathBuf};

use unmix::ActivationSource;
use unmix_data::{ActivationSet, FitActivations, FitActivationsError, FitRecord};
use unmix_fitting::{warn_of_joined_files, warn_of_other_place};

use crate::activation_args::ChoiceArgs;
use crate::failure::Failure;

/// Opens `given`. If that is empty, it opens the files that the fit in `dir` was made from, which must not have changed
/// since.
///
/// Files in `given` may hold other tokens, but must have the fit's neurons. If they hold several matrices, the one with
/// the name of the fitted one is meant. Tokens are left out as the fit left them out, unless `choice` says otherwise.
/// `others` is what a user writes to give other files.
pub fn open(
    dir: &Path,
    fit: &FitRecord,
    given: &[PathBuf],
    choice: &ChoiceArgs,
    others: &str,
) -> Result<FitActivations<ActivationSet>, Failure> {
    if let (true, Some(option)) = (given.is_empty(), choice.given()) {
        return Err(Failure::Usage(format!(
            "{option}: the activations of the fit are read as `unmix fit` read them; leave the option out, or give other \
             activations with {others}"
        )));
    }
    let found = if given.is_empty() {
        FitActivations::reopen(fit)
    } else {
        FitActivations::open(fit, given, choice.tensor.as_deref(), choice.filter().as_ref())
    };
    let found = found.map_err(|error| told(error, dir, given, others))?;
    warn_of_joined_files(&found.source);
    warn_of_other_place(&fit.run.input.origin, &found.source);
    Ok(found)
}

/// The error in the words of the command line.
fn told(error: FitActivationsError, dir: &Path, given: &[PathBuf], others: &str) -> Failure {
    let folder = dir;
    let dir = dir.display();
    Failure::Usage(match error {
        FitActivationsError::Data(error) => return Failure::with_tensor_flag(error),
        FitActivationsError::Of { path, error } => return Failure::DataOf { path, error },
        error @ FitActivationsError::InMemory => format!("{dir}: {error}; give them with {others}"),
        FitActivationsError::Gone { path } => format!(
            "{}: the activations of the fit {dir} are not there any more; say with {others} where they are",
            path.display()
        ),
        FitActivationsError::Changed { files } => format!(
            "{files}: changed since {dir} was fitted to it (its fingerprint is another); fit again, or say with {others} \
             which activations to use"
        ),
        FitActivationsError::Neurons { found, expected } => {
            let files = given.first().map_or_else(String::new, |path| path.display().to_string());
            other_neurons(&files, found, folder, expected)
        }
    })
}

/// Refuses activations of another model or layer than the fit in `dir`.
pub fn check_neurons(set: &ActivationSet, fit: &FitRecord, dir: &Path) -> Result<(), Failure> {
    let (found, expected) = (set.neurons(), fit.features.columns as u64);
    if found == expected {
        return Ok(());
    }
    Err(Failure::Usage(other_neurons(&set.names(), found, dir, expected)))
}

fn other_neurons(files: &str, found: u64, dir: &Path, expected: u64) -> String {
    let dir = dir.display();
    format!(
        "{files}: {found} neurons, but the features of {dir} have {expected}; activations of the same layer are needed"
    )
}
