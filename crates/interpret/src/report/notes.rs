//! The health of a fit in sentences, and what to do about it.

use unmix::{FitSummary, Options, Solver};

use super::{HealthLevel, HealthNote};
use crate::health::LEAST_FEATURES;
use crate::{DENSE_SHARE, DUPLICATE_COSINE, Duplicate, Health, LOW_SHARE, OUTLIER_TOKEN_NORM, TOKEN_SHARE};

/// From this share on, something common becomes a warning: features of one token among the features, outlier tokens in
/// the energy, tokens without a feature among the tokens.
const MOST: f64 = 0.5;

/// The health of a fit in short sentences, the serious ones first. Good news is reported only if there is nothing to
/// warn of.
pub fn health_notes(health: &Health, summary: &FitSummary) -> Vec<HealthNote> {
    let alive = summary.feature_statistics.len().saturating_sub(health.dead.len());
    let mut notes: Vec<HealthNote> =
        summary.warning().map(|found| warning(found.text, found.advice, &[])).into_iter().collect();
    notes.extend([dead(health), copies(&health.duplicates)]);
    if alive > 0 {
        notes.push(density(health, &summary.options));
    }
    notes.extend(opposites(&health.duplicates));
    notes.push(shared_neurons(health, alive));
    notes.extend(outlier_tokens(health));
    notes.extend(unused_tokens(health, &summary.options));
    notes.extend(token_identity(health, alive));
    notes.extend(low_share(health));
    notes.push(overlap(health, summary.neurons));
    notes.sort_by_key(|note| match note.level {
        HealthLevel::Warning => 0,
        HealthLevel::Note => 1,
        HealthLevel::Good => 2,
    });
    notes
}

fn note(level: HealthLevel, text: impl Into<String>, features: &[usize]) -> HealthNote {
    HealthNote { level, text: text.into(), advice: String::new(), features: features.to_vec() }
}

fn warning(text: String, advice: impl Into<String>, features: &[usize]) -> HealthNote {
    HealthNote { level: HealthLevel::Warning, text, advice: advice.into(), features: features.to_vec() }
}

fn dead(health: &Health) -> HealthNote {
    match health.dead.len() {
        0 => note(HealthLevel::Good, "no feature is dead", &[]),
        count => warning(
            format!("{} dead: no token uses {}", are(count, "feature"), if count == 1 { "it" } else { "them" }),
            "Ask for fewer features with --rank.",
            &health.dead,
        ),
    }
}

fn density(health: &Health, options: &Options) -> HealthNote {
    let share = 100.0 * health.median_active_share;
    let text = format!("the median feature is active at {share:.0}% of the tokens");
    if health.median_active_share <= DENSE_SHARE {
        return note(HealthLevel::Good, text, &[]);
    }
    let advice = match options.solver {
        Solver::Hals => {
            format!("A larger --penalty makes features more selective: try {}.", (2.0 * options.penalty).max(0.05))
        }
        _ => "--solver hals, the default, makes features more selective.".to_owned(),
    };
    warning(format!("features are dense: {text}, so what it stands for is hard to read"), advice, &[])
}

fn copies(duplicates: &[Duplicate]) -> HealthNote {
    let pairs: Vec<&Duplicate> = duplicates.iter().filter(|pair| pair.cosine > 0.0).collect();
    match pairs.len() {
        0 => note(HealthLevel::Good, "no two features are near copies", &[]),
        count => warning(
            format!("{} of near copies (cosine of at least {DUPLICATE_COSINE})", counted(count, "pair")),
            "Read each pair as one feature, or ask for fewer features with --rank.",
            &members(&pairs),
        ),
    }
}

fn opposites(duplicates: &[Duplicate]) -> Option<HealthNote> {
    let pairs: Vec<&Duplicate> = duplicates.iter().filter(|pair| pair.cosine < 0.0).collect();
    let text = format!(
        "{} of near opposites (cosine of at most −{DUPLICATE_COSINE}): one direction, with a feature for either sign",
        counted(pairs.len(), "pair")
    );
    (!pairs.is_empty()).then(|| note(HealthLevel::Note, text, &members(&pairs)))
}

