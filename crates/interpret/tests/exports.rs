//! Exports read back: shapes, scale, the affine encoder against slow oracles, and what happens when something is missing.

use std::path::{Path, PathBuf};

use half::f16;
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use unmix::{ActivationSource, CpuEngine, DenseMatrix, Engine, HostActivations, SemiNmf};
use unmix_data::{FitRecord, InputRecord, TokenColumns};
use unmix_interpret::export::{
    AffineEncoder, Architecture, DelphiOptions, ExportError, FeatureLogits, NeuronpediaOptions, ScaledFit, Site,
    affine_encoder, delphi, neuronpedia, saedashboard, saelens, sparsify, steering,
};
use unmix_interpret::{Prompts, Text};

const TOKENS: usize = 157;
const NEURONS: usize = 37;
const RANK: usize = 5;

/// Numbers that look random, between -1 and 1.
fn noise(at: usize) -> f32 {
    ((at * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
}

/// Prompts of 1 to 9 tokens.
fn prompt_ids() -> Vec<i64> {
    let ids = (0..).flat_map(|prompt| std::iter::repeat_n(prompt * 3, 1 + (prompt as usize * 5) % 9));
    ids.take(TOKENS).collect()
}

/// A fit of noisy low-rank activations, with the activations.
fn fit() -> (FitRecord, HostActivations) {
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
    };
    let input = InputRecord {
        path: None,
        tensor: None,
        fingerprint: "blake3:0".to_owned(),
        tokens: TOKENS as u64,
        neurons: NEURONS as u64,
        element: "f32".to_owned(),
    };
    (FitRecord::new(factors, columns, input), activations)
}

/// The fit with feature 2 unused and feature 3 all zero.
fn with_dead_features() -> (FitRecord, HostActivations) {
    let (mut record, activations) = fit();
    record.coefficients.values.chunks_exact_mut(RANK).for_each(|row| row[2] = 0.0);
    record.features.values[3 * NEURONS..4 * NEURONS].fill(0.0);
    (record, activations)
}

fn values(activations: &HostActivations) -> Vec<f64> {
    let bytes = activations.shared().expect("in memory");
    bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
}

/// ‖X − relu(XW + b)Ẑ‖² / ‖X‖², entry by entry.
fn error_through(encoder: &AffineEncoder, fit: &ScaledFit, x: &[f64]) -> f64 {
    let (mut residual, mut total) = (0.0, 0.0);
    for x in x.chunks_exact(NEURONS) {
        let y = encoded(encoder, x);
        for (j, x) in x.iter().enumerate() {
            let own: f64 = y.iter().enumerate().map(|(k, y)| y * f64::from(fit.features.row(k)[j])).sum();
            residual += (x - own).powi(2);
            total += x * x;
        }
    }
    residual / total
}

fn encoded(encoder: &AffineEncoder, x: &[f64]) -> Vec<f64> {
    let one = |k: usize| x.iter().enumerate().map(|(j, x)| x * f64::from(encoder.weights.row(j)[k])).sum::<f64>();
    encoder.bias.iter().enumerate().map(|(k, &b)| (one(k) + f64::from(b)).max(0.0)).collect()
}

/// Solves A b = c by Gaussian elimination.
fn solve(mut a: Vec<Vec<f64>>, mut c: Vec<f64>) -> Vec<f64> {
    let n = c.len();
    for p in 0..n {
        let best = (p..n).max_by(|&i, &j| a[i][p].abs().total_cmp(&a[j][p].abs())).expect("a row");
        a.swap(p, best);
        c.swap(p, best);
        for i in p + 1..n {
            let factor = a[i][p] / a[p][p];
            for j in p..n {
                a[i][j] -= factor * a[p][j];
            }
            c[i] -= factor * c[p];
        }
    }
    for p in (0..n).rev() {
        c[p] = (c[p] - (p + 1..n).map(|j| a[p][j] * c[j]).sum::<f64>()) / a[p][p];
    }
    c
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.out().join(name)).expect("read")
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).expect("JSON")
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.0.path()).expect("listed");
        names.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }
}

