//! Every score against its definition: pairs are counted one by one, and means are taken by name.

use std::collections::{BTreeMap, BTreeSet};

use unmix::DenseMatrix;
use unmix_interpret::concepts::{ConceptLevel, ConceptScores, Labelling, StrongestRows, concept_scores, diff_means};
use unmix_interpret::prompt_maxima;

use crate::harness::{Case, host, labels, matrix};

/// A prompt as the oracle uses it.
struct Prompt<'a> {
    concept: &'a str,
    choosing: bool,
    maxima: Vec<f64>,
}

/// The prompts of a case, halved by counting within each concept.
fn prompts<'a>(case: &'a Case, directions: &DenseMatrix) -> Vec<Prompt<'a>> {
    let ids: Vec<u32> = case.prompt_ids.iter().map(|&id| id as u32).collect();
    let maxima = prompt_maxima(&case.source(), directions, &ids, case.concepts.len()).expect("maxima");
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let prompt = |(at, &concept): (usize, &&'a str)| {
        let count = seen.entry(concept).or_default();
        *count += 1;
        Prompt { concept, choosing: *count % 2 == 1, maxima: maxima.row(at).iter().map(|&v| f64::from(v)).collect() }
    };
    case.concepts.iter().enumerate().map(prompt).collect()
}

