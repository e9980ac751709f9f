//! Weights of models: whole, in shards, and as they should not be.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use unmix::ElementType;
use unmix_data::{Error, MemoryTensor, Weights};

use crate::bytes::{bf16s, f16s, f32s, f64s, npy, safetensors};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
    std::fs::write(&path, content).expect("written");
    path.as_ref().to_owned()
}

fn refused(paths: &[PathBuf]) -> String {
    let error = Weights::open(paths).expect_err("must be refused");
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

/// A file with one matrix [2, 3] of f32.
fn one(name: &str) -> Vec<u8> {
    safetensors(&[(name, "F32", &[2, 3], f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))])
}

#[test]
fn numbers_of_every_type_come_as_f32() {
    let folder = folder();
    let values = [1.0f32, -2.5, 0.0, 4.0, 100.0, -0.125];
    let doubles: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    // The first tensor leaves the others unaligned.
    let path = write(
        folder.path().join("m.safetensors"),
        safetensors(&[
            ("odd", "U8", &[3], vec![1, 2, 3]),
            ("f16", "F16", &[2, 3], f16s(&values)),
            ("bf16", "BF16", &[2, 3], bf16s(&values)),
            ("f32", "F32", &[2, 3], f32s(&values)),
            ("f64", "F64", &[2, 3], f64s(&doubles)),
            ("vector", "F16", &[6], f16s(&values)),
        ]),
    );
    let weights = Weights::open(std::slice::from_ref(&path)).expect("opened");
    assert_eq!(weights.names().collect::<Vec<_>>(), ["bf16", "f16", "f32", "f64", "odd", "vector"]);
    for name in ["f16", "bf16", "f32", "f64"] {
        let matrix = weights.matrix(name).expect("a matrix");
        assert_eq!((matrix.rows(), matrix.columns(), matrix.dtype(), matrix.name()), (2, 3, name, name));
        let (mut all, mut second) = ([0.0; 6], [0.0; 3]);
        matrix.read_rows(0..2, &mut all).expect("read");
        matrix.read_rows(1..2, &mut second).expect("read");
        assert_eq!((all, &second[..]), (values, &values[3..]));
    }
    assert_eq!(weights.vector("vector").expect("a vector"), values);
    assert_eq!(weights.shape("vector"), Some(&[6][..]));
    assert_eq!(weights.metadata("f16").expect("metadata")["model"], "tiny");
    assert_eq!((weights.path("f16"), weights.path("f8")), (Some(path.as_path()), None));
    assert_eq!(weights.config(), None);
}

