//! Which tensor of a file holds the activations: the one named, else the only plausible one, or none.

use crate::Error;
use crate::columns::is_column;
use crate::mask::is_mask_name;
use crate::number::Number;
use crate::tensor::{Format, Tensor, TensorInfo, list, shape_text};
use crate::tensor_file::TensorFile;

/// The tensor of activations: the one named, or else the only plausible one. It has [tokens, neurons] or [batch,
/// sequence, neurons] floating-point numbers, and no side of it is 0.
pub(crate) fn activations<'a>(file: &'a TensorFile, name: Option<&str>) -> Result<&'a Tensor, Error> {
    let path = || file.path.clone();
    let tensor = match name {
        // The only array of an npy file is meant, whatever it is: what is wrong with it makes the better error.
        None if file.format == Format::Npy => file.tensors.first(),
        None => Some(only_plausible(file)?),
        Some(name) if file.format == Format::Npy => {
            return Err(Error::NamelessArray { path: path(), tensor: name.to_owned() });
        }
        Some(name) => file.tensor(name),
    };
    match tensor {
        Some(tensor) => check(file, tensor).map(|()| tensor),
        None => {
            let tensor = name.unwrap_or_default().to_owned();
            Err(Error::NoSuchTensor { path: path(), tensor, held: file.list() })
        }
    }
}

fn check(file: &TensorFile, tensor: &Tensor) -> Result<(), Error> {
    if !tensor.is_float() {
        return Err(Error::DataType {
            path: file.path.clone(),
            tensor: tensor.label(),
            found: tensor.info.dtype.clone(),
            expected: "f32, f16, bf16 or f64 numbers; convert it to one of these",
        });
    }
    let expected = match tensor.info.shape.as_slice() {
        [_, _] | [_, _, _] if tensor.info.shape.contains(&0) => "at least one row (token) and one column (neuron)",
        [_, _, _] if tensor.fortran => {
            "a batch of sequences that lies row after row, not column after column; save numpy.ascontiguousarray of it"
        }
        [_, _] | [_, _, _] => return Ok(()),
        [_] | [] => "two dimensions, tokens × neurons, or three, batch × sequence × neurons; reshape it",
        _ => {
            "two dimensions, tokens × neurons, or three, batch × sequence × neurons; merge the leading dimensions into one"
        }
    };
    Err(Error::Shape {
        path: file.path.clone(),
        tensor: tensor.label(),
        shape: shape_text(&tensor.info.shape),
        expected: expected.to_owned(),
    })
}

/// The file's tensor of floating-point numbers with two or three dimensions, if nothing else in the file can be the
/// activations, and if its name is neither that of a mask nor that of a column of tokens.
fn only_plausible(file: &TensorFile) -> Result<&Tensor, Error> {
    let ambiguous = |why, candidates: &[&Tensor]| {
        Err(Error::AmbiguousTensor { path: file.path.clone(), why, candidates: list(candidates.iter().copied()) })
    };
    let plausible: Vec<&Tensor> =
        file.tensors.iter().filter(|tensor| is_readable(tensor) && !is_aside(tensor)).collect();
    let Some(first) = plausible.first() else {
        let masks: Vec<&Tensor> = file.tensors.iter().filter(|tensor| is_readable(tensor)).collect();
        if !masks.is_empty() {
            return ambiguous(
                "all matrices of floating-point numbers are masks or columns of tokens by their names",
                &masks,
            );
        }
        let advice = if file.tensors.iter().any(|tensor| tensor.is_float() && tensor.info.shape.len() > 3) {
            "merge the leading dimensions of the tensor that has more than three"
        } else {
            "save them as tokens × neurons, or as batch × sequence × neurons"
        };
        return Err(Error::NoMatrix { path: file.path.clone(), held: file.list(), advice });
    };
    // Beside quantised activations, the scales are a matrix too, but a smaller one.
    let is_rival = |tensor: &Tensor| {
        may_be_activations(tensor) && (tensor.info.shape.len() > 2 || elements(&tensor.info) > elements(&first.info))
    };
    let is_candidate = |tensor: &&Tensor| !is_aside(tensor) && (is_readable(tensor) || is_rival(tensor));
    match file.tensors.iter().filter(is_candidate).collect::<Vec<_>>().as_slice() {
        [only] => Ok(only),
        several => ambiguous("several tensors could be meant", several),
    }
}

/// Whether activations could be read from this tensor: tokens × neurons, or batch × sequence × neurons.
fn is_readable(tensor: &Tensor) -> bool {
    tensor.is_float() && matches!(tensor.info.shape.len(), 2 | 3)
}

/// Whether the name says that the tensor describes the tokens.
fn is_aside(tensor: &Tensor) -> bool {
    is_mask_name(&tensor.info.name) || is_column(&tensor.info.name)
}

/// Whether numbers of this type may be activations: floating-point numbers, whether or not they can be read, and
/// quantised ones.
fn may_be_activations(tensor: &Tensor) -> bool {
    match tensor.number {
        Some(number) => number.is_float() || matches!(number, Number::I8 | Number::U8),
        None => tensor.info.dtype != "bool",
    }
}

/// As f64, because shapes of types that cannot be read may have any size.
fn elements(tensor: &TensorInfo) -> f64 {
    tensor.shape.iter().map(|&side| side as f64).product()
}
