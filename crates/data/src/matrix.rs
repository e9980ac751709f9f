//! A whole matrix as f32.

use std::path::Path;

use unmix::{ActivationSource, DenseMatrix};

use crate::finite::check_matrix;
use crate::{ActivationFile, Error, OpenOptions};

/// Reads a matrix of f32, f16, bf16 or f64 numbers, [rows, columns], from a safetensors or npy file, as f32. Without a
/// name, the file's only matrix of floating-point numbers is meant.
///
/// # Errors
/// As [`ActivationFile::open`]. If a number is NaN or infinite, or an f64 number is beyond f32.
pub fn read_matrix(path: impl AsRef<Path>, tensor: Option<&str>) -> Result<DenseMatrix, Error> {
    let path = path.as_ref();
    let file = ActivationFile::open(path, &OpenOptions { tensor: tensor.map(str::to_owned) })?;
    let matrix = whole(&file)?;
    check_matrix(&format!("{}: the numbers", path.display()), &matrix)?;
    Ok(matrix)
}

/// All of `file` as f32, unchecked.
pub(crate) fn whole(file: &ActivationFile) -> Result<DenseMatrix, Error> {
    let (rows, columns) = (file.tokens() as usize, file.neurons() as usize);
    let mut values = vec![0f32; rows * columns];
    match file.shared_rows(0..rows as u64) {
        Some(bytes) => file.element().decode(&bytes, &mut values),
        None => {
            let mut bytes = vec![0u8; values.len() * file.element().bytes()];
            file.read_rows(0..rows as u64, &mut bytes).map_err(Error::from_read)?;
            file.element().decode(&bytes, &mut values);
        }
    }
    Ok(DenseMatrix { rows, columns, values })
}