fn floats(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Vec<f32> {
    let tensor = file.tensor(name).expect("a tensor");
    assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, shape), "{name}");
    tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn site() -> Site {
    Site { model: Some("tiny".to_owned()), layer: Some(3), hook: None }
}

#[test]
fn the_scale_moves_into_the_coefficients() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    for k in 0..RANK {
        let norm: f64 = fit.features.row(k).iter().map(|&z| f64::from(z).powi(2)).sum();
        assert!((norm - 1.0).abs() < 1e-6);
    }
    let product = |y: &DenseMatrix, z: &DenseMatrix, i: usize, j: usize| -> f64 {
        (0..RANK).map(|k| f64::from(y.row(i)[k]) * f64::from(z.row(k)[j])).sum()
    };
    for i in 0..TOKENS {
        for j in 0..NEURONS {
            let (own, given) = (
                product(&fit.coefficients, &fit.features, i, j),
                product(&record.coefficients, &record.features, i, j),
            );
            assert!((own - given).abs() < 1e-5, "{own} {given}");
        }
    }
}

#[test]
fn coefficients_beyond_f32_are_refused() {
    let (mut record, _) = fit();
    record.features.values[..NEURONS].fill(3e38);
    record.coefficients.values[0] = 2.0;
    let error = ScaledFit::new(&record).expect_err("too large").to_string();
    assert!(error.contains("token 0, feature 0") && error.contains("smaller scale"), "{error}");
}

#[test]
fn the_encoder_reports_the_error_that_it_has() {
    let (record, activations) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let encoder = affine_encoder(&fit, Some(&activations)).expect("an encoder");
    let x = values(&activations);
    let reported = encoder.report.relative_error.expect("known");
    assert!((reported - error_through(&encoder, &fit, &x)).abs() < 1e-5);
    assert!((encoder.report.fit_relative_error - record.run.summary.relative_error).abs() < 1e-4);
    let active: Vec<usize> =
        x.chunks_exact(NEURONS).map(|x| encoded(&encoder, x).iter().filter(|&&y| y > 1e-6).count()).collect();
    assert_eq!(encoder.report.most_active, active.iter().max().copied());
    let mean = active.iter().sum::<usize>() as f64 / TOKENS as f64;
    assert!((encoder.report.mean_active.expect("known") - mean).abs() < 0.05);
}

/// The sum that the encoder minimises for feature `k`.
fn objective(encoder: &AffineEncoder, fit: &ScaledFit, x: &[f64], k: usize) -> f64 {
    let rows = x.chunks_exact(NEURONS).enumerate();
    rows.map(|(i, x)| {
        let own = f64::from(fit.coefficients.row(i)[k]);
        let one: f64 = x.iter().enumerate().map(|(j, x)| x * f64::from(encoder.weights.row(j)[k])).sum();
        let given = one + f64::from(encoder.bias[k]);
        if own > 0.0 { (given - own).powi(2) } else { given.max(0.0).powi(2) }
    })
    .sum()
}

