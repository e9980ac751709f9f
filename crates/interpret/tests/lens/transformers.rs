//! The lens against transformers: tiny models of every family that it knows, with the logits that transformers' own forward
//! gives for features. `data/README.md` says how the files are made.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use unmix::DenseMatrix;
use unmix_interpret::{Readout, ReadoutOptions};

use crate::model::{Model, Tensor};

/// Tensors whose names begin with `beginning`, with that part removed.
fn tensors(file: &SafeTensors<'_>, beginning: &str) -> Vec<Tensor> {
    let of_it = file.iter().filter_map(|(name, view)| Some((name.strip_prefix(beginning)?, view)));
    of_it
        .map(|(name, view)| {
            assert_eq!(view.dtype(), Dtype::F32, "{beginning}{name}");
            let (numbers, _) = view.data().as_chunks::<4>();
            let values = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            Tensor(name.to_owned(), Dtype::F32, view.shape().to_vec(), values)
        })
        .collect()
}

#[test]
fn logits_are_those_of_the_models_own_forward() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lens/data");
    let models = std::fs::read(data.join("families.json")).expect("the configurations");
    let models: HashMap<String, Value> = serde_json::from_slice(&models).expect("JSON");
    let bytes = std::fs::read(data.join("families.safetensors")).expect("the tensors");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut wrong = Vec::new();
    for (name, description) in &models {
        let model = Model::new(&tensors(&file, &format!("{name}/model/")), Some(&description["config"].to_string()));
        for (at, part) in description["parts"].as_array().expect("parts").iter().enumerate() {
            let of_part = tensors(&file, &format!("{name}/{at}/"));
            let matrix = |wanted: &str| {
                let Tensor(_, _, shape, values) = of_part.iter().find(|tensor| tensor.0 == wanted).expect("a tensor");
                DenseMatrix { rows: shape[0], columns: shape[1], values: values.clone() }
            };
            let (features, expected) = (matrix("features"), matrix("logits"));
            let down_projection = part["down_projection"].as_str().map(ToOwned::to_owned);
            let options = ReadoutOptions {
                layer: down_projection.is_none().then_some(1),
                expert: part["expert"].as_u64().map(|expert| expert as u32),
                down_projection,
                ..ReadoutOptions::default()
            };
            match largest_difference(&model, &options, &features, &expected) {
                Ok(difference) if difference < 1e-4 => {}
                found => wrong.push(format!("{name}: {found:?}")),
            }
        }
    }
    assert!(models.len() >= 60 && wrong.is_empty(), "of {}: {wrong:#?}", models.len());
}

/// The largest difference between the logits of the lens and the expected ones.
fn largest_difference(
    model: &Model,
    options: &ReadoutOptions,
    features: &DenseMatrix,
    expected: &DenseMatrix,
) -> Result<f64, String> {
    let readout = Readout::open(&model.weights(), features.columns, options).map_err(|error| error.to_string())?;
    let directions = readout.directions(features).map_err(|error| error.to_string())?;
    let readings = readout.read(&directions, usize::MAX).map_err(|error| error.to_string())?;
    let mut largest: f64 = 0.0;
    for (k, reading) in readings.iter().enumerate() {
        assert_eq!(reading.promoted.len(), expected.columns);
        for token in &reading.promoted {
            let expected = f64::from(expected.row(k)[token.token_id as usize]);
            largest = largest.max((f64::from(token.logit) + reading.mean_logit - expected).abs());
        }
    }
    Ok(largest)
}
