//! Numbers in the memory of Python's arrays, borrowed without a copy.

use bytes::Bytes;
use numpy::{PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmix::DenseMatrix;
use unmix::ElementType;

/// The memory of an array, which lives as long as this value.
struct ArrayMemory {
    /// None only while it is dropped.
    array: Option<Py<PyArray1<u8>>>,
    start: *const u8,
    bytes: usize,
}

// SAFETY: the memory is only read here, and it lives as long as the array, which is only touched while the interpreter is held. If
// another thread of Python writes to it meanwhile, other numbers are read, and the fingerprint that is taken before and after shows it.
unsafe impl Send for ArrayMemory {}
// SAFETY: as above.
unsafe impl Sync for ArrayMemory {}

impl AsRef<[u8]> for ArrayMemory {
    fn as_ref(&self) -> &[u8] {
        if self.bytes == 0 {
            return &[];
        }
        // SAFETY: the array is contiguous and has so many bytes, and it lives as long as this value.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }
}

impl Drop for ArrayMemory {
    fn drop(&mut self) {
        let array = self.array.take();
        // When Python ends, there is nothing left to free.
        let _ = Python::try_attach(move |_| drop(array));
    }
}

/// The bytes of a contiguous array.
///
/// # Errors
/// If it is not contiguous.
pub fn bytes_of(array: &Bound<'_, PyArray1<u8>>) -> PyResult<Bytes> {
    if !array.is_contiguous() {
        return Err(PyValueError::new_err("the bytes of the array are not contiguous"));
    }
    let memory =
        ArrayMemory { start: array.data().cast_const(), bytes: array.len(), array: Some(array.clone().unbind()) };
    Ok(Bytes::from_owner(memory))
}

/// The type of numbers of a name.
///
/// # Errors
/// If there is no such type.
pub fn element(name: &str) -> PyResult<ElementType> {
    let found = ElementType::ALL.into_iter().find(|element| element.name() == name);
    found.ok_or_else(|| PyValueError::new_err(format!("element={name:?}: f32, f16 or bf16 is needed")))
}

/// A matrix as an array of numpy, whose memory it becomes.
///
/// # Errors
/// If Python has no memory left.
pub fn array_of(py: Python<'_>, matrix: DenseMatrix) -> PyResult<Bound<'_, numpy::PyArray2<f32>>> {
    PyArray1::from_vec(py, matrix.values).reshape([matrix.rows, matrix.columns])
}

/// An array of numpy as a matrix.
pub fn matrix_of(array: &numpy::PyReadonlyArray2<'_, f32>) -> DenseMatrix {
    let array = array.as_array();
    DenseMatrix { rows: array.nrows(), columns: array.ncols(), values: array.iter().copied().collect() }
}
