//! Labels and features that barely make sense.

use unmix_interpret::concepts::{ConceptError, ConceptLevel, Labelling, StrongestRows, concept_scores};

use crate::harness::{Case, host, labelling, labels, labels_of, matrix};

fn refused(concepts: &[&str], prompt_ids: &[i64], level: ConceptLevel) -> String {
    Labelling::new(&labels_of(concepts), prompt_ids, "neutral", level).expect_err("must be refused").to_string()
}

#[test]
fn a_concept_with_one_prompt_has_no_score() {
    let mut case = Case::new(1, "neutral");
    case.concepts[10] = "lonely";
    let found = concept_scores(&case.source(), &case.labelling(), &case.features, None, 10, 0).expect("scores");
    let lonely = found.concepts.iter().find(|concept| concept.concept == "lonely").expect("listed");
    assert_eq!((lonely.prompts, lonely.best_feature), (1, None));
    assert_eq!((lonely.auc, lonely.s_cd, lonely.p_value, lonely.diff_means), (None, None, None, None));
    assert!(found.features.iter().all(|feature| feature.best_concept.as_deref() != Some("lonely")));
    assert!(found.concepts.iter().filter(|concept| concept.auc.is_some()).count() == 3);
}

#[test]
fn a_dead_feature_is_about_nothing() {
    let mut case = Case::new(1, "neutral");
    let d = case.features.columns;
    case.features.values[3 * d..4 * d].fill(0.0);
    let found = concept_scores(&case.source(), &case.labelling(), &case.features, None, 10, 0).expect("scores");
    let dead = &found.features[3];
    assert!(dead.dead && dead.best_concept.is_none() && dead.s_cd.is_none() && dead.auc.is_none());
    assert_eq!(found.summary.alive, case.features.rows - 1);
    assert!(found.concepts.iter().all(|concept| concept.best_feature != Some(3)));
}

#[test]
fn without_a_living_feature_supervision_is_still_scored() {
    let mut case = Case::new(1, "neutral");
    case.features.values.fill(0.0);
    let found = concept_scores(&case.source(), &case.labelling(), &case.features, None, 10, 0).expect("scores");
    assert_eq!((found.summary.alive, found.summary.detects, found.summary.auc_mean), (0, None, None));
    assert!(found.baseline.is_none());
    assert!(found.concepts.iter().all(|concept| concept.best_feature.is_none() && concept.diff_means.is_some()));
}

#[test]
fn without_permutations_there_is_no_baseline() {
    let case = Case::new(1, "neutral");
    let found = concept_scores(&case.source(), &case.labelling(), &case.features, None, 0, 0).expect("scores");
    assert!(found.baseline.is_none() && found.concepts.iter().all(|concept| concept.p_value.is_none()));
}

#[test]
fn labels_that_leave_nothing_to_compare_are_refused() {
    let same = refused(&["x"; 4], &[0, 1, 2, 3], ConceptLevel::Concept);
    assert!(same.contains("labels.json") && same.contains("all 4 prompts") && same.contains("\"x\""), "{same}");
    // One label is enough if the activations have prompts of only one label.
    let same = refused(&["x", "y", "x"], &[0, 2, 2], ConceptLevel::Concept);
    assert!(same.contains("all 2 prompts"), "{same}");
    let single = refused(&["x", "y", "z"], &[0, 1, 2], ConceptLevel::Concept);
    assert!(single.contains("at least two prompts"), "{single}");
    let single = refused(&["x", "neutral", "neutral"], &[0, 1, 2], ConceptLevel::Concept);
    assert!(single.contains("both halves"), "{single}");
    let parents = refused(&["x", "y", "x", "y"], &[0, 1, 2, 3], ConceptLevel::Parent);
    assert!(parents.contains("no label names a parent"), "{parents}");
}

#[test]
fn a_prompt_without_a_label_is_refused_and_a_label_without_a_prompt_is_not() {
    let error = labelling(&labels_of(&["x", "y"]), &[0, 1, 2]).expect_err("refused");
    assert!(matches!(error, ConceptError::Data(unmix_data::Error::Unlabelled { prompt: 2, .. })), "{error}");
    let label = |(id, concept)| serde_json::json!({"id": id, "concept": concept});
    let numbered: Vec<_> = (0..).zip(["x", "y", "x", "y", "x"]).map(label).collect();
    let numbered = labels(&serde_json::to_string(&numbered).expect("JSON"));
    let some = labelling(&numbered, &[3, 3, 1, 0, 2, 0]).expect("a labelling");
    assert_eq!((some.prompts(), some.prompt_of_row()), (4, &[3, 3, 1, 0, 2, 0][..]));
    // Among the prompts that have activations: x, y, x, y.
    assert_eq!((some.groups(), some.choosing()), (&[0, 1, 0, 1][..], &[true, true, false, false][..]));
}

#[test]
fn a_label_without_a_prompt_is_refused_where_the_order_alone_tells_whose_it_is() {
    let error = labelling(&labels_of(&["x", "y", "x", "y", "x"]), &[3, 3, 1, 0, 2, 0]).expect_err("refused");
    let ConceptError::Data(unmix_data::Error::TooManyLabels { labels: 5, prompts: 4, .. }) = error else {
        panic!("{error}")
    };
}

#[test]
fn activations_of_another_size_are_refused() {
    let case = Case::new(1, "neutral");
    let (other, _) = host(&matrix(9, case.features.columns, 1), unmix::ElementType::F32);
    let error = concept_scores(&other, &case.labelling(), &case.features, None, 0, 0).expect_err("refused");
    assert!(error.to_string().contains("9 tokens"), "{error}");
    let error = concept_scores(&case.source(), &case.labelling(), &matrix(2, 5, 1), None, 0, 0).expect_err("refused");
    assert!(error.to_string().contains("2 × 5"), "{error}");
}

#[test]
fn strongest_rows_of_another_fit_are_refused() {
    let case = Case::new(1, "neutral");
    let tokens = case.activations.rows;
    let refused = |rows: &[Vec<usize>], token_ids: Option<&[i64]>| {
        let strongest = StrongestRows { rows, token_ids };
        let scores = concept_scores(&case.source(), &case.labelling(), &case.features, Some(&strongest), 0, 0);
        scores.expect_err("refused").to_string()
    };
    let rows = vec![Vec::new(); case.features.rows];
    assert!(refused(&rows[1..], None).contains("the list of strongest tokens"));
    assert!(refused(&rows, Some(&[1, 2])).contains("the column of token ids is 2 entries long"));
    let mut outside = rows.clone();
    outside[0] = vec![0, tokens];
    assert!(refused(&outside, None).contains(&format!("number {tokens}")));
}

#[test]
fn prompts_that_are_all_alike_are_as_good_as_chance() {
    let mut case = Case::new(1, "neutral");
    case.activations.values.fill(1.0);
    let found = concept_scores(&case.source(), &case.labelling(), &case.features, None, 30, 0).expect("scores");
    for concept in &found.concepts {
        // Every shuffle reaches the score.
        assert_eq!((concept.auc, concept.p_value), (Some(0.5), Some(1.0)), "{}", concept.concept);
        assert!(concept.s_cd.expect("scored").abs() < 1e-12);
    }
    assert!(found.features.iter().all(|feature| feature.auc == Some(0.5)));
}
