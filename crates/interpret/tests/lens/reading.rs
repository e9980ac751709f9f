//! Directions, and the tokens that they promote.

use unmix::DenseMatrix;
use unmix_data::Vocabulary;
use unmix_interpret::{LensReading, NormKind, Readout, ReadoutOptions, TokenNotation, single_neurons};

use crate::model::{D, K, LLAMA, M, Model, V, down, features, layer, llama, numbers, tensor, transposed};

#[test]
fn equal_logits_are_in_the_order_of_token_ids() {
    let mut tensors = llama("model.");
    let u: Vec<f32> = (0..V).flat_map(|v| [if v % 3 == 1 { 1.0 } else { 0.0 }, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).collect();
    tensors[3].3 = u;
    let readout = Model::new(&tensors, LLAMA).readout(&layer(1));
    let direction = DenseMatrix { rows: 1, columns: M, values: vec![-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] };
    let sign = numbers(3, M)[0].signum();
    let reading = &readout.read(&direction, 3).expect("readings")[0];
    let ids = |tokens: &[unmix_interpret::TokenIdLogit]| tokens.iter().map(|t| t.token_id).collect::<Vec<_>>();
    let (ones, zeros) = (vec![1, 4, 7], vec![0, 2, 3]);
    let expected = if sign > 0.0 { (zeros, ones) } else { (ones, zeros) };
    assert_eq!((ids(&reading.promoted), ids(&reading.suppressed)), expected);
}

#[test]
fn as_many_tokens_as_there_are_and_none() {
    let readout = Model::new(&llama("model."), LLAMA).readout(&layer(1));
    let directions = readout.directions(&features()).expect("directions");
    let all = &readout.read(&directions, usize::MAX).expect("readings")[0];
    assert_eq!((all.promoted.len(), all.suppressed.len()), (V, V));
    let mut turned = all.suppressed.clone();
    turned.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token_id.cmp(&b.token_id)));
    assert_eq!(turned, all.promoted);
    let some = &readout.read(&directions, 9).expect("readings")[0];
    assert_eq!((&some.promoted[..], &some.suppressed[..]), (&all.promoted[..9], &all.suppressed[..9]));
    assert!(readout.read(&directions, 0).expect("readings")[0].promoted.is_empty());
    let none = DenseMatrix { rows: 0, columns: D, values: Vec::new() };
    let none = readout.directions(&none).expect("directions");
    assert_eq!(readout.read(&none, 3).expect("readings"), []);
}

#[test]
fn only_tokens_that_random_directions_do_not_reach_are_beyond_chance() {
    let readout = Model::new(&llama("model."), LLAMA).readout(&layer(1));
    let directions = readout.directions(&features()).expect("directions");
    let all = readout.read(&directions, 20).expect("readings");
    let (beyond, chance) = readout.read_beyond_chance(&features(), 20, 0).expect("readings");
    assert!(chance.promoted > 0.0 && chance.suppressed < 0.0, "{chance:?}");
    for (beyond, all) in beyond.iter().zip(&all) {
        let promoted = all.promoted.iter().filter(|token| f64::from(token.logit) > chance.promoted);
        let suppressed = all.suppressed.iter().filter(|token| f64::from(token.logit) < chance.suppressed);
        assert!(promoted.map(|t| t.token_id).eq(beyond.promoted.iter().map(|t| t.token_id)));
        assert!(suppressed.map(|t| t.token_id).eq(beyond.suppressed.iter().map(|t| t.token_id)));
    }
    // Random features are what chance is made of: few of them pass.
    let random = DenseMatrix { rows: 300, columns: D, values: numbers(77, 300 * D) };
    let (beyond, _) = readout.read_beyond_chance(&random, 1, 1).expect("readings");
    let passing = beyond.iter().filter(|reading| !reading.promoted.is_empty()).count();
    assert!((1..=45).contains(&passing), "{passing} of 300");
    let none = DenseMatrix { rows: 2, columns: D, values: vec![0.0; 2 * D] };
    let (beyond, _) = readout.read_beyond_chance(&none, 5, 0).expect("readings");
    assert!(beyond.iter().all(|reading| reading.promoted.is_empty() && reading.suppressed.is_empty()));
}

