//! Any matrix in any layout comes back as it was.

use proptest::prelude::*;
use unmix::ActivationSource;

use crate::bytes::{bf16s, f16s, f32s, f64s, npy, open, safetensors, swapped, transposed, values};

fn matrix() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    // Wider than a tile of the transposition in one direction or the other now and then.
    (1usize..=40, 1usize..=40, prop_oneof![9 => Just((1, 1)), 1 => Just((5, 1)), 1 => Just((1, 5))]).prop_flat_map(
        |(rows, columns, (tall, wide))| {
            let (rows, columns) = (rows * tall, columns * wide);
            (Just(rows), Just(columns), prop::collection::vec(-60_000f32..60_000.0, rows * columns))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn npy_in_every_layout((rows, columns, original) in matrix(), kind in 0usize..3, fortran: bool, big: bool, version in 1u8..=3, step in 1u64..=50) {
        let stored = if fortran { transposed(&original, rows, columns) } else { original.clone() };
        let (descr, size, data) = match kind {
            0 => ("f4", 4, f32s(&stored)),
            1 => ("f2", 2, f16s(&stored)),
            _ => ("f8", 8, f64s(&stored.iter().map(|&v| f64::from(v)).collect::<Vec<_>>())),
        };
        let (descr, data) = if big { (format!(">{descr}"), swapped(&data, size)) } else { (format!("<{descr}"), data) };
        let file = open("x.npy", &npy(version, &descr, fortran, &[rows, columns], &data), None).expect("opened");
        prop_assert_eq!((file.tokens(), file.neurons()), (rows as u64, columns as u64));
        prop_assert_eq!(file.is_fortran_order(), fortran);
        let expected: Vec<f32> = if kind == 1 { original.iter().map(|&v| half::f16::from_f32(v).to_f32()).collect() } else { original };
        prop_assert_eq!(values(&file, step), expected);
    }

    #[test]
    fn safetensors_in_three_types((rows, columns, original) in matrix(), kind in 0usize..3, pad in 0usize..4, step in 1u64..=50) {
        let (dtype, data) = [("F32", f32s(&original)), ("F16", f16s(&original)), ("BF16", bf16s(&original))][kind].clone();
        let bytes = safetensors(&[("pad", "U8", &[pad], vec![0; pad]), ("x", dtype, &[rows, columns], data)]);
        let file = open("x.safetensors", &bytes, Some("x")).expect("opened");
        let expected: Vec<f32> = original
            .iter()
            .map(|&v| match kind {
                0 => v,
                1 => half::f16::from_f32(v).to_f32(),
                _ => half::bf16::from_f32(v).to_f32(),
            })
            .collect();
        prop_assert!(file.shared_rows(0..1).is_some());
        prop_assert_eq!(values(&file, step), expected);
    }
}
