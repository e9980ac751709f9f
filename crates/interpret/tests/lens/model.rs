//! Small models and the results expected from them.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use unmix::DenseMatrix;
use unmix_data::Weights;
use unmix_interpret::{LensReading, NormKind, Readout, ReadoutOptions};

/// Neurons, width of the residual stream, tokens, features.
pub const D: usize = 11;
pub const M: usize = 7;
pub const V: usize = 9001;
pub const K: usize = 5;

/// Numbers between −1 and 1 that look random, and that f16 and bf16 hold exactly.
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
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

/// A tensor to be written to a file.
pub struct Tensor(pub String, pub Dtype, pub Vec<usize>, pub Vec<f32>);

pub fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor(name.to_owned(), Dtype::F32, shape.to_vec(), values.to_vec())
}

pub fn write(path: &Path, tensors: &[Tensor], metadata: Option<HashMap<String, String>>) {
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
pub struct Model {
    pub folder: tempfile::TempDir,
}

impl Model {
    pub fn new(tensors: &[Tensor], config: Option<&str>) -> Model {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder.path().join("model.safetensors"), tensors, None);
        if let Some(config) = config {
            std::fs::write(folder.path().join("config.json"), config).expect("written");
        }
        Model { folder }
    }

    pub fn weights(&self) -> Weights {
        Weights::open(&[self.folder.path().to_owned()]).expect("weights")
    }

    pub fn readout(&self, options: &ReadoutOptions) -> Readout {
        Readout::open(&self.weights(), D, options).expect("a readout")
    }

    pub fn refused(&self, neurons: usize, options: &ReadoutOptions) -> String {
        let error = Readout::open(&self.weights(), neurons, options).expect_err("must be refused");
        assert!(error.is_usage(), "{error}");
        error.to_string()
    }
}

/// The configuration of a model like Llama whose unembedding is its embedding.
pub const LLAMA: Option<&str> = Some(r#"{"model_type": "llama", "tie_word_embeddings": true, "rms_norm_eps": 1e-5}"#);

pub fn layer(layer: u32) -> ReadoutOptions {
    ReadoutOptions { layer: Some(layer), ..ReadoutOptions::default() }
}

/// Sparse features with signs; the last is dead.
pub fn features() -> DenseMatrix {
    let mut values = numbers(99, K * D);
    values.iter_mut().enumerate().for_each(|(i, z)| {
        if (i * 7) % 4 != 0 || i / D == K - 1 {
            *z = 0.0;
        }
    });
    DenseMatrix { rows: K, columns: D, values }
}

pub fn down() -> Vec<f32> {
    numbers(1, M * D)
}

pub fn unembedding() -> Vec<f32> {
    numbers(2, V * M)
}

pub fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// The parts of a model that the oracle needs.
pub struct Oracle {
    pub post: Option<Vec<f64>>,
    pub kind: NormKind,
    pub gain: Vec<f32>,
    pub bias: Vec<f32>,
    pub epsilon: f64,
}

impl Oracle {
    pub fn rms(gain: Vec<f32>, epsilon: f64) -> Oracle {
        Oracle { post: None, kind: NormKind::Rms, gain, bias: vec![0.0; M], epsilon }
    }

    pub fn direction(&self, z: &[f32]) -> Vec<f64> {
        let down = down();
        let r = (0..M).map(|i| (0..D).map(|j| f64::from(down[i * D + j]) * f64::from(z[j])).sum::<f64>());
        let post = |i: usize| self.post.as_ref().map_or(1.0, |post| post[i]);
        r.enumerate().map(|(i, r)| r * post(i)).collect()
    }

    pub fn logits(&self, z: &[f32]) -> Vec<f64> {
        let r = self.direction(z);
        let mean = if matches!(self.kind, NormKind::Layer | NormKind::LayerPlusOne) {
            r.iter().sum::<f64>() / M as f64
        } else {
            0.0
        };
        let square = r.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / M as f64;
        let x: Vec<f64> = (0..M)
            .map(|i| {
                let normed = (r[i] - mean) / (square + self.epsilon).sqrt();
                match self.kind {
                    NormKind::None => r[i],
                    NormKind::RmsPlusOne => normed * (1.0 + f64::from(self.gain[i])),
                    NormKind::LayerPlusOne => normed * (1.0 + f64::from(self.gain[i])) + f64::from(self.bias[i]),
                    _ => normed * f64::from(self.gain[i]) + f64::from(self.bias[i]),
                }
            })
            .collect();
        let u = unembedding();
        (0..V).map(|v| (0..M).map(|i| f64::from(u[v * M + i]) * x[i]).sum()).collect()
    }

    /// Compares all parts of a readout.
    pub fn check(&self, readout: &Readout) {
        const MOST: usize = 6;
        assert_eq!((readout.neurons(), readout.width(), readout.tokens()), (D, M, V));
        let features = features();
        let directions = readout.directions(&features).expect("directions");
        let readings = readout.read(&directions, MOST).expect("readings");
        assert_eq!(readings[K - 1], LensReading::default());
        for (k, reading) in readings.iter().enumerate().take(K - 1) {
            for (found, expected) in directions.row(k).iter().zip(self.direction(features.row(k))) {
                assert!((f64::from(*found) - expected).abs() <= 1e-7 * expected.abs(), "{found} for {expected}");
            }
            let logits = self.logits(features.row(k));
            let mean = logits.iter().sum::<f64>() / V as f64;
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
pub fn llama(prefix: &str) -> Vec<Tensor> {
    vec![
        tensor(&format!("{prefix}layers.0.mlp.down_proj.weight"), &[M, D], &numbers(5, M * D)),
        tensor(&format!("{prefix}layers.1.mlp.down_proj.weight"), &[M, D], &down()),
        tensor(&format!("{prefix}norm.weight"), &[M], &numbers(3, M)),
        tensor(&format!("{prefix}embed_tokens.weight"), &[V, M], &unembedding()),
    ]
}