#[test]
fn the_encoder_minimises_what_the_relu_leaves() {
    let (record, activations) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let encoder = affine_encoder(&fit, Some(&activations)).expect("an encoder");
    let x = values(&activations);
    // The same regression, entry by entry, for far longer.
    let p: Vec<Vec<f64>> = x
        .chunks_exact(NEURONS)
        .map(|x| {
            let one = |k: usize| x.iter().zip(fit.features.row(k)).map(|(x, &z)| x * f64::from(z)).sum::<f64>();
            (0..RANK).map(one).chain([1.0]).collect()
        })
        .collect();
    let normal: Vec<Vec<f64>> =
        (0..=RANK).map(|a| (0..=RANK).map(|b| p.iter().map(|p| p[a] * p[b]).sum()).collect()).collect();
    for k in 0..RANK {
        let own = |i: usize| f64::from(fit.coefficients.row(i)[k]);
        let mut solution = vec![0.0; RANK + 1];
        let given = |solution: &[f64], i: usize| p[i].iter().zip(solution).map(|(p, s)| p * s).sum::<f64>();
        let mut ridge_sum = 0.0;
        for pass in 0..400 {
            let target = |i: usize| if own(i) > 0.0 { own(i) } else { given(&solution, i).min(0.0) };
            let targets: Vec<f64> = (0..TOKENS).map(target).collect();
            let right = (0..=RANK).map(|a| p.iter().zip(&targets).map(|(p, t)| p[a] * t).sum()).collect();
            solution = solve(normal.clone(), right);
            let sum = |i: usize| if own(i) > 0.0 { given(&solution, i) - own(i) } else { given(&solution, i).max(0.0) };
            if pass == 0 {
                ridge_sum = (0..TOKENS).map(|i| sum(i).powi(2)).sum::<f64>();
            }
        }
        let sum = |i: usize| if own(i) > 0.0 { given(&solution, i) - own(i) } else { given(&solution, i).max(0.0) };
        let least = (0..TOKENS).map(|i| sum(i).powi(2)).sum::<f64>();
        let found = objective(&encoder, &fit, &x, k);
        assert!(
            found >= least * 0.999 && found <= least + 0.15 * (ridge_sum - least) + 1e-6,
            "{found} {least} {ridge_sum}"
        );
    }
}

#[test]
fn without_activations_the_encoder_is_the_pseudo_inverse() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let encoder = affine_encoder(&fit, None).expect("an encoder");
    assert_eq!((encoder.report.fitted, encoder.report.relative_error), (false, None));
    assert_eq!(encoder.bias, [0.0; RANK]);
    // Ẑ W is the identity.
    for k in 0..RANK {
        for l in 0..RANK {
            let one: f64 =
                (0..NEURONS).map(|j| f64::from(fit.features.row(k)[j]) * f64::from(encoder.weights.row(j)[l])).sum();
            assert!((one - f64::from(u8::from(k == l))).abs() < 1e-4, "{k} {l} {one}");
        }
    }
}

#[test]
fn dead_features_encode_to_zero() {
    let (record, activations) = with_dead_features();
    let fit = ScaledFit::new(&record).expect("scaled");
    for source in [None, Some(&activations as &dyn ActivationSource)] {
        let encoder = affine_encoder(&fit, source).expect("an encoder");
        assert!(encoder.weights.values.iter().chain(&encoder.bias).all(|w| w.is_finite()));
        for k in [2, 3] {
            assert!((0..NEURONS).all(|j| encoder.weights.row(j)[k] == 0.0) && encoder.bias[k] == 0.0, "feature {k}");
        }
        assert!((0..NEURONS).any(|j| encoder.weights.row(j)[0] != 0.0));
    }
}

#[test]
fn activations_of_another_shape_or_with_nan_are_refused() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let of = |values: Vec<f32>, tokens: usize| {
        let source = HostActivations::from_f32(values, tokens as u64, NEURONS as u64).expect("activations");
        affine_encoder(&fit, Some(&source)).expect_err("refused")
    };
    let error = of(vec![1.0; 3 * NEURONS], 3);
    assert!(error.is_usage() && error.to_string().contains("157 tokens × 37 neurons"), "{error}");
    let error = of(vec![f32::NAN; TOKENS * NEURONS], TOKENS).to_string();
    assert!(error.contains("NaN"), "{error}");
}

