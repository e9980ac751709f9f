//! Files of activations.

use std::path::Path;

use unmix::ActivationSource;
use unmix_data::{ActivationSet, NormLimit, OpenOptions, TokenFilter, check_finite, fingerprint, inspect, read_matrix};

use super::fixtures::{npy, numbers, safetensors};
use super::refusal::refused;
use crate::{File, Form, Target};

/// Safetensors files.
pub static SAFETENSORS: Target = Target {
    name: "safetensors",
    files: &[File { name: "activations.safetensors", form: Form::Safetensors }],
    words: &[
        "dtype",
        "shape",
        "data_offsets",
        "__metadata__",
        "x",
        "y",
        "token_ids",
        "prompt_ids",
        "positions",
        "input_ids",
        "position_ids",
        "attention_mask",
        "mask",
        "F64",
        "F32",
        "F16",
        "BF16",
        "I8",
        "I64",
        "U64",
        "BOOL",
        "F8_E5M2",
        "C64",
        "F4",
    ],
    seeds: || {
        let files = [
            safetensors(&[("x", "F32", &[5, 3])]),
            safetensors(&[("positions", "I64", &[4]), ("x", "F16", &[4, 3]), ("token_ids", "U16", &[4])]),
            safetensors(&[("x", "F64", &[2, 3]), ("y", "BF16", &[3, 2])]),
            safetensors(&[
                ("x", "BF16", &[70, 40]),
                ("m", "BOOL", &[3, 3]),
                ("t", "F32", &[2, 2, 2]),
                ("s", "F32", &[]),
            ]),
            safetensors(&[]),
            safetensors(&[
                ("x", "F32", &[2, 3, 2]),
                ("input_ids", "I32", &[2, 3]),
                ("attention_mask", "U8", &[2, 3]),
                ("position_ids", "I8", &[2, 3]),
                ("prompt_ids", "I16", &[2]),
            ]),
        ];
        files.map(|file| vec![file]).to_vec()
    },
    read: |folder| {
        let path = folder.join("activations.safetensors");
        open(&path, None);
        open(&path, Some("x"));
    },
};

/// NumPy's files.
pub static NPY: Target = Target {
    name: "npy",
    files: &[File { name: "activations.npy", form: Form::Npy }],
    words: &[
        "descr",
        "fortran_order",
        "shape",
        "<f4",
        ">f4",
        "<f8",
        ">f8",
        "<f2",
        "|V2",
        "|O",
        "<i8",
        "|u1",
        "|b1",
        "<U3",
        "<c8",
    ],
    seeds: || {
        let files = [
            npy(1, "<f4", false, &[5, 3], &numbers("F32", 15)),
            npy(1, ">f2", true, &[3, 4], &numbers("F16", 12)),
            npy(2, "<f8", true, &[70, 3], &numbers("F64", 210)),
            npy(3, ">f8", false, &[1, 2], &numbers("F64", 2)),
            npy(1, "<f2", false, &[2, 1, 2], &numbers("F16", 4)),
            npy(1, "<i4", false, &[4], &numbers("I32", 4)),
            b"\x93NUMPY\x01\x00\x3e\x00{'descr': [('a', '<f4', (2,))], 'shape': (1,), 'fortran_order': False}".to_vec(),
        ];
        files.map(|file| vec![file]).to_vec()
    },
    read: |folder| open(&folder.join("activations.npy"), None),
};

fn open(path: &Path, tensor: Option<&str>) {
    open_set(path, tensor);
    match read_matrix(path, tensor) {
        Ok(matrix) => {
            assert_eq!(matrix.values.len(), matrix.rows * matrix.columns);
            assert!(matrix.values.iter().all(|value| value.is_finite()));
        }
        Err(error) => refused(&error),
    }
}

/// Opens a file, a folder or an index.
pub(super) fn open_set(path: &Path, tensor: Option<&str>) {
    match ActivationSet::open(&[path.to_owned()], &OpenOptions { tensor: tensor.map(str::to_owned) }) {
        Ok(set) => {
            examine(&set);
            let filter = TokenFilter {
                skip_token_ids: if set.token_columns().token_ids.is_some() { vec![1, 2] } else { Vec::new() },
                skip_first: set.token_columns().prompt_ids.is_some().into(),
                max_norm: Some(NormLimit::TimesMedian(2.0)),
                keep: None,
            };
            match set.filtered(&filter) {
                Ok(some) => {
                    assert_eq!(some.tokens() + some.left_out().total(), set.stored_tokens());
                    examine(&some);
                }
                Err(error) => refused(&error),
            }
        }
        Err(error) => refused(&error),
    }
}

/// Checks that opened activations are what they say.
fn examine(file: &ActivationSet) {
    let (tokens, neurons, element) = (file.tokens(), file.neurons(), file.element());
    assert!(tokens > 0 && neurons > 0, "{tokens} × {neurons}");
    let row = neurons as usize * element.bytes();
    let beyond = file.read_rows(tokens..tokens + 1, &mut vec![0; row]);
    assert!(beyond.is_err(), "there is no row {tokens}");

    let mut whole = vec![0; tokens as usize * row];
    match file.read_rows(0..tokens, &mut whole) {
        Err(error) => {
            // Only numbers that f32 cannot hold are found as late as this.
            assert!(file.files()[0].stored_dtype().starts_with("f64"), "{error}");
            let error = check_finite(file).expect_err("a number that f32 cannot hold");
            refused(&error);
        }
        Ok(()) => {
            if let Some(shared) = file.shared_rows(0..tokens) {
                assert_eq!(shared, whole, "bytes in place and bytes read");
            }
            same_by_row(file, &whole, row);
            let mut values = vec![0.0; whole.len() / element.bytes()];
            element.decode(&whole, &mut values);
            numbers_are_counted(file, &values);
            assert_eq!(fingerprint(file).expect("read before").len(), "blake3:".len() + 64);
        }
    }
    let columns = file.token_columns();
    for column in [&columns.token_ids, &columns.prompt_ids, &columns.positions, &columns.rows].into_iter().flatten() {
        assert_eq!(column.len() as u64, tokens, "entries of a column");
    }
}

/// Checks that rows are the same however many are read at a time.
fn same_by_row(file: &ActivationSet, whole: &[u8], row: usize) {
    let step = 7;
    for (start, rows) in (0..file.tokens()).step_by(step as usize).zip(whole.chunks(row * step as usize)) {
        let mut some = vec![0; rows.len()];
        file.read_rows(start..(start + step).min(file.tokens()), &mut some).expect("read before");
        assert_eq!(some, rows, "rows from {start} on");
    }
}

/// Checks that the inspection of all numbers finds what is there.
fn numbers_are_counted(file: &ActivationSet, values: &[f32]) {
    let not_finite = values.iter().filter(|value| !value.is_finite()).count();
    match check_finite(file) {
        Ok(()) => assert_eq!(not_finite, 0),
        Err(error) => {
            assert!(not_finite > 0, "{error}");
            refused(&error);
        }
    }
    match inspect(file) {
        Ok(inspection) => {
            assert_eq!(inspection.non_finite.count, not_finite as u64);
            let zeros = values.iter().filter(|&&value| value == 0.0).count();
            assert_eq!(inspection.zero_share, zeros as f64 / values.len() as f64);
            let norms = inspection.token_norms;
            assert!(norms.min <= norms.median && norms.median <= norms.max, "{norms:?}");
            assert!(inspection.squared_norm.is_finite() && norms.mean.is_finite(), "{norms:?}");
            serde_json::to_string(&inspection).expect("an inspection as JSON");
        }
        Err(error) => refused(&error),
    }
}
