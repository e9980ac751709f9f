//! Folders for SAELens and sparsify.

use safetensors::SafeTensors;
use serde_json::Value;
use unmix::ActivationSource;
use unmix_interpret::export::{Architecture, ScaledFit, Site, affine_encoder, saelens, sparsify};

use crate::fixtures::{Folder, NEURONS, RANK, TOKENS, fit, floats, site};

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