#[test]
fn saelens_holds_both_matrices_and_says_how_good_they_are() {
    let (record, activations) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let encoder = affine_encoder(&fit, Some(&activations)).expect("an encoder");
    let folder = Folder::new();
    let files = saelens(&folder.out(), &fit, Architecture::Standard(&encoder), &site(), false).expect("written");
    assert_eq!(files.iter().map(|file| file.bytes).sum::<u64>(), {
        let sizes = ["sae_weights.safetensors", "cfg.json"].map(|name| folder.bytes(name).len() as u64);
        sizes[0] + sizes[1]
    });
    let bytes = folder.bytes("sae_weights.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    assert_eq!(floats(&file, "W_enc", &[NEURONS, RANK]), encoder.weights.values);
    assert_eq!(floats(&file, "b_enc", &[RANK]), encoder.bias);
    assert_eq!(floats(&file, "W_dec", &[RANK, NEURONS]), fit.features.values);
    assert_eq!(floats(&file, "b_dec", &[NEURONS]), [0.0; NEURONS]);
    let config = folder.json("cfg.json");
    assert_eq!(
        (&config["architecture"], &config["d_in"], &config["d_sae"]),
        (&"standard".into(), &37.into(), &5.into())
    );
    assert_eq!(config["metadata"]["hook_name"], "blocks.3.mlp.hook_post");
    assert_eq!(config["metadata"]["model_name"], "tiny");
    let about = &config["metadata"]["unmix"];
    assert!(about["scale"].as_str().expect("text").contains("unit norm"));
    assert_eq!(about["encoder"]["relative_error"].as_f64(), encoder.report.relative_error);
}

#[test]
fn matching_pursuit_needs_the_features_alone() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    saelens(&folder.out(), &fit, Architecture::MatchingPursuit, &Site::default(), false).expect("written");
    let bytes = folder.bytes("sae_weights.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut names = file.names();
    names.sort();
    assert_eq!(names, ["W_dec", "b_dec"]);
    let config = folder.json("cfg.json");
    assert_eq!((&config["architecture"], &config["residual_threshold"]), (&"matching_pursuit".into(), &0.0.into()));
    let active = record.coefficients.values.iter().filter(|&&y| y > 0.0).count() as f64 / TOKENS as f64;
    assert_eq!(config["max_iterations"], ((2.0 * active).ceil() as u64).max(8));
    assert_eq!(config["metadata"]["model_name"], Value::Null);
}

#[test]
fn sparsify_keeps_as_many_features_as_are_ever_active() {
    let (record, activations) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    for source in [None, Some(&activations as &dyn ActivationSource)] {
        let encoder = affine_encoder(&fit, source).expect("an encoder");
        let folder = Folder::new();
        sparsify(&folder.out(), &fit, &encoder, false).expect("written");
        let bytes = folder.bytes("sae.safetensors");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let weights = floats(&file, "encoder.weight", &[RANK, NEURONS]);
        for k in 0..RANK {
            assert!((0..NEURONS).all(|j| weights[k * NEURONS + j] == encoder.weights.row(j)[k]));
        }
        assert_eq!(floats(&file, "encoder.bias", &[RANK]), encoder.bias);
        assert_eq!(floats(&file, "W_dec", &[RANK, NEURONS]), fit.features.values);
        floats(&file, "b_dec", &[NEURONS]);
        let config = folder.json("cfg.json");
        assert_eq!(config["k"], encoder.report.most_active.unwrap_or(RANK));
        assert_eq!((&config["num_latents"], &config["d_in"]), (&5.into(), &37.into()));
    }
}

/// Coefficients and token ids as they lie in a cache of delphi, feature after feature.
fn read_cache(folder: &Folder, splits: &[(usize, usize)]) -> (Vec<[usize; 3]>, Vec<f32>, Vec<i64>, Vec<usize>) {
    let (mut locations, mut activations, mut tokens, mut shape) = Default::default();
    for &(first, last) in splits {
        let bytes = folder.bytes(&format!("layers.3.mlp/{first}_{last}.safetensors"));
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let places = file.tensor("locations").expect("locations");
        assert_eq!((places.dtype(), places.shape()[1]), (Dtype::U16, 3));
        let indices: Vec<usize> =
            places.data().as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes).into()).collect();
        locations =
            [locations, indices.as_chunks::<3>().0.iter().map(|&[p, t, k]| [p, t, k + first]).collect()].concat();
        let values = file.tensor("activations").expect("activations");
        assert_eq!((values.dtype(), values.shape()), (Dtype::F16, &places.shape()[..1]));
        let values = values.data().as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32());
        activations = [activations, values.collect()].concat();
        let ids = file.tensor("tokens").expect("tokens");
        assert_eq!(ids.dtype(), Dtype::I64);
        shape = ids.shape().to_vec();
        tokens = ids.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    }
    (locations, activations, tokens, shape)
}

