//! Valid files cut short and with bytes changed: any error will do, a panic will not.

use std::fs;

use proptest::prelude::*;
use unmix_data::{ActivationFile, OpenOptions, check_finite, fingerprint, inspect, read_matrix};

use crate::bytes::{f16s, f32s, i32s, npy, safetensors};

fn victim() -> impl Strategy<Value = Vec<u8>> {
    let values: Vec<f32> = (0..12).map(|i| i as f32 - 5.5).collect();
    let tensors = safetensors(&[
        ("x", "F16", &[3, 4], f16s(&values)),
        ("token_ids", "I32", &[3], i32s(&[7, 8, 9])),
        ("y", "F32", &[4, 3], f32s(&values)),
    ]);
    let doubles: Vec<u8> = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    prop_oneof![
        3 => Just(tensors),
        1 => Just(npy(1, "<f4", false, &[3, 4], &f32s(&values))),
        1 => Just(npy(2, "<f8", true, &[3, 4], &doubles)),
        1 => Just(npy(3, ">f2", true, &[3, 4], &f16s(&values))),
    ]
}

/// A byte to write: anything, but mostly what headers are made of.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), prop::sample::select(b"0123456789{}[](),:\"'\\<>|fiuVOx- \n".to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(
        mut bytes in victim(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), byte(), 0u8..4), 0..6),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        named: bool,
    ) {
        for (at, value, how) in changes {
            // Headers are the fragile part: half of the changes go there.
            let span = if how % 2 == 0 { bytes.len() } else { bytes.len().min(120) };
            if span == 0 {
                continue;
            }
            let at = at.index(span);
            match how {
                0 | 1 => bytes[at] = value,
                2 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let file = tempfile::NamedTempFile::new().expect("file");
        fs::write(file.path(), &bytes).expect("written");
        let options = OpenOptions { tensor: named.then(|| "x".to_owned()) };
        match ActivationFile::open(file.path(), &options) {
            Ok(opened) => {
                let _ = check_finite(&opened);
                let _ = fingerprint(&opened);
                let _ = opened.token_columns();
                let _ = inspect(&opened);
                let _ = read_matrix(file.path(), options.tensor.as_deref());
            }
            Err(error) => prop_assert!(error.is_usage(), "{}", error),
        }
    }
}