fn auc(prompts: &[&Prompt], concept: &str, k: usize) -> f64 {
    let (mut won, mut pairs) = (0.0, 0.0);
    for own in prompts.iter().filter(|p| p.concept == concept) {
        for other in prompts.iter().filter(|p| p.concept != concept) {
            pairs += 1.0;
            won += match own.maxima[k].partial_cmp(&other.maxima[k]).expect("numbers") {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    won / pairs
}

fn means(prompts: &[&Prompt], concept: &str, k: usize) -> (f64, f64) {
    let mean = |keep: &dyn Fn(&Prompt) -> bool| {
        let kept: Vec<f64> = prompts.iter().filter(|p| keep(p)).map(|p| p.maxima[k]).collect();
        kept.iter().sum::<f64>() / kept.len() as f64
    };
    let any_neutral = prompts.iter().any(|p| p.concept == "neutral");
    let neutral = |p: &Prompt| if any_neutral { p.concept == "neutral" } else { p.concept != concept };
    (mean(&|p| p.concept == concept), mean(&neutral))
}

fn s_cd(prompts: &[&Prompt], concept: &str, k: usize) -> f64 {
    let (own, neutral) = means(prompts, concept, k);
    (own.max(1e-6) / neutral.max(1e-6)).ln()
}

fn largest<T: Copy>(candidates: impl Iterator<Item = T>, value: impl Fn(T) -> f64) -> T {
    let mut best = None;
    for candidate in candidates {
        if best.is_none_or(|(_, most)| value(candidate) > most) {
            best = Some((candidate, value(candidate)));
        }
    }
    best.expect("candidates").0
}

fn assert_near(found: Option<f64>, expected: f64, what: &str) {
    let found = found.unwrap_or_else(|| panic!("no {what}"));
    assert!((found - expected).abs() < 1e-9, "{what}: {found} for {expected}");
}

fn scores(case: &Case, permutations: usize) -> ConceptScores {
    concept_scores(&case.source(), &case.labelling(), &case.features, None, permutations, 5).expect("scores")
}

#[test]
fn choices_and_scores_are_those_of_the_definition() {
    for (seed, neutral) in [(1, "neutral"), (2, "nothing special"), (3, "neutral"), (4, "nothing special")] {
        let case = Case::new(seed, neutral);
        let found = scores(&case, 0);
        let all = prompts(&case, &case.features);
        let choosing: Vec<&Prompt> = all.iter().filter(|p| p.choosing).collect();
        let scoring: Vec<&Prompt> = all.iter().filter(|p| !p.choosing).collect();
        let names: BTreeSet<&str> = case.concepts.iter().copied().filter(|&name| name != "neutral").collect();
        assert_eq!(found.concepts.iter().map(|c| c.concept.as_str()).collect::<BTreeSet<_>>(), names);
        assert_eq!(found.neutral_prompts, if neutral == "neutral" { 12 } else { 0 });
        let ties = choosing.iter().enumerate().any(|(i, a)| choosing[..i].iter().any(|b| a.maxima[0] == b.maxima[0]));
        assert!(ties, "a case without ties tests less");

        let directions = diff_means(&case.source(), &case.labelling()).expect("directions");
        let supervised = prompts(&case, &directions);
        let supervised: Vec<&Prompt> = supervised.iter().filter(|p| !p.choosing).collect();
        for (at, concept) in found.concepts.iter().enumerate() {
            let name = concept.concept.as_str();
            let best = largest(0..case.features.rows, |k| auc(&choosing, name, k));
            assert_eq!(concept.best_feature, Some(best), "{name}");
            assert_eq!(concept.prompts, case.concepts.iter().filter(|&&c| c == name).count());
            assert_near(concept.auc, auc(&scoring, name, best), "AUC");
            assert_near(concept.s_cd, s_cd(&scoring, name, best), "S_CD");
            let difference = concept.diff_means.expect("scored");
            assert_near(Some(difference.auc), auc(&supervised, name, at), "AUC of the difference of means");
            assert_near(Some(difference.s_cd), s_cd(&supervised, name, at), "S_CD of the difference of means");
        }
        for (k, feature) in found.features.iter().enumerate() {
            let excess = |name: &str| {
                let (own, neutral) = means(&choosing, name, k);
                own - neutral
            };
            let best = feature.best_concept.as_deref().expect("a concept");
            let expected = largest(names.iter().copied(), excess);
            assert!(excess(best) >= excess(expected) - 1e-12, "feature {k}: {best} for {expected}");
            assert_near(feature.s_cd, s_cd(&scoring, best, k), "S_CD");
            assert_near(feature.auc, auc(&scoring, best, k), "AUC");
        }

        let mut s: Vec<f64> = found.features.iter().filter_map(|f| f.s_cd).collect();
        s.sort_by(f64::total_cmp);
        assert_near(found.summary.s_cd_median, s[s.len() / 2], "median");
        let above = s.iter().filter(|&&s| s > 0.0).count();
        assert_near(found.summary.detects, above as f64 / s.len() as f64, "share above 0");
        let a: Vec<f64> = found.concepts.iter().filter_map(|c| c.auc).collect();
        assert_near(found.summary.auc_mean, a.iter().sum::<f64>() / a.len() as f64, "mean AUC");
    }
}

#[test]
fn planted_features_are_found_and_chance_is_told_apart() {
    let case = Case::new(1, "neutral");
    let found = scores(&case, 199);
    let of = |name: &str| found.concepts.iter().find(|c| c.concept == name).expect("a concept");
    assert_eq!((of("fruit").best_feature, of("dance").best_feature), (Some(3), Some(7)));
    assert_eq!(of("fruit").p_value, Some(1.0 / 200.0));
    let baseline = found.baseline.as_ref().expect("a baseline");
    assert_eq!(baseline.permutations, 199);
    // Features are chosen on one half and scored on the other, so chance scores like chance.
    assert!((baseline.auc_mean.mean - 0.5).abs() < 0.03, "{baseline:?}");
    assert!(baseline.auc_mean.p95 < found.summary.auc_mean.expect("a mean"), "{baseline:?}");
    assert!(baseline.auc_mean.p95 > baseline.auc_mean.mean && baseline.s_cd_median.p95 > baseline.s_cd_median.mean);
}

#[test]
fn p_values_of_meaningless_labels_are_spread_evenly() {
    let mut values = Vec::new();
    for seed in 0..40 {
        let mut case = Case::new(1, "neutral");
        case.activations = matrix(case.activations.rows, case.activations.columns, 100 + seed);
        values.extend(scores(&case, 49).concepts.iter().filter_map(|concept| concept.p_value));
    }
    assert_eq!(values.len(), 120);
    let small = values.iter().filter(|&&p| p <= 0.1).count();
    let mean = values.iter().sum::<f64>() / 120.0;
    assert!((2..=25).contains(&small), "{small} of 120 at 10%");
    assert!((0.4..0.65).contains(&mean), "mean {mean}");
}

#[test]
fn the_difference_of_means_is_that_of_the_tokens() {
    for neutral in ["neutral", "nothing special"] {
        let case = Case::new(2, neutral);
        let (source, x) = host(&case.activations, unmix::ElementType::F16);
        let labelling = case.labelling();
        let found = diff_means(&source, &labelling).expect("directions");
        let choosing = prompts(&case, &case.features);
        for (at, name) in labelling.concepts().iter().enumerate() {
            let mean = |keep: &dyn Fn(&str) -> bool, j: usize| {
                let rows: Vec<f64> = (0..case.prompt_ids.len())
                    .filter(|&row| choosing[case.prompt_ids[row] as usize].choosing)
                    .filter(|&row| keep(case.concepts[case.prompt_ids[row] as usize]))
                    .map(|row| x[row * case.activations.columns + j])
                    .collect();
                rows.iter().sum::<f64>() / rows.len() as f64
            };
            for j in 0..case.activations.columns {
                let other = |c: &str| if neutral == "neutral" { c == "neutral" } else { c != name };
                let expected = mean(&|c| c == name, j) - mean(&other, j);
                assert!((f64::from(found.row(at)[j]) - expected).abs() < 1e-6, "{name}, neuron {j}");
            }
        }
    }
}

#[test]
fn purity_is_the_share_of_the_most_frequent_label_and_token() {
    let case = Case::new(1, "neutral");
    let ids: Vec<i64> = (0..case.prompt_ids.len() as i64).map(|row| row % 4).collect();
    let of = |name: &str| {
        let rows = (0..case.prompt_ids.len()).filter(|&row| case.concepts[case.prompt_ids[row] as usize] == name);
        rows.collect::<Vec<_>>()
    };
    let (fruit, rain) = (of("fruit"), of("rain"));
    let mut rows = vec![vec![0]; case.features.rows];
    rows[0] = [&fruit[..6], &rain[..2]].concat();
    rows[1] = vec![0, 4, 8, 12, 1, fruit[0]];
    rows[2] = Vec::new();
    let strongest = StrongestRows { rows: &rows, token_ids: Some(&ids) };
    let score = |strongest: &StrongestRows| {
        concept_scores(&case.source(), &case.labelling(), &case.features, Some(strongest), 0, 0).expect("scores")
    };
    let found = score(&strongest);
    assert_eq!(found.features[0].purity.expect("known").purity, 0.75);
    let second = found.features[1].purity.expect("known");
    let same = rows[1].iter().filter(|&&row| ids[row] == 0).count();
    assert_eq!(second.token_purity, Some(same as f64 / 6.0));
    assert_eq!(second.either, second.purity.max(same as f64 / 6.0));
    // No token uses it.
    assert!(found.features[2].dead && found.features[2].purity.is_none() && found.features[2].s_cd.is_none());
    assert_eq!(found.summary.alive, case.features.rows - 1);

    let without = score(&StrongestRows { rows: &rows, token_ids: None });
    let purity = without.features[1].purity.expect("known");
    assert_eq!((purity.token_purity, purity.either), (None, purity.purity));
    assert_eq!(without.summary.token_purity_mean, None);
}

#[test]
fn parents_are_scored_like_concepts_on_the_same_halves() {
    let case = Case::new(3, "neutral");
    let parent = |c: &str| if c == "rain" { "weather" } else { "people" };
    let entries: Vec<serde_json::Value> =
        case.concepts.iter().map(|c| serde_json::json!({"concept": c, "parent": parent(c)})).collect();
    let both = labels(&serde_json::to_string(&entries).expect("JSON"));
    let level = |level| Labelling::new(&both, &case.prompt_ids, "neutral", level).expect("a labelling");
    let (concepts, parents) = (level(ConceptLevel::Concept), level(ConceptLevel::Parent));
    assert_eq!(parents.concepts(), ["people", "weather"]);
    assert_eq!(parents.choosing(), concepts.choosing());
    let found = concept_scores(&case.source(), &parents, &case.features, None, 0, 0).expect("scores");
    assert_eq!((found.level, found.neutral_prompts), (ConceptLevel::Parent, 12));

    // Labels that give the halves of the concepts directly have the same result.
    let entries: Vec<serde_json::Value> = case
        .concepts
        .iter()
        .zip(concepts.choosing())
        .map(|(c, choosing)| {
            let name = if *c == "neutral" { c } else { parent(c) };
            serde_json::json!({"concept": name, "split": if *choosing { "choose" } else { "score" }})
        })
        .collect();
    let direct = labels(&serde_json::to_string(&entries).expect("JSON"));
    let direct = Labelling::new(&direct, &case.prompt_ids, "neutral", ConceptLevel::Concept).expect("a labelling");
    let direct = concept_scores(&case.source(), &direct, &case.features, None, 0, 0).expect("scores");
    assert_eq!((direct.concepts, direct.features), (found.concepts, found.features));
}

#[test]
fn what_was_planted_is_detected_beyond_chance() {
    let case = Case::new(1, "neutral");
    let found = scores(&case, 499);
    let of = |feature: usize, concept: &str| {
        found.detected.iter().find(|pair| pair.feature == feature && pair.concept == concept)
    };
    for (feature, concept) in [(3, "fruit"), (7, "dance")] {
        let pair = of(feature, concept).unwrap_or_else(|| panic!("{concept} in {:?}", found.detected));
        let scored = found.concepts.iter().find(|scored| scored.concept == concept).expect("a concept");
        assert_eq!((Some(pair.auc), Some(pair.p_value)), (scored.auc, scored.corrected_p_value));
        assert_eq!((pair.prompts, pair.p_value <= 0.05), (scored.prompts, true));
    }
    // No pair that was not planted is as clear.
    assert!(found.detected.iter().all(|pair| pair.concept != "rain"), "{:?}", found.detected);
    assert!(found.detected.is_sorted_by_key(|pair| pair.feature));
    assert!(scores(&case, 0).detected.is_empty());
}

#[test]
fn labels_that_mean_nothing_bring_about_a_pair_in_one_case_of_twenty_however_many_are_tried() {
    let mut cases = 0;
    let mut reached = 0;
    for seed in 0..60 {
        let mut case = Case::new(1, "neutral");
        case.activations = matrix(case.activations.rows, case.activations.columns, 300 + seed);
        let found = scores(&case, 59);
        cases += usize::from(!found.detected.is_empty());
        // Without correction, most cases have a feature that detects its concept well.
        reached += usize::from(found.features.iter().any(|feature| feature.auc.is_some_and(|auc| auc >= 0.7)));
    }
    assert!(cases <= 9, "{cases} of 60 cases, for 3 at 5%");
    assert!(reached >= 30, "{reached} of 60 cases have an AUC of 0.7");
}