#[test]
fn delphi_finds_every_activation_at_its_prompt_and_position() {
    let (record, _) = with_dead_features();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let options = DelphiOptions { splits: 2, padding: 7 };
    delphi(&folder.out(), &fit, &site(), &options, false).expect("written");
    let (locations, activations, tokens, shape) = read_cache(&folder, &[(0, 1), (2, 4)]);
    let ids = prompt_ids();
    let starts: Vec<usize> = (0..TOKENS).filter(|&i| i == 0 || ids[i] != ids[i - 1]).collect();
    assert_eq!(shape, [starts.len(), 32]);
    let mut rest = fit.coefficients.clone();
    for ([prompt, position, k], value) in locations.into_iter().zip(activations) {
        let row = starts[prompt] + position;
        assert_eq!(ids[row], ids[starts[prompt]]);
        let own = &mut rest.values[row * RANK + k];
        assert!((*own - value).abs() <= 1e-3 * value, "{own} {value}");
        *own = 0.0;
    }
    assert!(rest.values.iter().all(|&y| y < 2e-5), "all were written");
    let expected = record.columns.token_ids.as_ref().expect("ids");
    for (prompt, &start) in starts.iter().enumerate() {
        let end = starts.get(prompt + 1).copied().unwrap_or(TOKENS);
        let row = &tokens[prompt * 32..(prompt + 1) * 32];
        assert_eq!(row[..end - start], expected[start..end]);
        assert!(row[end - start..].iter().all(|&id| id == 7));
    }
    let config = folder.json("layers.3.mlp/config.json");
    assert_eq!(
        (&config["ctx_len"], &config["n_splits"], &config["model_name"]),
        (&32.into(), &2.into(), &"tiny".into())
    );
    assert_eq!(config["unmix"]["activation_factor"], 1.0);
}

#[test]
fn delphi_scales_what_half_precision_cannot_hold() {
    let (mut record, _) = fit();
    record.features.values.iter_mut().for_each(|z| *z *= 1e9);
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    delphi(&folder.out(), &fit, &site(), &DelphiOptions { splits: 1, padding: 0 }, false).expect("written");
    let (_, activations, ..) = read_cache(&folder, &[(0, 4)]);
    let factor = folder.json("layers.3.mlp/config.json")["unmix"]["activation_factor"].as_f64().expect("a number");
    let largest = fit.coefficients.values.iter().copied().fold(0f32, f32::max);
    let found = activations.into_iter().fold(0f32, f32::max);
    assert!((f64::from(found) / factor / f64::from(largest) - 1.0).abs() < 1e-3 && factor.log2().fract() == 0.0);
}

#[test]
fn delphi_says_which_column_is_missing() {
    let (mut record, _) = fit();
    let folder = Folder::new();
    let error = |record: &FitRecord| {
        let fit = ScaledFit::new(record).expect("scaled");
        delphi(&folder.out(), &fit, &site(), &DelphiOptions::default(), false).expect_err("refused")
    };
    record.columns.prompt_ids = None;
    let missing = error(&record);
    assert!(missing.is_usage() && missing.to_string().contains("`prompt_ids` or `positions`"), "{missing}");
    record.columns.token_ids = None;
    assert!(error(&record).to_string().contains("`token_ids`"));
    assert!(folder.names().is_empty());
}

#[test]
fn saedashboard_holds_unit_vectors_with_names() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    saedashboard(&folder.out(), &fit, &site(), false).expect("written");
    let json = folder.json("vectors.json");
    for k in 0..RANK {
        let vector: Vec<f32> = serde_json::from_value(json["vectors"][k].clone()).expect("numbers");
        assert_eq!(vector, fit.features.row(k));
    }
    assert_eq!((&json["config"]["d_in"], &json["config"]["d_vectors"]), (&37.into(), &5.into()));
    assert_eq!(json["config"]["hook_layer"], 3);
    assert_eq!(json["config"]["vector_names"][4], "feature_4");
    assert_eq!(json["config"]["context_size"], 9);
}

