//! What a fit's health comes to, in sentences.

use super::{HealthLevel, HealthNote};
use crate::{DUPLICATE_COSINE, Health, LOW_SHARE, TOKEN_SHARE};

/// The health of a fit over `neurons` neurons in short sentences, the serious ones first.
pub fn health_notes(health: &Health, neurons: u32) -> Vec<HealthNote> {
    let mut notes = Vec::new();
    let mut note = |level, text: String, features: Vec<usize>| notes.push(HealthNote { level, text, features });
    match health.dead.as_slice() {
        [] => note(HealthLevel::Good, "no feature is dead".to_owned(), Vec::new()),
        dead => note(HealthLevel::Warning, format!("dead, used by no token: {}", count(dead.len())), dead.to_vec()),
    }
    match health.duplicates.as_slice() {
        [] => note(HealthLevel::Good, "no two features are near copies".to_owned(), Vec::new()),
        pairs => {
            let mut features: Vec<usize> = pairs.iter().flat_map(|pair| [pair.first, pair.second]).collect();
            features.sort_unstable();
            features.dedup();
            let text = format!("pairs of near copies (|cosine| of at least {DUPLICATE_COSINE}): {}", pairs.len());
            note(HealthLevel::Warning, text, features);
        }
    }
    if !health.token_identity.is_empty() {
        let features: Vec<usize> = health.token_identity.iter().map(|identity| identity.feature).collect();
        let share = 100.0 * TOKEN_SHARE;
        let text = format!("stand for one token ({share}% of their energy or more): {}", count(features.len()));
        note(HealthLevel::Note, text, features);
    }
    if !health.low_share.is_empty() {
        let share = 100.0 * LOW_SHARE;
        let text = format!("explain less than {share}% of the mean: {}", count(health.low_share.len()));
        note(HealthLevel::Note, text, health.low_share.clone());
    }
    let overlap = 100.0 * health.mean_overlap;
    let text = format!(
        "{} of {neurons} neurons are used; two features have {overlap:.1}% of theirs in common on average",
        health.used_neurons
    );
    note(HealthLevel::Good, text, Vec::new());
    if let Some(most) = health.shared_neurons.first() {
        let text = format!("the most shared neuron is {}: {}", most.neuron, count(most.features.len()));
        note(HealthLevel::Note, text, most.features.clone());
    }
    notes.sort_by_key(|note| match note.level {
        HealthLevel::Warning => 0,
        HealthLevel::Note => 1,
        HealthLevel::Good => 2,
    });
    notes
}

fn count(features: usize) -> String {
    if features == 1 { "1 feature".to_owned() } else { format!("{features} features") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Duplicate, SharedNeuron};

    #[test]
    fn warnings_come_first_and_name_their_features() {
        let health = Health {
            duplicates: vec![
                Duplicate { first: 4, second: 2, cosine: 0.97 },
                Duplicate { first: 2, second: 9, cosine: -0.91 },
            ],
            low_share: vec![7],
            used_neurons: 30,
            shared_neurons: vec![SharedNeuron { neuron: 12, features: vec![1, 2] }],
            ..Default::default()
        };
        let notes = health_notes(&health, 64);
        assert_eq!((notes[0].level, notes[0].features.as_slice()), (HealthLevel::Warning, [2, 4, 9].as_slice()));
        assert!(notes.iter().any(|n| n.text.contains("1 feature") && n.features == [7]));
        assert!(notes.iter().any(|n| n.level == HealthLevel::Good && n.text == "no feature is dead"));
        assert!(notes.iter().any(|n| n.text.starts_with("30 of 64 neurons")));
    }
}