#[test]
fn many_directions_are_read_like_few() {
    // So many tokens that the unembedding is read in dozens of blocks.
    const MANY: usize = 4100;
    let readout = Model::new(&llama("model."), LLAMA).readout(&layer(1));
    let few = readout.directions(&features()).expect("directions");
    let values = (0..MANY).flat_map(|row| few.row(row % K).to_vec()).collect();
    let many = DenseMatrix { rows: MANY, columns: M, values };
    let (few, many) = (readout.read(&few, 5).expect("readings"), readout.read(&many, 5).expect("readings"));
    for (row, found) in many.iter().enumerate() {
        let expected = &few[row % K];
        assert!((found.mean_logit - expected.mean_logit).abs() < 1e-6);
        let tokens = |reading: &LensReading| [&reading.promoted[..], &reading.suppressed].concat();
        for (found, expected) in tokens(found).iter().zip(tokens(expected)) {
            assert!((found.logit - expected.logit).abs() < 1e-5, "row {row}: {found:?} for {expected:?}");
        }
        assert_eq!(found.promoted.len(), expected.promoted.len());
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let readout = Model::new(&llama("model."), LLAMA).readout(&layer(1));
    let read = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| readout.read(&readout.directions(&features()).expect("directions"), 50).expect("readings"))
    };
    assert_eq!(read(1), read(3));
}

#[test]
fn a_down_projection_larger_than_a_block_in_both_orientations() {
    let (d, m, v) = (3001, 703, 10);
    let down = numbers(1, m * d);
    let mut values = numbers(2, 2 * d);
    values[d..].iter_mut().enumerate().for_each(|(i, z)| *z = if i % 97 == 5 { *z } else { 0.0 });
    let features = DenseMatrix { rows: 2, columns: d, values };
    for (shape, stored) in [([m, d], down.clone()), ([d, m], transposed(&down, m, d))] {
        let tensors = [tensor("down_proj", &shape, &stored), tensor("unembedding", &[v, m], &numbers(3, v * m))];
        let options = ReadoutOptions { norm: Some(NormKind::None), ..ReadoutOptions::default() };
        let readout = Readout::open(&Model::new(&tensors, None).weights(), d, &options).expect("a readout");
        let directions = readout.directions(&features).expect("directions");
        for k in 0..2 {
            for i in 0..m {
                let expected: f64 = (0..d).map(|j| f64::from(down[i * d + j]) * f64::from(features.row(k)[j])).sum();
                let found = f64::from(directions.row(k)[i]);
                assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{found} for {expected}");
            }
        }
    }
}

#[test]
fn single_neurons_are_columns_of_the_down_projection() {
    let readout = Model::new(&llama("model."), LLAMA).readout(&layer(1));
    let neurons = single_neurons(&[10, 0], D).expect("neurons");
    let directions = readout.directions(&neurons).expect("directions");
    for (row, neuron) in [(0, 10), (1, 0)] {
        let column: Vec<f32> = (0..M).map(|i| down()[i * D + neuron]).collect();
        assert_eq!(directions.row(row), column);
    }
    assert!(
        single_neurons(&[D], D).expect_err("refused").to_string().contains("no neuron 11; there are neurons 0 to 10")
    );
}

#[test]
fn entries_of_a_vocabulary_are_shown_as_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vocabulary.json");
    for (entries, texts) in [
        (r#"["Ġthe", "ing", "Ċ", "Ãł", "Ã", "   ", "Ġa"]"#, [" the", "ing", "\n", "à", "\u{fffd}", "   ", " a"]),
        (
            r#"["▁the", "ing", "<0x0A>", "à", "<0xC3>", "▁▁▁", "▁a"]"#,
            [" the", "ing", "\n", "à", "\u{fffd}", "   ", " a"],
        ),
        (r###"["the", "##ing", "[SEP]", "à", ".", "a", "##a"]"###, [" the", "ing", "[SEP]", " à", ".", " a", "a"]),
        (r#"[" the", "ing", "\n", "à", ".", "   ", " a"]"#, [" the", "ing", "\n", "à", ".", "   ", " a"]),
    ] {
        std::fs::write(&path, entries).expect("written");
        let vocabulary = Vocabulary::read(&path).expect("a vocabulary");
        let notation = TokenNotation::of(&vocabulary);
        let found: Vec<String> = (0..7).map(|id| notation.text(vocabulary.get(id).expect("an entry"))).collect();
        assert_eq!(found, texts, "{entries}");
    }
}