#[test]
fn a_stack_of_matrices_is_read_matrix_by_matrix() {
    let folder = folder();
    let values: Vec<f32> = (0..24).map(|at| at as f32).collect();
    let path = write(
        folder.path().join("m.safetensors"),
        safetensors(&[
            ("stack", "BF16", &[4, 2, 3], bf16s(&values)),
            ("flat", "F32", &[2, 3], f32s(&values[..6])),
            ("whole", "I32", &[1, 2, 3], f32s(&values[..6])),
        ]),
    );
    let weights = Weights::open(&[path]).expect("opened");
    for at in 0..4 {
        let matrix = weights.matrix_of_stack("stack", at).expect("a matrix");
        let mut read = [0.0; 6];
        matrix.read_rows(0..2, &mut read).expect("read");
        assert_eq!((matrix.rows(), matrix.columns(), &read[..]), (2, 3, &values[at * 6..(at + 1) * 6]));
    }
    for (name, at) in [("stack", 4), ("stack", usize::MAX), ("flat", 0), ("whole", 0), ("none", 0)] {
        let error = weights.matrix_of_stack(name, at).expect_err("must be refused");
        assert!(error.is_usage() && error.to_string().contains(name), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let folder = folder();
    let (nan, huge) = (f32s(&[0.0, 1.0, f32::NAN, 3.0]), f64s(&[0.0, 1.0, 2.0, 1e300]));
    let path = write(
        folder.path().join("m.safetensors"),
        safetensors(&[
            ("quantised", "I8", &[2, 2], vec![0; 4]),
            ("small", "F8_E4M3", &[2, 2], vec![0; 4]),
            ("none", "F32", &[0, 2], Vec::new()),
            ("nan", "F32", &[2, 2], nan),
            ("huge", "F64", &[2, 2], huge),
        ]),
    );
    let weights = Weights::open(&[path]).expect("opened");
    let matrix = |name: &str| weights.matrix(name).expect_err("must be refused").to_string();
    assert!(matrix("quantised").contains("m.safetensors") && matrix("quantised").contains("holds i8"));
    assert!(matrix("small").contains("quantised model"));
    assert!(matrix("none").contains("none of them empty"));
    assert!(matrix("other").contains("no tensor named \"other\"") && matrix("other").contains("nan f32 [2, 2]"));
    assert!(weights.vector("nan").expect_err("refused").to_string().contains("shape [2, 2]; expected one dimension"));
    let mut out = [0.0; 2];
    let read = |name: &str, out: &mut [f32]| weights.matrix(name).expect("a matrix").read_rows(1..2, out);
    let text = read("nan", &mut out).expect_err("refused").to_string();
    assert!(text.contains("m.safetensors") && text.contains("row 1, column 0") && text.contains("NaN"), "{text}");
    let text = read("huge", &mut out).expect_err("refused").to_string();
    assert!(text.contains("row 1, column 1") && text.contains("1e300"), "{text}");
    weights.matrix("nan").expect("a matrix").read_rows(0..1, &mut out).expect("a good row");
}

#[test]
fn f64_weights_that_f32_cannot_hold_are_refused_with_their_tensor() {
    let folder = folder();
    // The rows: small numbers beside a larger one, zeros, and small numbers alone.
    let small = [1e-40, 1.0, 0.0, 0.0, 1e-50, -1e-40];
    let path = write(
        folder.path().join("m.safetensors"),
        safetensors(&[
            ("small", "F64", &[3, 2], f64s(&small)),
            ("stack", "F64", &[1, 3, 2], f64s(&small)),
            ("vector", "F64", &[2], f64s(&small[4..])),
            ("huge", "F64", &[1, 2], f64s(&[0.0, -1e300])),
        ]),
    );
    let weights = Weights::open(&[path]).expect("opened");
    let (whole, of_stack) = (weights.matrix("small"), weights.matrix_of_stack("stack", 0));
    for (matrix, name) in [(whole.expect("a matrix"), "small"), (of_stack.expect("a matrix"), "stack")] {
        let mut out = [9.0; 4];
        matrix.read_rows(0..2, &mut out).expect("read");
        assert_eq!(out, [1e-40, 1.0, 0.0, 0.0]);
        let text = matrix.read_rows(1..3, &mut out).expect_err("refused").to_string();
        let place = format!("tensor {name:?}: the largest number of row 2 is -1e-40, in column 1");
        assert!(text.contains(&place) && text.contains("below the range of f32"), "{text}");
    }
    let text = weights.vector("vector").expect_err("refused").to_string();
    assert!(text.contains("tensor \"vector\"") && text.contains("below the range of f32"), "{text}");
    let text =
        weights.matrix("huge").expect("a matrix").read_rows(0..1, &mut [0.0; 2]).expect_err("refused").to_string();
    assert!(text.contains("tensor \"huge\", row 0, column 1 is -1e300, beyond the range of f32"), "{text}");
}

#[test]
fn a_folder_is_a_model() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let open = || Weights::open(&[folder.path().to_owned()]);
    assert!(open().expect_err("refused").to_string().contains("no .safetensors file"));
    write(at("pytorch_model.bin"), b"PK\x03\x04");
    assert!(open().expect_err("refused").to_string().contains("PyTorch checkpoints"));
    write(at("b.safetensors"), one("b"));
    write(at("a.safetensors"), one("a"));
    write(at("config.json"), r#"{"model_type": "llama"}"#);
    let weights = open().expect("opened");
    assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(weights.config().expect("a configuration")["model_type"], "llama");
    // A file alone has the same configuration.
    assert!(Weights::open(&[at("b.safetensors")]).expect("opened").config().is_some());

    let index = write(at("model.safetensors.index.json"), r#"{"weight_map": {"b": "b.safetensors"}}"#);
    assert_eq!(open().expect("opened").names().collect::<Vec<_>>(), ["b"]);
    assert_eq!(Weights::open(&[index]).expect("opened").names().collect::<Vec<_>>(), ["b"]);
    write(at("model.safetensors"), one("whole"));
    assert_eq!(open().expect("opened").names().collect::<Vec<_>>(), ["whole"]);

    write(at("config.json"), "{");
    assert!(open().expect_err("refused").to_string().contains("config.json"));
}

#[test]
fn indexes_that_do_not_fit_their_shards() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    write(at("a.safetensors"), one("a"));
    let index = |content: &str| refused(&[write(at("x.safetensors.index.json"), content)]);
    let text = index(r#"{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#);
    assert!(text.contains("b.safetensors: no such file") && text.contains("index.json names it"), "{text}");
    let text = index(r#"{"weight_map": {"a": "a.safetensors", "b": "a.safetensors"}}"#);
    assert!(text.contains("a.safetensors: no tensor named \"b\"") && text.contains("index.json says"), "{text}");
    for elsewhere in ["../a.safetensors", "/etc/a.safetensors", "..", "sub/a.safetensors", ""] {
        let text = index(&serde_json::json!({"weight_map": {"a": elsewhere}}).to_string());
        assert!(text.contains("instead of the name of a file"), "{text}");
    }
    assert!(index(r#"{"weight_map": {"a": 1}}"#).contains("is 1 instead of"));
    assert!(index(r#"{"weight_map": {}}"#).contains("names no tensors"));
    assert!(index(r#"{"a": 1}"#).contains("no object \"weight_map\""));
    assert!(index("[").contains("not valid JSON"));
    write(at("y.safetensors.index.json"), r#"{"weight_map": {"a": "a.safetensors"}}"#);
    assert!(refused(&[folder.path().to_owned()]).contains("2 indexes"));
}

#[test]
fn several_files_together() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let (a, b) = (write(at("a.safetensors"), one("a")), write(at("b.safetensors"), one("b")));
    let weights = Weights::open(&[a.clone(), b.clone()]).expect("opened");
    assert_eq!((weights.path("a"), weights.path("b")), (Some(a.as_path()), Some(b.as_path())));
    let twice = write(at("c.safetensors"), one("a"));
    let text = refused(&[a.clone(), twice]);
    assert!(text.contains("c.safetensors: the tensor \"a\" is in") && text.contains("a.safetensors as well"), "{text}");
    assert!(refused(&[]).contains("no path was given"));
    assert!(matches!(Weights::open(&[at("none.safetensors")]), Err(Error::NotFound(_))));
    assert!(refused(&[write(at("x.npy"), npy(1, "<f4", false, &[1], &f32s(&[1.0])))]).contains("NumPy array"));
    let mut cut = one("a");
    cut.truncate(cut.len() - 1);
    assert!(refused(&[write(at("cut.safetensors"), cut)]).contains("damaged"));
}

#[test]
fn rows_that_there_are_not_and_wrong_buffers_are_errors() {
    let folder = folder();
    let bytes = safetensors(&[("a", "F32", &[3, 2], f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))]);
    let weights = Weights::open(&[write(folder.path().join("m.safetensors"), &bytes)]).expect("opened");
    let matrix = weights.matrix("a").expect("a matrix");
    let read = |rows: std::ops::Range<usize>, numbers| matrix.read_rows(rows, &mut vec![0.0; numbers]);
    for (first, end, numbers) in [(5, 6, 2), (2, 4, 4), (2, 1, 0), (0, 1, 3), (usize::MAX - 1, usize::MAX, 2)] {
        let error = read(first..end, numbers).expect_err("refused");
        assert!(matches!(error, Error::Rows { .. }) && error.to_string().contains("3 rows of 2"), "{error}");
    }
    read(1..3, 4).expect("read");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_weights_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..5),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        in_index: bool,
    ) {
        let folder = folder();
        let mut shard = safetensors(&[
            ("a", "F64", &[2, 3], f64s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            ("b", "BF16", &[4], bf16s(&[1.0, 2.0, 3.0, 4.0])),
        ]);
        let mut index = br#"{"weight_map": {"a": "s.safetensors", "b": "s.safetensors"}}"#.to_vec();
        let victim = if in_index { &mut index } else { &mut shard };
        for (at, value, header) in changes {
            let span = if header { victim.len().min(150) } else { victim.len() };
            victim[at.index(span)] = value;
        }
        if let Some(cut) = cut {
            victim.truncate(cut.index(victim.len() + 1));
        }
        write(folder.path().join("s.safetensors"), &shard);
        let index = write(folder.path().join("s.safetensors.index.json"), &index);
        match Weights::open(&[index]) {
            Ok(weights) => {
                for name in weights.names() {
                    let _ = weights.vector(name);
                    if let Ok(matrix) = weights.matrix(name) {
                        let mut out = vec![0.0; matrix.rows() * matrix.columns()];
                        let _ = matrix.read_rows(0..matrix.rows(), &mut out);
                    }
                }
            }
            Err(error) => prop_assert!(error.is_usage(), "{}", error),
        }
    }
}

#[test]
fn tensors_in_memory_are_read_like_those_of_a_file() {
    let tensor = |name: &str, shape: &[u64], values: &[f32]| MemoryTensor {
        name: name.to_owned(),
        element: ElementType::F32,
        shape: shape.to_vec(),
        bytes: Bytes::from(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()),
    };
    let matrix = || tensor("down", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let config = serde_json::json!({"model_type": "llama"});
    let weights = Weights::from_memory("the model", vec![matrix(), tensor("norm", &[2], &[0.5, 2.0])], Some(config));
    let weights = weights.expect("weights");
    let mut row = [0.0; 3];
    weights.matrix("down").and_then(|matrix| matrix.read_rows(1..2, &mut row)).expect("a row");
    assert_eq!((row, weights.vector("norm").expect("a vector")), ([4.0, 5.0, 6.0], vec![0.5, 2.0]));
    assert_eq!(weights.config().and_then(|config| config["model_type"].as_str()), Some("llama"));
    let refused =
        |tensors: Vec<MemoryTensor>| Weights::from_memory("the model", tensors, None).expect_err("refused").to_string();
    assert!(refused(Vec::new()).contains("no tensors"));
    assert!(refused(vec![matrix(), matrix()]).contains("down"));
    let short = MemoryTensor { shape: vec![2, 4], ..matrix() };
    assert!(refused(vec![short]).contains("24 bytes"));
}
