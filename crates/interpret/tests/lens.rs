//! The logit lens against an oracle in double precision, on small models of every family.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use unmix::DenseMatrix;
use unmix_data::{Vocabulary, Weights};
use unmix_interpret::{LensReading, NormKind, Readout, ReadoutOptions, TokenNotation, single_neurons};

/// Neurons, width of the residual stream, tokens, features.
const D: usize = 11;
const M: usize = 7;
const V: usize = 9001;
const K: usize = 5;

/// Numbers between −1 and 1 that look random, and that f16 and bf16 hold exactly.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) % 255) as f32 / 128.0 - 127.0 / 128.0
        })
        .collect()
}

/// A tensor of a file that is to be written.
struct Tensor(String, Dtype, Vec<usize>, Vec<f32>);

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor(name.to_owned(), Dtype::F32, shape.to_vec(), values.to_vec())
}

fn write(path: &Path, tensors: &[Tensor], metadata: Option<HashMap<String, String>>) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|Tensor(_, dtype, _, values)| match dtype {
            Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            Dtype::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
            Dtype::F64 => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
            Dtype::I8 => values.iter().map(|&v| v as i8 as u8).collect(),
            _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|(Tensor(name, dtype, shape, _), bytes)| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"))
    });
    std::fs::write(path, safetensors::serialize(views, metadata).expect("a file")).expect("written");
}

/// A folder with a model in it.
struct Model {
    folder: tempfile::TempDir,
}

impl Model {
    fn new(tensors: &[Tensor], config: Option<&str>) -> Model {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("model.safetensors"), tensors, None);
        if let Some(config) = config {
            std::fs::write(folder.path().join("config.json"), config).expect("written");
        }
        Model { folder }
    }

    fn weights(&self) -> Weights {
        Weights::open(&[self.folder.path().to_owned()]).expect("weights")
    }

    fn readout(&self, options: &ReadoutOptions) -> Readout {
        Readout::open(&self.weights(), D, options).expect("a readout")
    }

    fn refused(&self, neurons: usize, options: &ReadoutOptions) -> String {
        let error = Readout::open(&self.weights(), neurons, options).expect_err("must be refused");
        assert!(error.is_usage(), "{error}");
        let text = error.to_string();
        assert!(text.contains("model.safetensors"), "the file is not named: {text}");
        text
    }
}

fn layer(layer: u32) -> ReadoutOptions {
    ReadoutOptions { layer: Some(layer), ..ReadoutOptions::default() }
}

/// Sparse features with signs; the last is dead.
fn features() -> DenseMatrix {
    let mut values = numbers(99, K * D);
    values.iter_mut().enumerate().for_each(|(i, z)| {
        if (i * 7) % 4 != 0 || i / D == K - 1 {
            *z = 0.0;
        }
    });
    DenseMatrix { rows: K, columns: D, values }
}

fn down() -> Vec<f32> {
    numbers(1, M * D)
}