#[test]
fn neuronpedia_shows_the_strongest_tokens_in_their_prompts() {
    let (record, _) = with_dead_features();
    let fit = ScaledFit::new(&record).expect("scaled");
    let words: Vec<String> = (0..TOKENS).map(|i| format!(" w{i}")).collect();
    let ids = prompt_ids();
    let text = Text::new(&words, Prompts::new(TOKENS, Some(&ids), None));
    let logits: Vec<FeatureLogits> =
        (0..RANK).map(|k| FeatureLogits { raised: vec![(format!("up{k}"), 2.5)], lowered: Vec::new() }).collect();
    let folder = Folder::new();
    let options = NeuronpediaOptions { top: 4, of_interval: 2, ..NeuronpediaOptions::default() };
    neuronpedia(&folder.out(), &fit, &text, Some(&logits), &site(), &options, false).expect("written");
    let json = folder.json("batch-0.json");
    assert_eq!((&json["model_id"], &json["layer"], &json["sae_set"]), (&"tiny".into(), &3.into(), &"unmix".into()));
    for k in 0..RANK {
        let feature = &json["features"][k];
        let column: Vec<f32> = (0..TOKENS).map(|i| fit.coefficients.row(i)[k]).collect();
        let active = column.iter().filter(|&&y| y > 0.0).count();
        assert_eq!((&feature["feature_index"], &feature["pos_str"][0]), (&k.into(), &format!("up{k}").into()));
        assert_eq!(feature["frac_nonzero"], active as f64 / TOKENS as f64);
        let heights = feature["freq_hist_data_bar_heights"].as_array().expect("an array");
        assert_eq!(heights.iter().map(|h| h.as_u64().expect("a count")).sum::<u64>(), active as u64);
        let examples = feature["activations"].as_array().expect("an array");
        if active == 0 {
            assert!(k == 2 || k == 3);
            assert!(examples.is_empty() && heights.is_empty());
            continue;
        }
        let strongest = (0..TOKENS).max_by(|&a, &b| column[a].total_cmp(&column[b])).expect("a row");
        let at = examples[0]["qualifying_token_index"].as_u64().expect("an index") as usize;
        assert_eq!(examples[0]["tokens"][at], format!(" w{strongest}"));
        assert!(examples.len() >= 4);
        for example in examples {
            let (words, values) =
                (example["tokens"].as_array().expect("words"), example["values"].as_array().expect("values"));
            let rows: Vec<usize> =
                words.iter().map(|word| word.as_str().expect("text")[2..].parse().expect("a row")).collect();
            assert!(rows.iter().all(|&row| ids[row] == ids[rows[0]]), "within a prompt");
            for (&row, value) in rows.iter().zip(values) {
                assert!((value.as_f64().expect("a number") - f64::from(column[row])).abs() < 1e-6);
            }
        }
    }
    let neurons = json["features"][0]["neuron_alignment_indices"].as_array().expect("an array");
    let largest = (0..NEURONS).max_by(|&a, &b| fit.features.row(0)[a].abs().total_cmp(&fit.features.row(0)[b].abs()));
    assert_eq!(neurons[0].as_u64().map(|j| j as usize), largest);
}

#[test]
fn model_and_layer_are_asked_for_where_the_format_has_them() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let site = Site { model: Some("tiny".to_owned()), ..Site::default() };
    let error = saedashboard(&folder.out(), &fit, &site, false).expect_err("refused").to_string();
    assert!(error.contains("layer is not known") && error.contains("--layer N"), "{error}");
    assert!(folder.names().is_empty());
}