fn shared_neurons(health: &Health, alive: usize) -> HealthNote {
    let Some(most) = health.shared_neurons.first() else {
        return note(HealthLevel::Good, "no two features share a neuron", &[]);
    };
    let text = format!("neuron {} is in {} of {alive} features", most.neuron, most.features.len());
    match health.outlier_neurons.len() {
        0 => note(HealthLevel::Note, format!("the most shared {text}"), &most.features),
        count => {
            let others = if count > 1 {
                format!(", and {} in more than two thirds of them", are(count - 1, "other neuron"))
            } else {
                String::new()
            };
            warning(
                format!("{text}{others}: an outlier neuron dominates the features"),
                "Divide each neuron by its standard deviation, or leave that neuron out of the activations, and fit again. \
                 `unmix inspect` shows the neurons of most energy.",
                &[],
            )
        }
    }
}

fn outlier_tokens(health: &Health) -> Option<HealthNote> {
    let energy = health.token_energy;
    let text = format!(
        "{} of more than {OUTLIER_TOKEN_NORM} times the median norm {} {:.0}% of what the features reconstruct",
        counted(energy.outliers, "token"),
        if energy.outliers == 1 { "holds" } else { "hold" },
        100.0 * energy.outlier_share
    );
    let advice = "Such tokens are often begin-of-text tokens. Leave them out of the activations and fit again.";
    (energy.outlier_share > MOST).then(|| warning(text, advice, &[]))
}

fn unused_tokens(health: &Health, options: &Options) -> Option<HealthNote> {
    let share = health.token_energy.unused_share;
    let text = format!("{:.0}% of the tokens use no feature", 100.0 * share);
    let advice = match options.solver {
        Solver::Hals => "Ask for more features with --rank, or for a smaller --penalty.",
        _ => "Ask for more features with --rank.",
    };
    (share > MOST).then(|| warning(text, advice, &[]))
}

fn token_identity(health: &Health, alive: usize) -> Option<HealthNote> {
    let features: Vec<usize> = health.token_identity.iter().map(|identity| identity.feature).collect();
    let count = features.len();
    let text = format!(
        "{} for one token each ({}% of the energy or more)",
        if count == 1 { "1 feature stands".to_owned() } else { format!("{count} features stand") },
        100.0 * TOKEN_SHARE
    );
    if count == 0 {
        None
    } else if alive >= LEAST_FEATURES && count as f64 > MOST * alive as f64 {
        let advice = "They say which token there is, and little more. Try a later layer, more text, or fewer features.";
        Some(warning(text, advice, &features))
    } else {
        Some(note(HealthLevel::Note, text, &features))
    }
}

fn low_share(health: &Health) -> Option<HealthNote> {
    let count = health.low_share.len();
    let verb = if count == 1 { "explains" } else { "explain" };
    let text = format!("{} {verb} less than {}% of the mean", counted(count, "feature"), 100.0 * LOW_SHARE);
    (count > 0).then(|| note(HealthLevel::Note, text, &health.low_share))
}

fn overlap(health: &Health, neurons: u32) -> HealthNote {
    let overlap = 100.0 * health.mean_overlap;
    let text = format!(
        "{} of {neurons} neurons are used; two features have {overlap:.1}% of theirs in common on average",
        health.used_neurons
    );
    note(HealthLevel::Note, text, &[])
}

/// The features that occur in pairs, ascending.
fn members(pairs: &[&Duplicate]) -> Vec<usize> {
    let mut features: Vec<usize> = pairs.iter().flat_map(|pair| [pair.first, pair.second]).collect();
    features.sort_unstable();
    features.dedup();
    features
}

