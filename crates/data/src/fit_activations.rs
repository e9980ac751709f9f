//! Opens the activations of a fit again.

use std::path::PathBuf;

use unmix::ActivationSource;

use crate::{
    ActivationSet, Error, FitRecord, InputRecord, OpenOptions, StoredRow, TokenColumns, TokenFilter, check_finite,
    fingerprint,
};

/// Activations for the features of a fit.
#[derive(Debug)]
pub struct FitActivations<S> {
    /// The activations.
    pub source: S,
    /// Their token columns. If the rows are those of the fit, the fit's own columns take the place of columns that the
    /// activations do not have.
    pub columns: TokenColumns,
    /// Whether they are the activations that were fitted, so that row i belongs to row i of the coefficients.
    pub fitted: bool,
}

/// Why the activations of a fit cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FitActivationsError {
    /// They cannot be read.
    #[error(transparent)]
    Data(#[from] Error),
    /// The fit names no file.
    #[error("run.json names no file of activations, because they came from memory")]
    InMemory,
    /// A value that is not finite, or another problem within a file.
    #[error("{}: {error}", path.display())]
    Of {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Error,
    },
    /// A file is not there.
    #[error("{}: the activations of the fit are not there any more", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// The files hold something else now.
    #[error("{files}: changed since the fit (the fingerprint is another)")]
    Changed {
        /// The files in words.
        files: String,
    },
    /// The activations are of another layer or model.
    #[error("{found} neurons, but the features of the fit have {expected}; activations of the same layer are needed")]
    Neurons {
        /// Neurons of the activations.
        found: u64,
        /// Neurons of the features.
        expected: u64,
    },
}

impl<S: ActivationSource> FitActivations<S> {
    /// Any activations for the features of a fit, with their columns. They may be of other tokens, but must have the
    /// fit's neurons. If they are other ones, their values are checked.
    ///
    /// # Errors
    /// If they have other neurons, cannot be read or are not finite.
    pub fn of(fit: &FitRecord, source: S, columns: TokenColumns) -> Result<FitActivations<S>, FitActivationsError> {
        let (found, expected) = (source.neurons(), fit.features.columns as u64);
        if found != expected {
            return Err(FitActivationsError::Neurons { found, expected });
        }
        // Values of another type are other bytes, so a copy in another type counts as other tokens.
        let input = &fit.run.input;
        let fitted = source.tokens() == input.tokens && fingerprint(&source)? == input.fingerprint;
        if !fitted {
            check_finite(&source)?;
            return Ok(FitActivations { source, columns, fitted });
        }
        let own = fit.columns.clone();
        let columns = TokenColumns {
            token_ids: columns.token_ids.or(own.token_ids),
            prompt_ids: columns.prompt_ids.or(own.prompt_ids),
            positions: columns.positions.or(own.positions),
            rows: columns.rows,
        };
        Ok(FitActivations { source, columns, fitted })
    }
}

impl FitActivations<ActivationSet> {
    /// The files that a fit was made from, read as they were read then.
    ///
    /// # Errors
    /// If there are none, or they are not there or have changed.
    pub fn reopen(fit: &FitRecord) -> Result<FitActivations<ActivationSet>, FitActivationsError> {
        let input = &fit.run.input;
        if input.paths.is_empty() {
            return Err(FitActivationsError::InMemory);
        }
        if let Some(path) = input.paths.iter().find(|path| !path.exists()) {
            return Err(FitActivationsError::Gone { path: path.clone() });
        }
        let set = open_like(input, &input.paths, &input.filter)?;
        let files = set.names();
        match FitActivations::of_set(fit, set) {
            Ok(found) if found.fitted => Ok(found),
            Ok(_) | Err(FitActivationsError::Neurons { .. } | FitActivationsError::Of { .. }) => {
                Err(FitActivationsError::Changed { files })
            }
            Err(error) => Err(error),
        }
    }

    /// Other files for the features of a fit. `tensor` is the name of the matrix in them. Without it, the matrix with the
    /// name of the fitted one is meant, if they hold several. Tokens are left out as the fit left them out, unless
    /// `filter` says otherwise.
    ///
    /// # Errors
    /// As [`of`](Self::of), and if the files cannot be opened.
    pub fn open(
        fit: &FitRecord,
        paths: &[PathBuf],
        tensor: Option<&str>,
        filter: Option<&TokenFilter>,
    ) -> Result<FitActivations<ActivationSet>, FitActivationsError> {
        let input = &fit.run.input;
        let filter = filter.unwrap_or(&input.filter);
        let set = match tensor {
            Some(tensor) => open_tensor(paths, Some(tensor), filter)?,
            None => open_like(input, paths, filter)?,
        };
        FitActivations::of_set(fit, set)
    }

    fn of_set(fit: &FitRecord, set: ActivationSet) -> Result<FitActivations<ActivationSet>, FitActivationsError> {
        let (columns, located) = (set.token_columns().clone(), set.clone());
        FitActivations::of(fit, set, columns).map_err(|error| match error {
            FitActivationsError::Data(Error::NotFinite { token, neuron, value }) => {
                let StoredRow { path, row } = located.locate(token);
                FitActivationsError::Of { path: path.to_owned(), error: Error::NotFinite { token: row, neuron, value } }
            }
            error => error,
        })
    }
}

/// Opens the tensor of the name that was fitted, or the files' only matrix if there is none of that name.
fn open_like(input: &InputRecord, paths: &[PathBuf], filter: &TokenFilter) -> Result<ActivationSet, Error> {
    match open_tensor(paths, input.tensor.as_deref(), filter) {
        Err(Error::NoSuchTensor { .. } | Error::NamelessArray { .. }) if input.tensor.is_some() => {
            open_tensor(paths, None, filter)
        }
        opened => opened,
    }
}

fn open_tensor(paths: &[PathBuf], tensor: Option<&str>, filter: &TokenFilter) -> Result<ActivationSet, Error> {
    let options = OpenOptions { tensor: tensor.map(str::to_owned) };
    ActivationSet::open(paths, &options)?.filtered(filter)
}
