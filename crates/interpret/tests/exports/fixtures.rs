//! A small fit, and folders to export it to.

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use unmix::{ActivationSource, CpuEngine, Engine, HostActivations, SemiNmf};
use unmix_data::{FitRecord, InputRecord, Origin, TokenColumns, TokenFilter};
use unmix_interpret::export::Site;

pub const TOKENS: usize = 157;
pub const NEURONS: usize = 37;
pub const RANK: usize = 5;

/// Numbers that look random, between -1 and 1.
pub fn noise(at: usize) -> f32 {
    ((at * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
}

/// Prompts of 1 to 9 tokens.
pub fn prompt_ids() -> Vec<i64> {
    let ids = (0..).flat_map(|prompt| std::iter::repeat_n(prompt * 3, 1 + (prompt as usize * 5) % 9));
    ids.take(TOKENS).collect()
}

/// A fit of noisy low-rank activations, with the activations.
pub fn fit() -> (FitRecord, HostActivations) {
    let (y, z) = (|i: usize, k: usize| noise(i * 31 + k * 7).max(0.0), |k: usize, j: usize| noise(k * 101 + j * 17));
    let x: Vec<f32> = (0..TOKENS * NEURONS)
        .map(|at| {
            let (i, j) = (at / NEURONS, at % NEURONS);
            (0..RANK).map(|k| y(i, k) * z(k, j) * 3.0).sum::<f32>() + 0.2 * noise(at)
        })
        .collect();
    let activations = HostActivations::from_f32(x, TOKENS as u64, NEURONS as u64).expect("activations");
    let engine = CpuEngine::new();
    let resident = engine.load(&activations).expect("loaded");
    let factors = SemiNmf::new(RANK as u32).sparsity(0.4).max_iterations(20).fit(&engine, &resident).expect("a fit");
    let columns = TokenColumns {
        token_ids: Some((0..TOKENS as i64).map(|i| 1000 + i * i % 77).collect()),
        prompt_ids: Some(prompt_ids()),
        positions: None,
        rows: None,
    };
    let input = InputRecord {
        paths: Vec::new(),
        stored_tokens: TOKENS as u64,
        filter: TokenFilter::default(),
        origin: Origin::default(),
        tensor: None,
        fingerprint: "blake3:0".to_owned(),
        tokens: TOKENS as u64,
        neurons: NEURONS as u64,
        element: "f32".to_owned(),
    };
    (FitRecord::new(factors, columns, input), activations)
}

/// The fit with feature 2 unused and feature 3 all zero.
pub fn with_dead_features() -> (FitRecord, HostActivations) {
    let (mut record, activations) = fit();
    record.coefficients.values.chunks_exact_mut(RANK).for_each(|row| row[2] = 0.0);
    record.features.values[3 * NEURONS..4 * NEURONS].fill(0.0);
    (record, activations)
}

pub fn values(activations: &HostActivations) -> Vec<f64> {
    let bytes = activations.shared_rows(0..activations.tokens()).expect("in memory");
    bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
}

pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    pub fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.out().join(name)).expect("read")
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).expect("JSON")
    }

    pub fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.0.path()).expect("listed");
        names.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }
}

pub fn floats(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Vec<f32> {
    let tensor = file.tensor(name).expect("a tensor");
    assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, shape), "{name}");
    tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

pub fn site() -> Site {
    Site { model: Some("tiny".to_owned()), layer: Some(3), hook: None }
}
