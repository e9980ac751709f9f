//! Encoded activations as a file.

use std::collections::BTreeMap;
use std::path::Path;

use unmix::{DenseMatrix, Encoding};

use crate::columns::Integers;
use crate::safetensors_writer::{TensorEntry, write_tensors};
use crate::{Error, TokenColumns, write_file};

/// Activations in terms of a fit's features, and what they belong to.
#[derive(Clone, Debug)]
pub struct EncodingRecord {
    /// The coefficients, residuals and norms.
    pub encoding: Encoding,
    /// Cosine of each token with each feature, [n, K], where wanted.
    pub cosines: Option<DenseMatrix>,
    /// Columns of the tokens, n entries each.
    pub columns: TokenColumns,
    /// [`fingerprint`](crate::fingerprint()) of the encoded activations.
    pub fingerprint: String,
    /// Weight of the penalty on the coefficients.
    pub penalty: f64,
}

/// Writes a safetensors file: `coefficients` f32 [n, K], `squared_residuals` and `squared_norms` f64 \[n\] (‖x − yZ‖² and
/// ‖x‖² of each token), `cosines` f32 [n, K] where there are any, and the token columns.
///
/// # Errors
/// As [`write_file`].
pub fn write_encoding(path: impl AsRef<Path>, record: &EncodingRecord, force: bool) -> Result<(), Error> {
    let EncodingRecord { encoding, cosines, columns, .. } = record;
    let columns: Vec<(&str, Integers)> =
        columns.present().map(|(name, values)| (name, Integers::new(values))).collect();
    // Wider elements first, so that every tensor is aligned.
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
        ("unmix_version", env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    write_file(path, force, |out| write_tensors(out, &entries, &metadata))
}

fn column<'a>(name: &'a str, values: &'a [f64]) -> TensorEntry<'a> {
    TensorEntry { name, dtype: "F64", shape: vec![values.len()], bytes: bytemuck::cast_slice(values) }
}
