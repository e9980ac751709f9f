//! Whether features detect concepts, scored on labelled prompts as by Shafran, Geiger and Geva (ACL 2026,
//! 2026.acl-long.1959).
//!
//! A [`Labelling`] says what each prompt is about and which half it is in. [`concept_scores`] chooses a concept for
//! each feature and a feature for each concept on one half, and scores the choices on the other. It does the same with
//! shuffled labels, to show what chance gives, and with [`diff_means`], to show what supervision gives. A pair is
//! [`Detected`] if shuffled labels hardly ever score any pair as highly.

mod baseline;
mod detected;
mod detection;
mod diff_means;
mod error;
mod fit_scores;
mod labelling;
mod names;
mod pairs;
mod purity;
mod scores;
mod selection;

pub use detected::DETECTED_P;
pub use detection::s_cd;
pub use diff_means::diff_means;
pub use error::ConceptError;
pub use fit_scores::{ScoreOptions, score_fit};
pub use labelling::{ConceptLevel, Labelling};
pub use names::{prompt_concepts, wider_concepts};
pub use purity::StrongestRows;
pub use scores::{
    Baseline, ConceptScores, Detected, DirectionScore, Purity, ScoreSummary, ScoredConcept, ScoredFeature, Spread,
};

use unmix::{ActivationSource, DenseMatrix};

use crate::cosine::prompt_maxima;
use baseline::{HalfOfPrompts, permuted};
use detected::detected;
use detection::{Evidence, Measures};
use pairs::standard_score;
use selection::{choose_and_score, mean, median};

/// Scores `features` \[K, d\] on the activations `source`, whose prompts `labelling` describes. `strongest` says where
/// features are strongest among the rows of `source`. Without it, no purity is known, and only features that are zero
/// count as dead. The baseline takes `permutations` shuffles, drawn from `seed`.
///
/// The activations are read three times, in panels of rows.
///
/// # Errors
/// If the source cannot be read, or if features, labelling, source and `strongest` do not agree in their numbers of
/// features, neurons and tokens.
pub fn concept_scores(
    source: &dyn ActivationSource,
    labelling: &Labelling,
    features: &DenseMatrix,
    strongest: Option<&StrongestRows>,
    permutations: usize,
    seed: u64,
) -> Result<ConceptScores, ConceptError> {
    let concepts = labelling.concepts().len();
    if let Some(strongest) = strongest {
        strongest.check(features.rows, labelling.prompt_of_row().len())?;
    }
    let purities = strongest.map(|strongest| purity::purity(strongest, labelling));
    let alive: Vec<bool> = (0..features.rows)
        .map(|k| {
            let used = purities.as_ref().is_none_or(|purities| purities[k].is_some());
            used && features.row(k).iter().any(|&value| value != 0.0)
        })
        .collect();

    let [choosing, scoring] = halves(source, labelling, features)?;
    let [chosen, scored] = [&choosing, &scoring].map(|half| half.evidence.measure(&half.groups, concepts));
    let choices = choose_and_score(&chosen, &scored, &alive, concepts);
    let figures = choices.figures();
    let chance = permuted([&choosing, &scoring], &alive, concepts, permutations, seed);

    let supervised = diff_means(source, labelling)?;
    let [_, half] = halves(source, labelling, &supervised)?;
    let supervised = half.evidence.measure(&half.groups, concepts);
    let supervised = |concept: usize| {
        let score = |m: &Measures<'_>| DirectionScore { auc: m.auc(concept, concept), s_cd: m.s_cd(concept, concept) };
        (chosen.can_score(concept) && scored.can_score(concept)).then(|| score(&supervised))
    };

    let count = |group: usize| labelling.groups().iter().filter(|&&g| g == group).count();
    let corrected = |concept, feature| chance.corrected_p_value(standard_score([&chosen, &scored], concept, feature));
    let of_concepts: Vec<ScoredConcept> = (0..concepts)
        .map(|concept| {
            let best = choices.concepts[concept];
            ScoredConcept {
                concept: labelling.concepts()[concept].clone(),
                prompts: count(concept),
                best_feature: best.map(|best| best.index),
                auc: best.map(|best| best.auc),
                s_cd: best.map(|best| best.s_cd),
                p_value: best.and_then(|best| chance.p_value(concept, best.auc)),
                chance: best.and_then(|_| chance.auc_of(concept)),
                corrected_p_value: best.and_then(|best| corrected(concept, best.index)),
                diff_means: supervised(concept),
            }
        })
        .collect();
    let of_features: Vec<ScoredFeature> = (0..features.rows)
        .map(|k| {
            let best = choices.features[k];
            ScoredFeature {
                feature: k,
                dead: !alive[k],
                best_concept: best.map(|best| labelling.concepts()[best.index].clone()),
                s_cd: best.map(|best| best.s_cd),
                auc: best.map(|best| best.auc),
                corrected_p_value: best.and_then(|best| corrected(best.index, k)),
                purity: purities.as_ref().and_then(|purities| purities[k]).filter(|_| alive[k]),
            }
        })
        .collect();

    let pure = || of_features.iter().filter_map(|feature| feature.purity);
    let difference = || of_concepts.iter().filter_map(|concept| concept.diff_means);
    let summary = ScoreSummary {
        alive: alive.iter().filter(|&&alive| alive).count(),
        detects: figures.detects,
        s_cd_median: figures.s_cd_median,
        auc_mean: figures.auc_mean,
        purity_mean: mean(pure().map(|purity| purity.purity)),
        token_purity_mean: mean(pure().filter_map(|purity| purity.token_purity)),
        either_mean: mean(pure().map(|purity| purity.either)),
        diff_means_auc_mean: mean(difference().map(|score| score.auc)),
        diff_means_s_cd_median: median(difference().map(|score| score.s_cd).collect()),
    };
    let named = |concept: usize| (labelling.concepts()[concept].clone(), count(concept));
    Ok(ConceptScores {
        level: labelling.level(),
        prompts: labelling.prompts(),
        choosing_prompts: choosing.groups.len(),
        neutral_prompts: count(concepts),
        concepts: of_concepts,
        features: of_features,
        detected: detected(&chosen, &scored, &alive, &chance, named, concepts),
        summary,
        baseline: chance.baseline(),
    })
}

/// The prompts for choosing and those for scoring, with their cosines to `directions`.
fn halves(
    source: &dyn ActivationSource,
    labelling: &Labelling,
    directions: &DenseMatrix,
) -> Result<[HalfOfPrompts; 2], ConceptError> {
    let maxima = prompt_maxima(source, directions, labelling.prompt_of_row(), labelling.prompts())?;
    Ok([true, false].map(|side| {
        let prompts: Vec<usize> = (0..labelling.prompts()).filter(|&p| labelling.choosing()[p] == side).collect();
        let groups = prompts.iter().map(|&prompt| labelling.groups()[prompt]).collect();
        HalfOfPrompts { evidence: Evidence::new(&maxima, &prompts), groups }
    }))
}