#[test]
fn steering_files_hold_directions_with_their_norms_apart() {
    let (record, _) = with_dead_features();
    let fit = ScaledFit::new(&record).expect("scaled");
    let width = 11;
    let weight = |out: usize, j: usize| noise(out * 57 + j * 3);
    let values = (0..RANK * width).map(|at| {
        let feature = fit.features.row(at / width);
        (0..NEURONS).map(|j| feature[j] * weight(at % width, j)).sum()
    });
    let directions = DenseMatrix { rows: RANK, columns: width, values: values.collect() };

    let folder = Folder::new();
    steering(&folder.out(), &fit, &directions, false).expect("written");
    let bytes = folder.bytes("steering.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let (own, unit) = (floats(&file, "directions", &[RANK, width]), floats(&file, "unit_directions", &[RANK, width]));
    let norms = floats(&file, "direction_norms", &[RANK]);
    for k in 0..RANK {
        for out in 0..width {
            let expected: f64 =
                (0..NEURONS).map(|j| f64::from(fit.features.row(k)[j]) * f64::from(weight(out, j))).sum();
            assert!((f64::from(own[k * width + out]) - expected).abs() < 1e-5);
            assert!((unit[k * width + out] * norms[k] - own[k * width + out]).abs() < 1e-5);
        }
    }
    assert_eq!(norms[3], 0.0);
    assert_eq!(floats(&file, "features", &[RANK, NEURONS]), fit.features.values);
    assert_eq!(floats(&file, "max_activations", &[RANK])[2], 0.0);
    assert!(String::from_utf8(folder.bytes("steer.py")).expect("UTF-8").contains("register_forward_hook"));
}

#[test]
fn only_earlier_exports_are_replaced() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let write = |force| delphi(&folder.out(), &fit, &site(), &DelphiOptions::default(), force);
    write(false).expect("written");
    assert!(matches!(write(false), Err(ExportError::Data(unmix_data::Error::Exists(_)))));
    write(true).expect("replaced");
    std::fs::write(folder.out().join("layers.3.mlp/notes.txt"), "years of work").expect("written");
    let error = write(true).expect_err("refused").to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert!(folder.out().join("layers.3.mlp/notes.txt").exists());
    assert_eq!(folder.names(), ["out"]);
}

#[test]
fn nothing_is_left_behind_where_nothing_can_be_written() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let below = folder.0.path().join("no/such/parent");
    assert!(saelens(&below, &fit, Architecture::MatchingPursuit, &site(), false).is_err());
    // A module's name that leads out of the folder.
    for hook in ["../outside", "/outside", "a/../../b", ""] {
        let site = Site { hook: Some(hook.to_owned()), ..site() };
        let error = delphi(&folder.out(), &fit, &site, &DelphiOptions::default(), false).expect_err("refused");
        assert!(error.to_string().contains("--hook"), "{error}");
    }
    assert!(folder.names().is_empty() && !Path::new("/outside").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_shape_and_scale_gives_a_finite_encoder(
        (tokens, neurons, rank) in (1usize..40, 1usize..20, 1usize..8),
        power in -12i32..12,
        zeros in 0.0f32..1.0,
        seed in 0usize..1000,
    ) {
        let scale = 10f32.powi(power);
        let (mut record, _) = fit();
        let value = |at: usize| noise(at * 3 + seed * 97);
        let kept = |at: usize| if (noise(at * 11 + seed) + 1.0) / 2.0 < zeros { 0.0 } else { 1.0 };
        let matrix = |rows: usize, columns: usize, of: &dyn Fn(usize) -> f32| DenseMatrix {
            rows, columns, values: (0..rows * columns).map(of).collect(),
        };
        record.features = matrix(rank, neurons, &|at| value(at) * kept(at) * scale);
        record.coefficients = matrix(tokens, rank, &|at| value(at + 5).max(0.0) * kept(at + 3));
        let fit = ScaledFit::new(&record).expect("scaled");
        let x = (0..tokens * neurons).map(|at| value(at + 9) * scale).collect();
        let source = HostActivations::from_f32(x, tokens as u64, neurons as u64).expect("activations");
        for source in [None, Some(&source as &dyn ActivationSource)] {
            let encoder = affine_encoder(&fit, source).expect("an encoder");
            prop_assert!(encoder.weights.values.iter().chain(&encoder.bias).all(|w| w.is_finite()));
            prop_assert!(encoder.report.relative_error.is_none_or(f64::is_finite));
        }
    }
}
