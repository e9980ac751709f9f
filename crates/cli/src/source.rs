//! Opens the activations of a fit again.

use std::path::{Path, PathBuf};

use unmix::ActivationSource;
use unmix_data::{ActivationSet, Error, FitRecord, TokenColumns, TokenFilter, check_finite, fingerprint};

use crate::activation_args::{self, ChoiceArgs};
use crate::failure::Failure;

/// Activations for the features of a fit.
pub struct FitActivations {
    /// The files.
    pub set: ActivationSet,
    /// Their token columns. If the rows are those of the fit, the fit's own columns take the place of columns that the
    /// files do not have.
    pub columns: TokenColumns,
    /// Whether they are the activations that were fitted, so that row i belongs to row i of the coefficients.
    pub fitted: bool,
}

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
) -> Result<FitActivations, Failure> {
    let input = &fit.run.input;
    let usage = |problem: String| Failure::Usage(problem);
    if let (true, Some(option)) = (given.is_empty(), choice.given()) {
        return Err(usage(format!(
            "{option}: the activations of the fit are read as `unmix fit` read them; leave the option out, or give other \
             activations with {others}"
        )));
    }
    if given.is_empty() && input.paths.is_empty() {
        return Err(usage(format!(
            "{}: run.json names no file of activations, because they came from memory; give them with {others}",
            dir.display()
        )));
    }
    let paths = if given.is_empty() { &input.paths } else { given };
    if let Some(path) = paths.iter().find(|path| given.is_empty() && !path.exists()) {
        return Err(usage(format!(
            "{}: the activations of the fit {} are not there any more; say with {others} where they are",
            path.display(),
            dir.display()
        )));
    }
    let filter = choice.filter().unwrap_or_else(|| input.filter.clone());
    let set = match &choice.tensor {
        Some(tensor) => activation_args::open(paths, Some(tensor), &filter)?,
        None => open_tensor(paths, input.tensor.as_deref(), &filter)?,
    };
    // Values of another type are other bytes, so a copy in another type counts as other tokens.
    let fitted =
        (set.tokens(), set.neurons()) == (input.tokens, input.neurons) && fingerprint(&set)? == input.fingerprint;
    if !fitted && given.is_empty() {
        return Err(usage(format!(
            "{}: changed since {} was fitted to it (its fingerprint is another); fit again, or say with {others} which \
             activations to use",
            set.names(),
            dir.display()
        )));
    }
    check_neurons(&set, fit, dir)?;
    let mut columns = set.token_columns().clone();
    if fitted {
        let own = fit.columns.clone();
        columns.token_ids = columns.token_ids.or(own.token_ids);
        columns.prompt_ids = columns.prompt_ids.or(own.prompt_ids);
        columns.positions = columns.positions.or(own.positions);
    } else {
        check_finite(&set).map_err(|error| Failure::in_files(error, &set))?;
    }
    Ok(FitActivations { set, columns, fitted })
}

/// Refuses activations of another model or layer than the fit in `dir`.
pub fn check_neurons(set: &ActivationSet, fit: &FitRecord, dir: &Path) -> Result<(), Failure> {
    let (found, expected) = (set.neurons(), fit.features.columns as u64);
    if found == expected {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{}: {found} neurons, but the features of {} have {expected}; activations of the same layer are needed",
        set.names(),
        dir.display()
    )))
}

/// Opens the tensor of that name, or the files' only matrix if there is none of that name.
fn open_tensor(paths: &[PathBuf], name: Option<&str>, filter: &TokenFilter) -> Result<ActivationSet, Failure> {
    match activation_args::open(paths, name, filter) {
        Err(Failure::Data(Error::NoSuchTensor { tensor, .. })) if Some(tensor.as_str()) == name => {
            activation_args::open(paths, None, filter)
        }
        Err(Failure::Data(Error::NamelessArray { .. })) => activation_args::open(paths, None, filter),
        opened => opened,
    }
}
