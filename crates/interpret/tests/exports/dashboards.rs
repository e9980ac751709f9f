//! Vectors for SAEDashboard, batches for Neuronpedia.

use unmix_interpret::export::{NeuronpediaOptions, ScaledFit, Site, neuronpedia, saedashboard};
use unmix_interpret::{LensWords, Prompts, Text, TokenLogit};

use crate::fixtures::{Folder, NEURONS, RANK, TOKENS, fit, prompt_ids, site, with_dead_features};

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
    let up = |k: usize| vec![TokenLogit { text: format!("up{k}"), logit: 2.5 }];
    let logits: Vec<LensWords> = (0..RANK).map(|k| LensWords { promoted: up(k), suppressed: Vec::new() }).collect();
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
fn text_and_logits_of_another_fit_are_refused() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let write = |tokens: usize, logits: usize| {
        let text = Text::of_labels(0..tokens, Prompts::new(tokens, None, None));
        let logits = vec![LensWords::default(); logits];
        let options = NeuronpediaOptions::default();
        neuronpedia(&folder.out(), &fit, &text, Some(&logits), &site(), &options, false)
            .expect_err("refused")
            .to_string()
    };
    assert!(write(TOKENS - 1, RANK).contains(&format!("the fit has {TOKENS} tokens")));
    assert!(write(TOKENS, RANK + 1).contains(&format!("the fit has {RANK} features")));
    assert!(folder.names().is_empty());
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
