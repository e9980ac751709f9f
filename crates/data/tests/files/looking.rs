//! Finite values, statistics and fingerprints.

use std::ops::Range;

use unmix::{ActivationSource, ElementType};
use unmix_data::{Error, check_finite, fingerprint, inspect};

use crate::bytes::{bf16s, f16s, f32s, i32s, npy, open, open_set, safetensors, transposed};

/// A source without bytes of its own, to go the way through `read_rows`.
struct Computed {
    tokens: u64,
    neurons: u64,
    bad: Option<(u64, u64, f32)>,
}

impl Computed {
    fn value(&self, row: u64, column: u64) -> f32 {
        match self.bad {
            Some((r, c, v)) if (r, c) == (row, column) => v,
            _ => (row * 31 + column * 7) as f32 % 11.0 - 5.0,
        }
    }
}

impl ActivationSource for Computed {
    fn tokens(&self) -> u64 {
        self.tokens
    }
    fn neurons(&self) -> u64 {
        self.neurons
    }
    fn element(&self) -> ElementType {
        ElementType::F32
    }
    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        let values: Vec<f32> =
            rows.flat_map(|r| (0..self.neurons).map(move |c| (r, c))).map(|(r, c)| self.value(r, c)).collect();
        out.copy_from_slice(&f32s(&values));
        Ok(())
    }
}

#[test]
fn the_first_bad_value_is_named() {
    // Several panels of 1 MiB.
    let mut source = Computed { tokens: 3000, neurons: 700, bad: None };
    check_finite(&source).expect("finite");
    for (row, column, value) in [(0, 0, f32::NAN), (2999, 699, f32::INFINITY), (1234, 5, f32::NEG_INFINITY)] {
        source.bad = Some((row, column, value));
        let Err(Error::NotFinite { token, neuron, value: found }) = check_finite(&source) else { panic!("accepted") };
        assert_eq!((token, neuron, found.to_bits()), (row, column, value.to_bits()));
    }
    let text = check_finite(&source).expect_err("refused").to_string();
    assert!(text.contains("token 1234, neuron 5 is -inf"), "{text}");
}

#[test]
fn bad_values_in_files_of_every_type() {
    for (dtype, data) in [("F16", f16s as fn(&[f32]) -> Vec<u8>), ("BF16", bf16s), ("F32", f32s)] {
        let mut values = vec![1.0; 12];
        values[7] = f32::NAN;
        values[9] = f32::INFINITY;
        let file = open("x.safetensors", &safetensors(&[("x", dtype, &[3, 4], data(&values))]), None).expect("opened");
        assert!(matches!(check_finite(&file), Err(Error::NotFinite { token: 1, neuron: 3, .. })), "{dtype}");
    }
}

#[test]
fn failing_reads_are_no_usage_errors() {
    struct Failing;
    impl ActivationSource for Failing {
        fn tokens(&self) -> u64 {
            4
        }
        fn neurons(&self) -> u64 {
            4
        }
        fn element(&self) -> ElementType {
            ElementType::F32
        }
        fn read_rows(&self, _: Range<u64>, _: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::Error::other("unplugged"))
        }
    }
    for error in [check_finite(&Failing).expect_err("fails"), fingerprint(&Failing).expect_err("fails")] {
        assert!(!error.is_usage() && error.to_string().contains("unplugged"), "{error}");
    }
}

#[test]
fn an_inspection_by_hand() {
    let values = [3.0, -4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -12.0];
    let file = safetensors(&[("x", "F16", &[3, 3], f16s(&values)), ("token_ids", "I32", &[3], i32s(&[5, 6, 7]))]);
    let look = inspect(&open_set("x.safetensors", &file, None).expect("opened")).expect("inspected");
    assert_eq!((look.tokens, look.neurons, look.element, look.files[0].tensor.as_deref()), (3, 3, "f16", Some("x")));
    assert_eq!((look.squared_norm, look.max_abs, look.fits_f16), (169.0, 12.0, true));
    assert_eq!((look.negative_share, look.zero_share), (2.0 / 9.0, 6.0 / 9.0));
    assert_eq!(
        (look.token_norms.min, look.token_norms.median, look.token_norms.mean, look.token_norms.max),
        (0.0, 5.0, 17.0 / 3.0, 12.0)
    );
    assert_eq!((look.strongest_token.index, look.strongest_token.share), (2, 144.0 / 169.0));
    assert_eq!(look.outlier_neurons.iter().map(|n| n.index).collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!(look.outlier_neurons[1].share, 16.0 / 169.0);
    assert_eq!(look.token_columns, ["token_ids"]);
    assert_eq!((look.non_finite.count, look.non_finite.first), (0, None));
    let json = serde_json::to_value(&look).expect("serializes");
    assert_eq!(
        (&json["files"][0]["tensors"][1]["name"], &json["files"][0]["format"]),
        (&"token_ids".into(), &"safetensors".into())
    );
}

#[test]
fn an_inspection_counts_what_is_not_finite() {
    let values = [1.0, f32::NAN, 1e6, 0.0, f32::INFINITY, -1.0];
    let look = inspect(&open_set("x.npy", &npy(1, "<f4", false, &[3, 2], &f32s(&values)), None).expect("opened"))
        .expect("inspected");
    assert_eq!((look.non_finite.count, look.non_finite.first), (2, Some((0, 1))));
    assert_eq!((look.max_abs, look.fits_f16, look.zero_share), (1e6, false, 1.0 / 6.0));
    assert!(look.squared_norm.is_finite());
    let zeros = inspect(&open_set("0.npy", &npy(1, "<f4", false, &[2, 2], &[0; 16]), None).expect("opened"))
        .expect("inspected");
    assert_eq!((zeros.strongest_token.share, zeros.token_norms.max), (0.0, 0.0));
}

#[test]
fn fingerprints_follow_the_numbers_not_the_file() {
    let values: Vec<f32> = (0..600).map(|i| i as f32 * 0.5 - 80.0).collect();
    let print = |name: &str, bytes: &[u8]| fingerprint(&open(name, bytes, None).expect("opened")).expect("hashed");
    let c = print("c.npy", &npy(1, "<f4", false, &[20, 30], &f32s(&values)));
    assert!(c.starts_with("blake3:") && c.len() == 71, "{c}");
    assert_eq!(c, print("f.npy", &npy(3, "<f4", true, &[20, 30], &f32s(&transposed(&values, 20, 30)))));
    assert_eq!(c, print("s.safetensors", &safetensors(&[("x", "F32", &[20, 30], f32s(&values))])));
    assert_ne!(c, print("shape.npy", &npy(1, "<f4", false, &[30, 20], &f32s(&values))));
    assert_ne!(c, print("type.npy", &npy(1, "<f2", false, &[20, 30], &f16s(&values))));
    let mut other = values;
    other[599] += 1.0;
    assert_ne!(c, print("value.npy", &npy(1, "<f4", false, &[20, 30], &f32s(&other))));
    // Read in several pieces of 16 MiB.
    let source = Computed { tokens: 5000, neurons: 1000, bad: None };
    assert_eq!(fingerprint(&source).expect("hashed").len(), 71);
}