fn unembedding() -> Vec<f32> {
    numbers(2, V * M)
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// What the oracle needs to know of a model.
struct Oracle {
    post: Option<Vec<f64>>,
    kind: NormKind,
    gain: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f64,
}

impl Oracle {
    fn rms(gain: Vec<f32>, epsilon: f64) -> Oracle {
        Oracle { post: None, kind: NormKind::Rms, gain, bias: vec![0.0; M], epsilon }
    }

    fn direction(&self, z: &[f32]) -> Vec<f64> {
        let down = down();
        let r = (0..M).map(|i| (0..D).map(|j| f64::from(down[i * D + j]) * f64::from(z[j])).sum::<f64>());
        let post = |i: usize| self.post.as_ref().map_or(1.0, |post| post[i]);
        r.enumerate().map(|(i, r)| r * post(i)).collect()
    }

    fn logits(&self, z: &[f32]) -> Vec<f64> {
        let r = self.direction(z);
        let mean = if self.kind == NormKind::Layer { r.iter().sum::<f64>() / M as f64 } else { 0.0 };
        let square = r.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / M as f64;
        let x: Vec<f64> = (0..M)
            .map(|i| {
                let normed = (r[i] - mean) / (square + self.epsilon).sqrt();
                match self.kind {
                    NormKind::None => r[i],
                    NormKind::RmsPlusOne => normed * (1.0 + f64::from(self.gain[i])),
                    _ => normed * f64::from(self.gain[i]) + f64::from(self.bias[i]),
                }
            })
            .collect();
        let u = unembedding();
        (0..V).map(|v| (0..M).map(|i| f64::from(u[v * M + i]) * x[i]).sum()).collect()
    }

    /// Compares everything that a readout gives.
    fn check(&self, readout: &Readout) {
        const MOST: usize = 6;
        assert_eq!((readout.neurons(), readout.width(), readout.tokens()), (D, M, V));
        let features = features();
        let directions = readout.directions(&features).expect("directions");
        let readings = readout.read(&directions, MOST).expect("readings");
        assert_eq!(readings[K - 1], LensReading::default());
        for k in 0..K - 1 {
            for (found, expected) in directions.row(k).iter().zip(self.direction(features.row(k))) {
                assert!((f64::from(*found) - expected).abs() <= 1e-7 * expected.abs(), "{found} for {expected}");
            }
            let logits = self.logits(features.row(k));
            let mean = logits.iter().sum::<f64>() / V as f64;
            let reading = &readings[k];
            assert!((reading.mean_logit - mean).abs() < 1e-5);
            let mut order: Vec<usize> = (0..V).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            for (sign, tokens, order) in [
                (1.0, &reading.promoted, order[..MOST].to_vec()),
                (-1.0, &reading.suppressed, order[V - MOST..].iter().rev().copied().collect()),
            ] {
                assert_eq!(tokens.len(), MOST);
                for (token, expected) in tokens.iter().zip(order) {
                    // Near ties may be in another order.
                    let own = logits[token.token_id as usize];
                    assert!((own - logits[expected]).abs() < 1e-4, "token {} for {expected}", token.token_id);
                    assert!((f64::from(token.logit) - (own - mean)).abs() < 1e-4);
                }
                assert!(tokens.windows(2).all(|pair| sign * pair[0].logit >= sign * pair[1].logit));
            }
        }
    }
}

/// Tensors of a model like Llama with two layers, of which the second is the oracle's.
fn llama(prefix: &str) -> Vec<Tensor> {
    vec![
        tensor(&format!("{prefix}layers.0.mlp.down_proj.weight"), &[M, D], &numbers(5, M * D)),
        tensor(&format!("{prefix}layers.1.mlp.down_proj.weight"), &[M, D], &down()),
        tensor(&format!("{prefix}norm.weight"), &[M], &numbers(3, M)),
        tensor(&format!("{prefix}embed_tokens.weight"), &[V, M], &unembedding()),
    ]
}

#[test]
fn llama_with_a_tied_and_with_a_separate_unembedding() {
    let oracle = Oracle::rms(numbers(3, M), 1e-6);
    for prefix in ["model.", "model.language_model.", "language_model.model.", ""] {
        oracle.check(&Model::new(&llama(prefix), Some(r#"{"rms_norm_eps": 1e-6}"#)).readout(&layer(1)));
        // The embedding is another one, then.
        let mut separate = llama(prefix);
        separate[3].3 = numbers(77, V * M);
        separate.push(tensor(
            if prefix == "language_model.model." { "language_model.lm_head.weight" } else { "lm_head.weight" },
            &[V, M],
            &unembedding(),
        ));
        let config = r#"{"text_config": {"rms_norm_eps": 1e-6, "tie_word_embeddings": false}, "rms_norm_eps": 5.0}"#;
        oracle.check(&Model::new(&separate, Some(config)).readout(&layer(1)));
    }
}

#[test]
fn weights_in_f16_bf16_and_f64() {
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F64] {
        let mut tensors = llama("model.");
        tensors.iter_mut().for_each(|tensor| tensor.1 = dtype);
        Oracle::rms(numbers(3, M), 1e-5).check(&Model::new(&tensors, None).readout(&layer(1)));
    }
}

#[test]
fn gpt_2_has_its_matrices_the_other_way_round_and_a_layer_norm() {
    for prefix in ["transformer.", ""] {
        let tensors = [
            tensor(&format!("{prefix}h.3.mlp.c_proj.weight"), &[D, M], &transposed(&down(), M, D)),
            tensor(&format!("{prefix}h.3.mlp.c_proj.bias"), &[M], &numbers(8, M)),
            tensor(&format!("{prefix}h.3.attn.c_proj.weight"), &[M, M], &numbers(9, M * M)),
            tensor(&format!("{prefix}ln_f.weight"), &[M], &numbers(3, M)),
            tensor(&format!("{prefix}ln_f.bias"), &[M], &numbers(4, M)),
            tensor(&format!("{prefix}wte.weight"), &[V, M], &unembedding()),
        ];
        let (gain, bias) = (numbers(3, M), numbers(4, M));
        let oracle = Oracle { post: None, kind: NormKind::Layer, gain, bias, epsilon: 1e-3 };
        // The only layer needs no number.
        let readout = Model::new(&tensors, Some(r#"{"layer_norm_epsilon": 1e-3}"#)).readout(&ReadoutOptions::default());
        oracle.check(&readout);
        assert_eq!(readout.bias(), Some(&numbers(8, M)[..]));
    }
}

#[test]
fn gpt_neox_and_opt() {
    let (gain, bias) = (numbers(3, M), numbers(4, M));
    let oracle = Oracle { post: None, kind: NormKind::Layer, gain: gain.clone(), bias: bias.clone(), epsilon: 1e-5 };
    let neox = [
        tensor("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", &[M, D], &down()),
        tensor("gpt_neox.layers.0.mlp.dense_4h_to_h.bias", &[M], &numbers(8, M)),
        tensor("gpt_neox.final_layer_norm.weight", &[M], &gain),
        tensor("gpt_neox.final_layer_norm.bias", &[M], &bias),
        tensor("gpt_neox.embed_in.weight", &[V, M], &numbers(77, V * M)),
        tensor("embed_out.weight", &[V, M], &unembedding()),
    ];
    oracle.check(&Model::new(&neox, None).readout(&layer(0)));
    // Its embedding is no unembedding.
    let text = Model::new(&neox[..5], None).refused(D, &layer(0));
    assert!(text.contains("no unembedding found") && text.contains("embed_out.weight"), "{text}");
    let opt = [
        tensor("model.decoder.layers.2.fc2.weight", &[M, D], &down()),
        tensor("model.decoder.layers.2.final_layer_norm.weight", &[M], &numbers(70, M)),
        tensor("model.decoder.final_layer_norm.weight", &[M], &gain),
        tensor("model.decoder.final_layer_norm.bias", &[M], &bias),
        tensor("model.decoder.embed_tokens.weight", &[V, M], &unembedding()),
    ];
    oracle.check(&Model::new(&opt, None).readout(&layer(2)));
}

#[test]
fn gemma_stores_norms_as_their_difference_from_one() {
    let mut tensors = llama("model.");
    let post = numbers(6, M);
    tensors.push(tensor("model.layers.1.post_feedforward_layernorm.weight", &[M], &post));
    let oracle = |one: f64| Oracle {
        post: Some(post.iter().map(|&w| one + f64::from(w)).collect()),
        kind: if one > 0.0 { NormKind::RmsPlusOne } else { NormKind::Rms },
        gain: numbers(3, M),
        bias: vec![0.0; M],
        epsilon: 1e-5,
    };
    // OLMo 2 has that norm as well, but stores it as it is.
    oracle(0.0).check(&Model::new(&tensors, None).readout(&layer(1)));
    oracle(0.0).check(&Model::new(&tensors, Some(r#"{"model_type": "olmo2"}"#)).readout(&layer(1)));
    oracle(1.0).check(&Model::new(&tensors, Some(r#"{"model_type": "gemma2"}"#)).readout(&layer(1)));
    let stated = ReadoutOptions { norm: Some(NormKind::RmsPlusOne), ..layer(1) };
    oracle(1.0).check(&Model::new(&tensors, None).readout(&stated));
    tensors.push(tensor("model.layers.1.pre_feedforward_layernorm.weight", &[M], &post));
    oracle(1.0).check(&Model::new(&tensors, None).readout(&layer(1)));
}

#[test]
fn a_model_in_shards() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = llama("model.");
    write(&folder.path().join("a-00001-of-00002.safetensors"), &tensors[..2], None);
    write(&folder.path().join("a-00002-of-00002.safetensors"), &tensors[2..], None);
    let map: serde_json::Map<String, serde_json::Value> = tensors
        .iter()
        .enumerate()
        .map(|(i, t)| (t.0.clone(), format!("a-0000{}-of-00002.safetensors", i / 2 + 1).into()))
        .collect();
    let index = folder.path().join("a.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).expect("written");
    let parts: Vec<PathBuf> = (1..3).map(|i| folder.path().join(format!("a-0000{i}-of-00002.safetensors"))).collect();
    for paths in [vec![folder.path().to_owned()], vec![index], parts] {
        let weights = Weights::open(&paths).expect("weights");
        Oracle::rms(numbers(3, M), 1e-5).check(&Readout::open(&weights, D, &layer(1)).expect("a readout"));
    }
}

#[test]
fn files_that_hold_one_thing_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let (down_path, rest) = (folder.path().join("down.safetensors"), folder.path().join("rest.safetensors"));
    for (shape, values) in [([M, D], down()), ([D, M], transposed(&down(), M, D))] {
        write(&down_path, &[tensor("down_proj", &shape, &values)], None);
        let tensors = [tensor("unembedding", &[V, M], &unembedding()), tensor("final_norm", &[M], &numbers(3, M))];
        let metadata = [("eps", "0.25"), ("norm", "rms")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        write(&rest, &tensors, Some(metadata.into()));
        let weights = Weights::open(&[down_path.clone(), rest.clone()]).expect("weights");
        // A file of one layer may be of any.
        for options in [ReadoutOptions::default(), layer(12)] {
            Oracle::rms(numbers(3, M), 0.25).check(&Readout::open(&weights, D, &options).expect("a readout"));
        }
        let options = ReadoutOptions { epsilon: Some(0.5), ..ReadoutOptions::default() };
        Oracle::rms(numbers(3, M), 0.5).check(&Readout::open(&weights, D, &options).expect("a readout"));
        let options = ReadoutOptions { norm: Some(NormKind::None), ..ReadoutOptions::default() };
        let oracle = Oracle { kind: NormKind::None, ..Oracle::rms(Vec::new(), 0.0) };
        oracle.check(&Readout::open(&weights, D, &options).expect("a readout"));
    }
}

#[test]
fn names_that_nobody_knows_can_be_given() {
    let tensors = [
        tensor("blocks.1.out", &[D, M], &transposed(&down(), M, D)),
        tensor("blocks.1.shift", &[M], &numbers(8, M)),
        tensor("words", &[V, M], &unembedding()),
        tensor("gain", &[M], &numbers(3, M)),
        tensor("gain.bias", &[M], &numbers(4, M)),
    ];
    let model = Model::new(&tensors, None);
    let text = model.refused(D, &ReadoutOptions::default());
    assert!(text.contains("no down-projection found") && text.contains("layers.N.mlp.down_proj.weight"), "{text}");
    assert!(text.contains("blocks.1.out [11, 7]"), "{text}");
    let options = ReadoutOptions {
        down_projection: Some("blocks.1.out".to_owned()),
        unembedding: Some("words".to_owned()),
        final_norm: Some("gain".to_owned()),
        bias: Some("blocks.1.shift".to_owned()),
        ..ReadoutOptions::default()
    };
    let (gain, bias) = (numbers(3, M), numbers(4, M));
    let readout = model.readout(&options);
    Oracle { post: None, kind: NormKind::Layer, gain: gain.clone(), bias, epsilon: 1e-5 }.check(&readout);
    assert_eq!(readout.bias(), Some(&numbers(8, M)[..]));
    let options = ReadoutOptions { norm: Some(NormKind::Rms), ..options };
    Oracle::rms(gain, 1e-5).check(&model.readout(&options));
}

#[test]
fn a_square_down_projection_lies_as_in_its_family() {
    let square = numbers(1, M * M);
    let read = |name: &str, norm: &str, embedding: &str| {
        let tensors =
            [tensor(name, &[M, M], &square), tensor(norm, &[M], &[1.0; M]), tensor(embedding, &[V, M], &unembedding())];
        let readout = Readout::open(&Model::new(&tensors, None).weights(), M, &ReadoutOptions::default());
        let neuron = single_neurons(&[2], M).expect("a neuron");
        readout.expect("a readout").directions(&neuron).expect("directions").values
    };
    let column: Vec<f32> = (0..M).map(|i| square[i * M + 2]).collect();
    assert_eq!(read("h.0.mlp.c_proj.weight", "ln_f.weight", "wte.weight"), square[2 * M..3 * M]);
    assert_eq!(read("layers.0.mlp.down_proj.weight", "norm.weight", "embed_tokens.weight"), column);
    assert_eq!(read("down_proj", "final_norm", "unembedding"), column);
}

#[test]
fn what_does_not_fit_is_told() {
    let model = Model::new(&llama("model."), None);
    let text = model.refused(D, &ReadoutOptions::default());
    assert!(text.contains("several") && text.contains("model.layers.0.mlp.down_proj.weight"), "{text}");
    assert!(text.contains("say which layer"), "{text}");
    assert!(model.refused(D, &layer(2)).contains("no layer 2; the weights have the layers 0, 1"));
    let text = model.refused(D + 1, &layer(1));
    assert!(text.contains("[7, 11]") && text.contains("a side of 12, the neurons of the features"), "{text}");
    let options = ReadoutOptions { unembedding: Some("model.layers.0.mlp.down_proj.weight".to_owned()), ..layer(1) };
    assert!(model.refused(D, &options).contains("[vocabulary, 7]"));
    let options = ReadoutOptions { unembedding: Some("nothing".to_owned()), ..layer(1) };
    assert!(model.refused(D, &options).contains("no tensor named \"nothing\""));
    let options = ReadoutOptions { epsilon: Some(-1.0), ..layer(1) };
    assert!(Readout::open(&model.weights(), D, &options).expect_err("refused").to_string().contains("epsilon"));

    let text = Model::new(&llama("model."), Some(r#"{"tie_word_embeddings": false}"#)).refused(D, &layer(1));
    assert!(text.contains("no unembedding found; looked for") && text.contains("lm_head.weight"), "{text}");
    let mut without_norm = llama("model.");
    without_norm.remove(2);
    assert!(Model::new(&without_norm, None).refused(D, &layer(1)).contains("no final norm found"));
    let mut short = llama("model.");
    short[2] = tensor("model.norm.weight", &[M - 1], &numbers(3, M - 1));
    assert!(Model::new(&short, None).refused(D, &layer(1)).contains("7 entries"));
    let mut quantised = llama("model.");
    quantised[1].1 = Dtype::I8;
    assert!(Model::new(&quantised, None).refused(D, &layer(1)).contains("quantised"));

    let readout = model.readout(&layer(1));
    let narrow = DenseMatrix { rows: 1, columns: 3, values: vec![1.0; 3] };
    let text = readout.directions(&narrow).expect_err("refused").to_string();
    assert!(text.contains("the features have 3 columns, but the weights 11"), "{text}");
    let infinite = DenseMatrix { rows: 1, columns: M, values: vec![f32::INFINITY; M] };
    assert!(readout.read(&infinite, 3).expect_err("refused").to_string().contains("direction 0"));
}

#[test]
fn weights_that_are_not_finite_are_an_error() {
    let mut tensors = llama("model.");
    tensors[3].3[5 * M + 2] = f32::NAN;
    let readout = Model::new(&tensors, None).readout(&layer(1));
    let directions = readout.directions(&features()).expect("directions");
    let text = readout.read(&directions, 3).expect_err("refused").to_string();
    assert!(text.contains("embed_tokens") && text.contains("row 5, column 2") && text.contains("NaN"), "{text}");
}

#[test]
fn equal_logits_are_in_the_order_of_token_ids() {
    let mut tensors = llama("model.");
    let u: Vec<f32> = (0..V).flat_map(|v| [if v % 3 == 1 { 1.0 } else { 0.0 }, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).collect();
    tensors[3].3 = u;
    let readout = Model::new(&tensors, None).readout(&layer(1));
    let direction = DenseMatrix { rows: 1, columns: M, values: vec![-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] };
    let sign = numbers(3, M)[0].signum();
    let reading = &readout.read(&direction, 3).expect("readings")[0];
    let ids = |tokens: &[unmix_interpret::TokenLogit]| tokens.iter().map(|t| t.token_id).collect::<Vec<_>>();
    let (ones, zeros) = (vec![1, 4, 7], vec![0, 2, 3]);
    let expected = if sign > 0.0 { (zeros, ones) } else { (ones, zeros) };
    assert_eq!((ids(&reading.promoted), ids(&reading.suppressed)), expected);
}

#[test]
fn as_many_tokens_as_there_are_and_none() {
    let readout = Model::new(&llama("model."), None).readout(&layer(1));
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
fn many_directions_are_read_like_few() {
    // So many that the unembedding is read in dozens of blocks.
    const MANY: usize = 4100;
    let readout = Model::new(&llama("model."), None).readout(&layer(1));
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
    let readout = Model::new(&llama("model."), None).readout(&layer(1));
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
