//! Which tensor of a file holds the activations: the one named, else the only plausible one, or none.

use crate::Error;
use crate::number::Number;
use crate::tensor::{Format, Tensor, TensorInfo, list, shape_text};
use crate::tensor_file::TensorFile;

/// What to do about a tensor of more than two dimensions.
const MERGE: &str =
    "merge the leading dimensions (e.g. batch and position) of the tensor that has more than two into one";

/// The matrix of floating-point numbers that is meant: the one named, or the only plausible one.
pub(crate) fn matrix<'a>(file: &'a TensorFile, name: Option<&str>) -> Result<&'a Tensor, Error> {
    let path = || file.path.clone();
    let Some(name) = name else {
        // An npy file's only array is meant whatever it is: what is wrong with it makes the better error.
        if let (Format::Npy, [only]) = (file.format, file.tensors.as_slice()) {
            return checked(file, only);
        }
        return checked(file, only_plausible(file)?);
    };
    if file.format == Format::Npy {
        return Err(Error::NamelessArray { path: path(), tensor: name.to_owned() });
    }
    match file.tensor(name) {
        Some(tensor) => checked(file, tensor),
        None => Err(Error::NoSuchTensor { path: path(), tensor: name.to_owned(), held: file.list() }),
    }
}

fn checked<'a>(file: &TensorFile, tensor: &'a Tensor) -> Result<&'a Tensor, Error> {
    if !tensor.is_float() {
        return Err(Error::DataType {
            path: file.path.clone(),
            tensor: tensor.label(),
            found: tensor.info.dtype.clone(),
            expected: "f32, f16, bf16 or f64 numbers; convert it to one of these",
        });
    }
    let expected = match tensor.info.shape.as_slice() {
        [0, _] | [_, 0] => "at least one row (token) and one column (neuron)",
        [_, _] => return Ok(tensor),
        [_] => "two dimensions, tokens × neurons; reshape it",
        _ => "two dimensions, tokens × neurons; merge the leading dimensions (e.g. batch and position) into one",
    };
    Err(Error::Shape {
        path: file.path.clone(),
        tensor: tensor.label(),
        shape: shape_text(&tensor.info.shape),
        expected: expected.to_owned(),
    })
}

/// The file's matrix of floating-point numbers, if nothing else in the file can be the activations and its name is not that of
/// a mask.
fn only_plausible(file: &TensorFile) -> Result<&Tensor, Error> {
    let ambiguous = |why, candidates: &[&Tensor]| {
        let merge = candidates.iter().any(|t| is_cube(t));
        Err(Error::AmbiguousTensor {
            path: file.path.clone(),
            why,
            candidates: list(candidates.iter().copied()),
            advice: if merge { format!("{MERGE}, or ") } else { String::new() },
        })
    };
    let is_matrix = |t: &&Tensor| t.is_float() && t.info.shape.len() == 2;
    let Some(first) = file.tensors.iter().find(is_matrix) else {
        let advice = if file.tensors.iter().any(is_cube) { MERGE } else { "save them as tokens × neurons" };
        return Err(Error::NoMatrix { path: file.path.clone(), held: file.list(), advice });
    };
    // Of quantised activations, the scales are a matrix too, and a smaller one.
    let is_larger = |t: &Tensor| may_be_activations(t) && elements(&t.info) > elements(&first.info);
    let is_rival = |t: &&Tensor| !is_mask(t) && (is_cube(t) || is_larger(t));
    let candidates: Vec<&Tensor> = file.tensors.iter().filter(|t| is_matrix(t) || is_rival(t)).collect();
    match candidates.as_slice() {
        [only] if is_mask(only) => {
            ambiguous("the only matrix of floating-point numbers is a mask by its name", &[only])
        }
        [only] => Ok(only),
        several => ambiguous("several tensors could be meant", several),
    }
}

fn is_mask(tensor: &Tensor) -> bool {
    let name = tensor.info.name.to_ascii_lowercase();
    name.ends_with("mask") || name.ends_with("masks")
}

/// Whether these may be activations before batch and position are merged.
fn is_cube(tensor: &Tensor) -> bool {
    may_be_activations(tensor) && tensor.info.shape.len() > 2
}

/// Whether numbers of this type may be activations: floating-point numbers that can be read or not, or quantised ones.
fn may_be_activations(tensor: &Tensor) -> bool {
    match tensor.number {
        Some(number) => number.is_float() || matches!(number, Number::I8 | Number::U8),
        None => tensor.info.dtype != "bool",
    }
}

/// In f64, since shapes of types that cannot be read may be of any size.
fn elements(tensor: &TensorInfo) -> f64 {
    tensor.shape.iter().map(|&side| side as f64).product()
}