/// `1 feature`, `2 features`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `1 feature is`, `2 features are`.
fn are(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SharedNeuron, TokenEnergy, TokenIdentity};
    use unmix::{FeatureStatistics, StopReason};

    fn summary(rank: usize, solver: Solver) -> FitSummary {
        let mut options = unmix::SemiNmf::new(rank as u32).solver(solver).options(40);
        options.penalty = 0.1;
        FitSummary {
            relative_error: 0.5,
            optimality: None,
            iterations: 1,
            best_iteration: 1,
            stop_reason: StopReason::Converged,
            seconds: 0.0,
            engine: String::new(),
            adapter: String::new(),
            tokens: 100,
            neurons: 64,
            kept_per_feature: 2,
            squared_norm: 1.0,
            loss_curve: Vec::new(),
            start_seconds: 0.0,
            seconds_curve: Vec::new(),
            objective_curve: Vec::new(),
            revived: Vec::new(),
            unsettled_tokens: 0,
            dead_features: Vec::new(),
            feature_statistics: vec![FeatureStatistics::default(); rank],
            options,
            consensus: None,
        }
    }

    fn notes(health: &Health, level: HealthLevel) -> Vec<HealthNote> {
        let notes = health_notes(health, &summary(10, Solver::ProjectedLs));
        notes.into_iter().filter(|note| note.level == level).collect()
    }

    #[test]
    fn a_fit_whose_coefficients_have_not_settled_or_that_explains_nothing_is_warned_of_first() {
        let health = Health::default();
        let first = |summary: FitSummary| health_notes(&health, &summary)[0].text.clone();
        let ordinary = summary(10, Solver::Hals);
        assert!(first(FitSummary { unsettled_tokens: 11, ..ordinary.clone() }).starts_with("11 of 100 tokens"));
        assert!(!first(FitSummary { unsettled_tokens: 10, ..ordinary.clone() }).contains("settled"));
        assert!(first(FitSummary { relative_error: 0.9995, ..ordinary.clone() }).contains("explain less than 0.1%"));
        // Nothing is to be explained.
        let empty = FitSummary { relative_error: 0.0, squared_norm: 0.0, ..ordinary };
        assert!(first(empty).starts_with("all activations are zero"));
    }

    #[test]
    fn warnings_come_first_and_name_their_features() {
        let health = Health {
            duplicates: vec![
                Duplicate { first: 4, second: 2, cosine: 0.97 },
                Duplicate { first: 2, second: 9, cosine: 0.91 },
                Duplicate { first: 0, second: 1, cosine: -0.9 },
            ],
            low_share: vec![7],
            used_neurons: 30,
            shared_neurons: vec![SharedNeuron { neuron: 12, features: vec![1, 2] }],
            ..Default::default()
        };
        let found = health_notes(&health, &summary(10, Solver::ProjectedLs));
        assert_eq!((found[0].level, found[0].features.as_slice()), (HealthLevel::Warning, [2, 4, 9].as_slice()));
        let has = |level, text: &str| found.iter().any(|n| n.level == level && n.text.starts_with(text));
        assert!(has(HealthLevel::Warning, "2 pairs of near copies"), "{found:?}");
        // Coefficients are never negative, so an opposite is not a copy.
        assert!(has(HealthLevel::Note, "1 pair of near opposites"), "{found:?}");
        assert!(has(HealthLevel::Note, "1 feature explains less") && has(HealthLevel::Note, "30 of 64 neurons"));
        assert!(has(HealthLevel::Good, "no feature is dead") && has(HealthLevel::Note, "the most shared neuron 12"));
    }

    #[test]
    fn what_is_wrong_is_a_warning_with_advice_and_has_no_tick() {
        let sound = Health { median_active_share: 0.2, ..Health::default() };
        assert!(notes(&sound, HealthLevel::Warning).is_empty());
        let good = notes(&sound, HealthLevel::Good).len();
        let shared = SharedNeuron { neuron: 17, features: (0..9).collect() };
        let identity = |feature| TokenIdentity { feature, token_id: 3, row: 0, share: 0.95 };
        let energy = |outlier_share, unused_share| TokenEnergy { outliers: 3, outlier_share, unused_share };
        for (health, words, has_tick) in [
            (Health { dead: vec![3], ..sound.clone() }, "1 feature is dead", true),
            (Health { median_active_share: 0.68, ..sound.clone() }, "dense: the median feature is active at 68%", true),
            (
                Health { shared_neurons: vec![shared], outlier_neurons: vec![17], ..sound.clone() },
                "neuron 17 is in 9 of 10 features",
                true,
            ),
            (Health { token_energy: energy(0.93, 0.0), ..sound.clone() }, "3 tokens of more than 10 times", false),
            (Health { token_energy: energy(0.0, 0.7), ..sound.clone() }, "70% of the tokens use no feature", false),
            (Health { token_identity: (0..6).map(identity).collect(), ..sound.clone() }, "6 features stand", false),
        ] {
            let found = notes(&health, HealthLevel::Warning);
            let [found] = &found[..] else { panic!("{words}: {found:?}") };
            assert!(found.text.contains(words) && !found.advice.is_empty(), "{found:?}");
            let ticks = notes(&health, HealthLevel::Good).len();
            assert_eq!(ticks, good - usize::from(has_tick), "{words}");
        }
    }

    #[test]
    fn advice_for_dense_features_starts_from_the_options_of_the_fit() {
        let dense = Health { median_active_share: 0.9, ..Health::default() };
        let advice = |solver| health_notes(&dense, &summary(10, solver))[0].advice.clone();
        assert!(advice(Solver::ProjectedLs).starts_with("--solver hals"), "{}", advice(Solver::ProjectedLs));
        assert!(advice(Solver::Hals).contains("--penalty") && advice(Solver::Hals).contains("0.2"));
    }
}
