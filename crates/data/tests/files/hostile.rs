//! Valid files cut short and with bytes changed: any error will do, a panic will not.

use std::fs;

use proptest::prelude::*;
use unmix_data::{
    ActivationFile, ActivationSet, NormLimit, OpenOptions, TokenFilter, check_finite, fingerprint, inspect, read_matrix,
};

use crate::bytes::{f16s, f32s, i32s, npy, safetensors};

fn victim() -> impl Strategy<Value = Vec<u8>> {
    let values: Vec<f32> = (0..12).map(|i| i as f32 - 5.5).collect();
    let tensors = safetensors(&[
        ("x", "F16", &[3, 4], f16s(&values)),
        ("token_ids", "I32", &[3], i32s(&[7, 8, 9])),
        ("y", "F32", &[4, 3], f32s(&values)),
    ]);
    let batch = safetensors(&[
        ("x", "F16", &[3, 2, 2], f16s(&values)),
        ("input_ids", "I32", &[3, 2], i32s(&[7, 8, 9, 7, 8, 9])),
        ("attention_mask", "BOOL", &[3, 2], vec![1, 0, 1, 1, 1, 0]),
        ("prompt_ids", "I32", &[3], i32s(&[1, 2, 1])),
    ]);
    let doubles: Vec<u8> = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    prop_oneof![
        3 => Just(tensors),
        3 => Just(batch),
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
                let _ = read_matrix(file.path(), options.tensor.as_deref());
            }
            Err(error) => prop_assert!(error.is_usage(), "{}", error),
        }
        // As one of several files, whose other is good.
        let good = file.path().with_extension("good");
        fs::write(&good, safetensors(&[("x", "F16", &[1, 4], f16s(&[1.0; 4]))])).expect("written");
        let paths = [good.clone(), file.path().to_owned()];
        for paths in [&paths[..], &paths[1..]] {
            match ActivationSet::open(paths, &options) {
                Ok(opened) => {
                    let _ = inspect(&opened);
                    let _ = fingerprint(&opened);
                    let filter = TokenFilter {
                        skip_token_ids: vec![7],
                        skip_first: 1,
                        max_norm: Some(NormLimit::TimesMedian(1.5)),
                        keep: named.then(|| "attention_mask".to_owned()),
                    };
                    let _ = opened.filtered(&filter);
                }
                Err(error) => prop_assert!(error.is_usage(), "{}", error),
            }
        }
        fs::remove_file(&good).expect("removed");
    }
}
