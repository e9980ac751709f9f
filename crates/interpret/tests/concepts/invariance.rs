//! What must not change a score.

use unmix::DenseMatrix;
use unmix_interpret::concepts::{ConceptScores, concept_scores};

use crate::harness::{Case, host, labelling, labels};

fn scores(case: &Case) -> ConceptScores {
    concept_scores(&case.source(), &case.labelling(), &case.features, None, 20, 7).expect("scores")
}

#[test]
fn neither_the_scale_of_a_feature_nor_of_the_activations_matters() {
    let case = Case::new(1, "neutral");
    let mut scaled = Case::new(1, "neutral");
    // Powers of two, so that not even rounding differs.
    for (k, row) in scaled.features.values.chunks_exact_mut(case.features.columns).enumerate() {
        row.iter_mut().for_each(|v| *v *= 2f32.powi(k as i32 * 7 - 30));
    }
    // One factor for all tokens, because the difference of means weighs tokens by their norm.
    scaled.activations.values.iter_mut().for_each(|v| *v *= 2f32.powi(-9));
    assert_eq!(scores(&scaled), scores(&case));
}

#[test]
fn labels_with_ids_mean_the_same_in_any_order() {
    let case = Case::new(4, "neutral");
    let mut entries: Vec<_> = case
        .concepts
        .iter()
        .enumerate()
        .map(|(id, concept)| serde_json::json!({"id": id, "concept": concept}))
        .collect();
    entries.reverse();
    let reversed = labels(&serde_json::to_string(&entries).expect("JSON"));
    let labelling = labelling(&reversed, &case.prompt_ids).expect("a labelling");
    assert_eq!(labelling.choosing(), case.labelling().choosing());
    let found = concept_scores(&case.source(), &labelling, &case.features, None, 20, 7).expect("scores");
    assert_eq!(found, scores(&case));
}

#[test]
fn the_order_of_prompts_does_not_matter_where_halves_are_given() {
    let case = &Case::new(4, "neutral");
    let count = case.concepts.len();
    let choosing = case.labelling().choosing().to_vec();
    // A permutation of the prompts (29 is prime to 53). Labels come in the new order, and ids keep the old numbers.
    let order: Vec<usize> = (0..count).map(|i| i * 29 % count).collect();
    let entry = |&prompt: &usize| {
        let split = if choosing[prompt] { "train" } else { "test" };
        serde_json::json!({"id": prompt, "concept": case.concepts[prompt], "split": split})
    };
    let entries: Vec<_> = order.iter().map(entry).collect();
    let labels = labels(&serde_json::to_string(&entries).expect("JSON"));
    let rows_of =
        |prompt: usize| (0..case.prompt_ids.len()).filter(move |&row| case.prompt_ids[row] as usize == prompt);
    let rows: Vec<usize> = order.iter().flat_map(|&prompt| rows_of(prompt)).collect();
    let values: Vec<f32> = rows.iter().flat_map(|&row| case.activations.row(row).to_vec()).collect();
    let shuffled = DenseMatrix { rows: rows.len(), columns: case.activations.columns, values };
    let prompt_ids: Vec<i64> = rows.iter().map(|&row| case.prompt_ids[row]).collect();
    let (source, _) = host(&shuffled, unmix::ElementType::F32);
    let labelling = labelling(&labels, &prompt_ids).expect("a labelling");
    let found = concept_scores(&source, &labelling, &case.features, None, 0, 0).expect("scores");
    let expected = scores(case);
    for (found, expected) in found.concepts.iter().zip(&expected.concepts) {
        assert_eq!((found.best_feature, found.auc), (expected.best_feature, expected.auc));
        // Sums in another order differ by rounding.
        assert!((found.s_cd.expect("scored") - expected.s_cd.expect("scored")).abs() < 1e-12);
    }
    for (found, expected) in found.features.iter().zip(&expected.features) {
        assert_eq!((&found.best_concept, found.auc), (&expected.best_concept, expected.auc));
    }
}

#[test]
fn the_number_of_cores_does_not_matter_but_the_seed_does() {
    let case = Case::new(1, "neutral");
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    assert_eq!(one.install(|| scores(&case)), scores(&case));
    let other = concept_scores(&case.source(), &case.labelling(), &case.features, None, 20, 8).expect("scores");
    let told = |scores: &ConceptScores| -> Vec<_> {
        scores.features.iter().map(|feature| (feature.best_concept.clone(), feature.auc, feature.s_cd)).collect()
    };
    assert_eq!(told(&other), told(&scores(&case)));
    assert_ne!(other.baseline, scores(&case).baseline);
}
