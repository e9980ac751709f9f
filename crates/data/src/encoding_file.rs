//! Encoded activations as a file.

use std::collections::BTreeMap;
use std::path::Path;

use unmix::{DenseMatrix, Encoding};

use crate::columns::Integers;
use crate::finite::check_matrix;
use crate::safetensors_writer::{TensorEntry, write_tensors};
use crate::{Error, OwnFile, TokenColumns, check_own_file_target, write_file};

/// Activations expressed by the features of a fit, and what they belong to.
#[derive(Clone, Debug)]
pub struct EncodingRecord {
    /// The coefficients, residuals and norms.
    pub encoding: Encoding,
    /// Cosine of each token with each feature, [n, K], if wanted.
    pub cosines: Option<DenseMatrix>,
    /// Columns of the tokens, n entries each.
    pub columns: TokenColumns,
    /// [`fingerprint`](crate::fingerprint()) of the encoded activations.
    pub fingerprint: String,
    /// Weight of the penalty on the coefficients.
    pub penalty: f64,
    /// Whether the coefficients above zero were then found again without the penalty.
    pub unshrink: bool,
}

/// An encoding among other files. Its metadata are at its beginning.
const OWN: OwnFile = OwnFile { name: "an encoding", mark: r#""format":"unmix-encoding""# };

/// Checks whether an encoding may be written to `path`, before the long work rather than after it. With `force`, an earlier encoding may
/// be replaced, and no other file.
///
/// # Errors
/// As [`check_own_file_target`].
pub fn check_encoding_target(path: impl AsRef<Path>, force: bool) -> Result<(), Error> {
    check_own_file_target(path, force, &OWN)
}

/// Writes a safetensors file with `coefficients` f32 [n, K], `squared_residuals` and `squared_norms` f64 \[n\] (‖x −
/// yZ‖² and ‖x‖² of each token), `cosines` f32 [n, K] if there are any, and the token columns.
///
/// # Errors
/// If parts of the record do not have as many tokens and features as its coefficients, or are not finite. As
/// [`write_file`].
pub fn write_encoding(path: impl AsRef<Path>, record: &EncodingRecord, force: bool) -> Result<(), Error> {
    check(record)?;
    let EncodingRecord { encoding, cosines, columns, .. } = record;
    let columns: Vec<(&str, Integers)> =
        columns.present().map(|(name, values)| (name, Integers::new(values))).collect();
    // Tensors with wider elements come first, so that every tensor is aligned.
    let mut entries = vec![
        column("squared_norms", &encoding.squared_norms),
        column("squared_residuals", &encoding.squared_residuals),
    ];
    entries.extend(columns.iter().filter_map(|(name, column)| column.wide(name)));
    entries.push(TensorEntry::matrix("coefficients", &encoding.coefficients));
    entries.extend(cosines.as_ref().map(|cosines| TensorEntry::matrix("cosines", cosines)));
    entries.extend(columns.iter().filter_map(|(name, column)| column.narrow(name)));
    let metadata = BTreeMap::from([
        ("format", "unmix-encoding".to_owned()),
        ("activations_fingerprint", record.fingerprint.clone()),
        ("penalty", record.penalty.to_string()),
        ("relative_error", encoding.relative_error().to_string()),
        ("scale", "activations = coefficients * features, with the features as the fit holds them".to_owned()),
        ("unshrink", record.unshrink.to_string()),
        ("unmix_version", env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    write_file(path, force, |out| write_tensors(out, &entries, &metadata))
}

fn check(record: &EncodingRecord) -> Result<(), Error> {
    let EncodingRecord { encoding, cosines, columns, .. } = record;
    let coefficients = &encoding.coefficients;
    let matrices = [("the coefficients matrix", Some(coefficients)), ("the cosines matrix", cosines.as_ref())];
    let of_tokens = [
        ("the column squared_norms", encoding.squared_norms.len()),
        ("the column squared_residuals", encoding.squared_residuals.len()),
    ];
    let inconsistent = |what: &str, found: String| {
        let expected = format!("{} tokens × {} features were encoded", coefficients.rows, coefficients.columns);
        Err(Error::Inconsistent { what: what.to_owned(), found, expected })
    };
    for (what, matrix) in matrices.into_iter().filter_map(|(what, matrix)| Some((what, matrix?))) {
        let DenseMatrix { rows, columns, values } = matrix;
        let is_whole = rows.checked_mul(*columns) == Some(values.len());
        if !is_whole || (*rows, *columns) != (coefficients.rows, coefficients.columns) {
            return inconsistent(what, format!("{rows} × {columns} with {} values", values.len()));
        }
    }
    let columns = columns.present().map(|(name, values)| (name, values.len()));
    for (what, length) in of_tokens.into_iter().chain(columns) {
        if length != coefficients.rows {
            return inconsistent(what, format!("{length} entries long"));
        }
    }
    if encoding.squared_norms.iter().chain(&encoding.squared_residuals).any(|value| !value.is_finite()) {
        return inconsistent("a squared norm or residual", "not finite".to_owned());
    }
    cosines.iter().try_for_each(|cosines| check_matrix("the cosines", cosines))?;
    check_matrix("the coefficients", coefficients)
}

fn column<'a>(name: &'a str, values: &'a [f64]) -> TensorEntry<'a> {
    TensorEntry { name, dtype: "F64", shape: vec![values.len()], bytes: bytemuck::cast_slice(values) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_other_sizes_and_values_that_are_not_finite_are_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("encoded.safetensors");
        let matrix = |rows, columns, values| DenseMatrix { rows, columns, values: vec![1.0; values] };
        let good = || EncodingRecord {
            encoding: Encoding {
                coefficients: matrix(3, 2, 6),
                squared_residuals: vec![0.0; 3],
                squared_norms: vec![1.0; 3],
                sweeps: 1,
                largest_change: 0.0,
            },
            cosines: None,
            columns: TokenColumns::default(),
            fingerprint: String::new(),
            penalty: 0.0,
            unshrink: true,
        };
        let changes: [fn(&mut EncodingRecord); 7] = [
            |record| record.encoding.coefficients.values[3] = f32::INFINITY,
            |record| record.encoding.squared_residuals[1] = f64::NAN,
            |record| record.encoding.coefficients.values.truncate(5),
            |record| record.encoding.squared_norms.truncate(2),
            |record| record.encoding.squared_residuals.push(0.0),
            |record| record.cosines = Some(DenseMatrix { rows: 3, columns: 1, values: vec![0.0; 3] }),
            |record| record.columns.positions = Some(vec![1]),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut record = good();
            change(&mut record);
            let refused = write_encoding(&path, &record, true).expect_err("refused");
            assert!(matches!(refused, Error::Inconsistent { .. } | Error::NotFiniteMatrix { .. }), "{i}: {refused}");
            assert!(!path.exists(), "{i}");
        }
        write_encoding(&path, &good(), false).expect("written");
        check_encoding_target(&path, true).expect("an encoding may be replaced");
    }
}
