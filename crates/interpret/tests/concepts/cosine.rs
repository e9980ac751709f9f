//! Cosines and their maxima by prompt.

use proptest::prelude::*;
use unmix::{DenseMatrix, ElementType};
use unmix_interpret::{cosines, prompt_maxima};

use crate::harness::{Read, host, matrix};

/// The definition, in f64.
fn oracle(x: &[f64], directions: &DenseMatrix) -> Vec<f64> {
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut out = Vec::new();
    for x in x.chunks(directions.columns) {
        for k in 0..directions.rows {
            let z: Vec<f64> = directions.row(k).iter().map(|&v| f64::from(v)).collect();
            let inner: f64 = x.iter().zip(&z).map(|(x, z)| x * z).sum();
            let norms = norm(x) * norm(&z);
            out.push(if norms > 0.0 { inner / norms } else { 0.0 });
        }
    }
    out
}

fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() < 2e-6, "{found} for {expected} at {at}");
    }
}

/// Directions with few nonzeros, which take the other path through the code.
fn sparse(mut directions: DenseMatrix) -> DenseMatrix {
    directions.values.iter_mut().enumerate().for_each(|(at, v)| *v *= f32::from(u8::from(at % 29 == 0)));
    directions
}

#[test]
fn cosines_are_those_of_the_definition_over_several_panels() {
    let (rows, neurons, count) = (611, 1031, 13);
    let mut x = matrix(rows, neurons, 1);
    x.values[5 * neurons..6 * neurons].fill(0.0);
    let mut dense = matrix(count, neurons, 2);
    dense.values[3 * neurons..4 * neurons].fill(0.0);
    for directions in [dense.clone(), sparse(dense)] {
        for element in ElementType::ALL {
            let (source, values) = host(&x, element);
            let found = cosines(&source, &directions).expect("cosines");
            assert_eq!((found.rows, found.columns), (rows, count));
            assert_close(&found.values, &oracle(&values, &directions));
            assert!(found.row(5).iter().all(|&v| v == 0.0), "a token without activations");
            assert!((0..rows).all(|row| found.row(row)[3] == 0.0), "a direction of zero");
        }
    }
}

#[test]
fn maxima_are_taken_over_all_tokens_of_a_prompt_wherever_they_are() {
    let (rows, neurons, count, prompts) = (611, 1031, 13, 40);
    let x = matrix(rows, neurons, 3);
    // Rows of different prompts are interleaved, and prompt 39 has no rows.
    let prompt_of_row: Vec<u32> = (0..rows).map(|row| (row * row % 39) as u32).collect();
    for directions in [matrix(count, neurons, 4), sparse(matrix(count, neurons, 4))] {
        for element in ElementType::ALL {
            let (source, values) = host(&x, element);
            let all = oracle(&values, &directions);
            let found = prompt_maxima(&source, &directions, &prompt_of_row, prompts).expect("maxima");
            for prompt in 0..prompts {
                for k in 0..count {
                    let of_prompt = (0..rows).filter(|&row| prompt_of_row[row] as usize == prompt);
                    let expected = of_prompt.map(|row| all[row * count + k]).fold(f64::NEG_INFINITY, f64::max);
                    let found = f64::from(found.row(prompt)[k]);
                    assert!(found == expected || (found - expected).abs() < 2e-6, "{found} for {expected}");
                }
            }
            assert!(found.row(39).iter().all(|&v| v == f32::NEG_INFINITY));
        }
    }
}

#[test]
fn magnitudes_at_the_ends_of_f32_have_cosines_too() {
    let mut x = matrix(9, 17, 5);
    for (row, scale) in [1e-42f64, 1e-38, 1e-20, 1.0, 1e20, 1e30, 3e38, 6e38, 1e-45].iter().enumerate() {
        x.values[row * 17..(row + 1) * 17].iter_mut().for_each(|v| *v = (f64::from(*v) * scale) as f32);
    }
    let mut directions = matrix(4, 17, 6);
    directions.values[..17].iter_mut().for_each(|v| *v *= 3e38);
    directions.values[17..34].iter_mut().for_each(|v| *v *= 1e-38);
    let (source, values) = host(&x, ElementType::F32);
    assert_close(&cosines(&source, &directions).expect("cosines").values, &oracle(&values, &directions));
}

#[test]
fn rows_that_must_be_read_give_the_same_bits() {
    let (source, _) = host(&matrix(700, 1000, 7), ElementType::F16);
    let directions = matrix(5, 1000, 8);
    let read = Read { inner: &source, fails_at: None };
    assert_eq!(cosines(&read, &directions).expect("read"), cosines(&source, &directions).expect("shared"));
    let failing = Read { inner: &source, fails_at: Some(400) };
    for error in [
        cosines(&failing, &directions).expect_err("refused"),
        prompt_maxima(&failing, &directions, &[0; 700], 1).expect_err("refused"),
    ] {
        assert!(error.to_string().contains("the disk is on fire") && !error.is_usage(), "{error}");
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let (source, _) = host(&matrix(6, 4, 9), ElementType::F32);
    let wide = cosines(&source, &matrix(2, 5, 1)).expect_err("refused").to_string();
    assert!(wide.contains("2 × 5") && wide.contains("4 neurons"), "{wide}");
    let short = prompt_maxima(&source, &matrix(2, 4, 1), &[0; 5], 1).expect_err("refused").to_string();
    assert!(short.contains("5 entries") && short.contains("6 tokens"), "{short}");
    let outside = prompt_maxima(&source, &matrix(2, 4, 1), &[0, 0, 1, 1, 2, 2], 2).expect_err("refused").to_string();
    assert!(outside.contains("number 2") && outside.contains("2 prompts"), "{outside}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_will_do(rows in 1usize..40, neurons in 1usize..40, count in 0usize..9, seed: u64, thin: bool) {
        let directions = if thin { sparse(matrix(count, neurons, seed)) } else { matrix(count, neurons, seed) };
        let (source, values) = host(&matrix(rows, neurons, !seed), ElementType::Bf16);
        let found = cosines(&source, &directions).expect("cosines");
        assert_close(&found.values, &oracle(&values, &directions));
        let prompts: Vec<u32> = (0..rows as u32).collect();
        prop_assert_eq!(prompt_maxima(&source, &directions, &prompts, rows).expect("maxima"), found);
    }
}
