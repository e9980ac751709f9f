//! The activations of a fit, opened again.

use std::path::Path;

use unmix::ActivationSource;
use unmix_data::{ActivationFile, FitRecord, OpenOptions, TokenColumns, check_finite, fingerprint};

use crate::failure::Failure;

/// Activations for the features of a fit.
pub struct FitActivations {
    /// The file.
    pub file: ActivationFile,
    /// Its token columns; the fit's own for those that the file lacks, if the rows are those of the fit.
    pub columns: TokenColumns,
    /// Whether they are what was fitted, so that row i belongs to row i of the coefficients.
    pub fitted: bool,
}

/// Opens `given`, or else the file that the fit in `dir` was made from, which must not have changed since.
///
/// A given file may hold other tokens, but must have the fit's neurons. Of several matrices in it, the one that is called
/// like the fitted one is meant.
pub fn open(dir: &Path, fit: &FitRecord, given: Option<&Path>) -> Result<FitActivations, Failure> {
    let input = &fit.run.input;
    let usage = |problem: String| Failure::Usage(problem);
    let path = match (given, &input.path) {
        (Some(path), _) => path,
        (None, Some(path)) if path.exists() => path,
        (None, Some(path)) => {
            return Err(usage(format!(
                "{}: the activations of the fit {} are not there any more; say with --activations FILE where they are",
                path.display(),
                dir.display()
            )));
        }
        (None, None) => {
            return Err(usage(format!(
                "{}: run.json names no file of activations, because they came from memory; give them with --activations FILE",
                dir.display()
            )));
        }
    };
    let file = open_tensor(path, input.tensor.as_deref())?;
    // Values of another type are other bytes, so a copy in another type counts as other tokens.
    let fitted =
        (file.tokens(), file.neurons()) == (input.tokens, input.neurons) && fingerprint(&file)? == input.fingerprint;
    if !fitted && given.is_none() {
        return Err(usage(format!(
            "{}: changed since {} was fitted to it (its fingerprint is another); fit again, or say with --activations FILE \
             which activations to use",
            path.display(),
            dir.display()
        )));
    }
    check_neurons(&file, fit, dir)?;
    let mut columns = file.token_columns()?;
    if fitted {
        let own = fit.columns.clone();
        columns.token_ids = columns.token_ids.or(own.token_ids);
        columns.prompt_ids = columns.prompt_ids.or(own.prompt_ids);
        columns.positions = columns.positions.or(own.positions);
    } else {
        check_finite(&file).map_err(|error| Failure::in_file(error, path))?;
    }
    Ok(FitActivations { file, columns, fitted })
}

/// Refuses activations of another model or layer than the fit in `dir`.
pub fn check_neurons(file: &ActivationFile, fit: &FitRecord, dir: &Path) -> Result<(), Failure> {
    let (found, expected) = (file.neurons(), fit.features.columns as u64);
    if found == expected {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{}: {found} neurons, but the features of {} have {expected}; activations of the same layer are needed",
        file.path().display(),
        dir.display()
    )))
}

/// Opens the tensor of that name, or the file's only matrix where there is none of that name.
fn open_tensor(path: &Path, name: Option<&str>) -> Result<ActivationFile, unmix_data::Error> {
    let named = |name: Option<&str>| ActivationFile::open(path, &OpenOptions { tensor: name.map(str::to_owned) });
    match named(name) {
        Err(unmix_data::Error::NoSuchTensor { .. } | unmix_data::Error::NamelessArray { .. }) => named(None),
        opened => opened,
    }
}
