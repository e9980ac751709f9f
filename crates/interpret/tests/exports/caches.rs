//! Caches for delphi.

use half::f16;
use safetensors::{Dtype, SafeTensors};
use unmix_data::FitRecord;
use unmix_interpret::export::{DelphiOptions, ScaledFit, delphi, is_delphi_id};

use crate::fixtures::{Folder, RANK, TOKENS, fit, prompt_ids, site, with_dead_features};

/// Coefficients and token ids as a cache of delphi stores them, feature by feature.
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
    let options = DelphiOptions { splits: 2, padding: Some(7) };
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
    delphi(&folder.out(), &fit, &site(), &DelphiOptions { splits: 1, padding: None }, false).expect("written");
    let (_, activations, ..) = read_cache(&folder, &[(0, 4)]);
    let factor = folder.json("layers.3.mlp/config.json")["unmix"]["activation_factor"].as_f64().expect("a number");
    let largest = fit.coefficients.values.iter().copied().fold(0f32, f32::max);
    let found = activations.into_iter().fold(0f32, f32::max);
    assert!((f64::from(found) / factor / f64::from(largest) - 1.0).abs() < 1e-3 && factor.log2().fract() == 0.0);
}

#[test]
fn ids_that_no_tokenizer_has_reach_delphi_only_as_the_padding() {
    let (mut record, _) = fit();
    let ids = record.columns.token_ids.as_mut().expect("ids");
    (ids[3], ids[5]) = (-100, 1 << 32);
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let write = |padding| delphi(&folder.out(), &fit, &site(), &DelphiOptions { splits: 1, padding }, false);
    let error = write(None).expect_err("refused");
    for part in ["2 token ids", "the first in row 3: -100", "--padding ID"] {
        assert!(error.is_usage() && error.to_string().contains(part), "no {part:?} in {error}");
    }
    assert!(write(Some(-1)).expect_err("refused").to_string().contains("-1 as padding"));
    assert!(folder.names().is_empty());
    write(Some(9)).expect("written");
    let (.., tokens, _) = read_cache(&folder, &[(0, RANK - 1)]);
    assert!(tokens.iter().all(|&id| is_delphi_id(id)));
    let prompts = prompt_ids();
    let begins = |&row: &usize| row == 0 || prompts[row] != prompts[row - 1];
    let (prompt, start) = (0..=3).filter(begins).enumerate().last().expect("a prompt");
    assert_eq!(tokens[32 * prompt + 3 - start], 9);
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
