//! Reports for tests: one with all parts, hostile text included, and one without any optional part.

use unmix_interpret::links::Measure;
use unmix_interpret::report::{
    ActiveFeatures, Agreement, Band, Beside, BesideFeature, BesidePair, CoActive, ConceptChance, ConceptRow,
    ConceptScore, Context, HealthLevel, HealthNote, Histogram, Interpretability, LensChance, Neighbour, NeuronWeight,
    Piece, Quantile, Report, ReportFeature, RunCard, TokenLogit, TreeChild, TreeLevel, TreeNode, WordCount,
};

/// Tokens that would do harm, or hide, if they were taken for more than text.
pub fn hostile() -> Vec<String> {
    let tokens = [
        "</script><script>window.pwned = 1</script>",
        "<img src=x onerror=\"window.pwned = 2\">",
        "\"' onmouseover='window.pwned = 3' `${window.pwned = 4}`",
        "<!--<script>",
        "]]>&lt;&amp;&#0;",
        "\u{202e}reversed\u{2066}",
        "\u{200b}\u{feff}\u{200d}",
        "\u{0}\u{7}\u{1b}[31m\u{7f}\u{85}\n\t\r",
        "\u{2028}\u{2029}",
        "\u{e000}\u{fffd}\u{10ffff}",
        "{{script}}{{data}}",
        "__proto__",
        "constructor",
        " שלום",
        " العالم",
        "e\u{301}\u{302}\u{303}\u{304}\u{305}",
        "👩‍🚀",
    ];
    let mut tokens: Vec<String> = tokens.map(str::to_owned).into();
    tokens.push("x".repeat(100_000));
    tokens
}

const WORDS: [&str; 12] = [
    " September",
    " river",
    " the",
    " recursion",
    " bread",
    ",",
    " and",
    " 1957",
    " mother",
    " storm",
    "ing",
    " violin",
];

fn pseudo(seed: usize) -> f64 {
    // A fixed scatter in 0..1 is enough.
    ((seed as f64 * 12.9898).sin() * 43758.5453).fract().abs()
}

/// A context of `tokens` tokens. Every fifth context has a hostile token at its peak.
fn context(feature: usize, index: usize, tokens: usize) -> Context {
    let hostile = hostile();
    let peak = tokens / 2;
    let pieces = (0..tokens).map(|i| {
        let at = feature * 31 + index * 7 + i;
        let text = if i == peak && index.is_multiple_of(5) {
            &hostile[(feature + index / 5) % hostile.len()]
        } else {
            WORDS[at % 12]
        };
        let strength = if i == peak { 1.0 - index as f32 / 40.0 } else { (pseudo(at) as f32).powi(6) };
        Piece { text: text.to_owned(), strength }
    });
    Context {
        pieces: pieces.collect(),
        peak,
        coefficient: 0.1 * (1.0 - index as f64 / 40.0),
        prompt: Some(index as i64),
        prompt_label: Some(if index == 0 { hostile[1].clone() } else { "months".to_owned() }),
        cut_before: index.is_multiple_of(2),
        cut_after: index.is_multiple_of(3),
        merged: index % 4,
    }
}

fn words(feature: usize) -> Vec<WordCount> {
    (0..3).map(|i| WordCount { word: WORDS[(feature + 5 * i) % 12].trim().to_owned(), count: 3 - i }).collect()
}

fn tokens(feature: usize, sign: f64) -> Vec<TokenLogit> {
    let hostile = hostile();
    (0..8)
        .map(|i| TokenLogit {
            text: if i == 3 { hostile[feature % hostile.len()].clone() } else { WORDS[(feature + i) % 12].to_owned() },
            logit: sign * (2.0 - i as f64 / 5.0),
        })
        .collect()
}

fn feature(number: usize, count: usize) -> ReportFeature {
    ReportFeature {
        number,
        label: match number {
            0 => Some("the unique label".to_owned()),
            1 => Some(hostile()[1].clone()),
            2 => Some(hostile()[5].clone()),
            _ => None,
        },
        words: words(number),
        reproducibility: Some(0.99 - number as f64 / count as f64 * 0.8),
        found_in: Some(if number * 2 < count { 9 } else { 3 }),
        interpretability: Some(interpretability(number)),
        explained_share: 0.02 * pseudo(number) + if number == 17 { 0.05 } else { 0.0 },
        energy_share: 0.02 * pseudo(number + 1),
        active_share: pseudo(number + 2) * 0.9 + if number == 23 { 0.1 } else { 0.0 },
        max_coefficient: 0.1,
        norm: 30.0 + number as f64,
        histogram: Some(Histogram {
            edges: (0..=24).map(|i| f64::from(i) / 240.0).collect(),
            counts: (0..24).map(|i| 4000 / (1 + i * i)).collect(),
        }),
        quantiles: [0.5, 0.9, 0.99].map(|probability| Quantile { probability, value: probability / 10.0 }).into(),
        contexts: (0..20).map(|index| context(number, index, 25)).collect(),
        bands: (0..4)
            .map(|at| Band {
                range: [3 - at, 4 - at].map(|edge| f64::from(edge) / 4.0),
                tokens: 250,
                contexts: (30..34).filter(|_| at > 0).map(|index| context(number, index, 25)).collect(),
            })
            .collect(),
        promoted: tokens(number, 1.0),
        suppressed: tokens(number, -1.0),
        concepts: ["months", "rivers"]
            .iter()
            .enumerate()
            .filter(|_| number != 22)
            .map(|(i, name)| ConceptScore {
                concept: (*name).to_owned(),
                prompts: 20,
                auc: 0.5 + 0.5 * pseudo(number) - 0.1 * i as f64,
                p_value: 0.001,
                contexts: Some(19 - 15 * i as u64),
                names: i == 0 && number != 21,
            })
            .collect(),
        neighbours: (1..=5)
            .map(|i| Neighbour { feature: (number + i) % count, cosine: 0.6 - 0.2 * i as f64 })
            .collect(),
        co_active: (1..=5)
            .map(|i| CoActive { feature: (number + 9 * i) % count, correlation: 0.5 / i as f64 })
            .collect(),
        neurons: (0..16).map(|i| NeuronWeight { neuron: number * 3 + i, weight: 0.5 - i as f64 / 15.0 }).collect(),
        notes: if number.is_multiple_of(50) { vec!["near copy of #31".to_owned()] } else { Vec::new() },
        position: Some([pseudo(number) as f32, pseudo(number + 7) as f32]),
        group: (number % 3).checked_sub(1),
    }
}

fn interpretability(number: usize) -> Interpretability {
    let agreement = |what: &str, score| {
        Some(Agreement { what: what.to_owned(), contexts: 18, of: 20, chance: 0.15, p_value: 0.001, score })
    };
    match number % 3 {
        0 => Interpretability { score: 0.88, subject: agreement("months", 0.88), word: None },
        1 => Interpretability { score: 0.3, subject: None, word: agreement(&hostile()[1], 0.3) },
        _ => Interpretability::default(),
    }
}

/// Another fit of three features, the first two of which match.
fn beside(count: usize) -> Beside {
    let feature = |number: usize| BesideFeature {
        number,
        words: words(number + 1),
        active_share: 0.1,
        max_coefficient: 0.1,
        contexts: (0..5).map(|index| context(number, index, 9)).collect(),
    };
    Beside {
        title: hostile()[0].clone(),
        rank: 3,
        relative_error: 0.7,
        by: Measure::Cosine,
        same_from: 0.8,
        stability: 0.6,
        pairs: vec![
            BesidePair { feature: 4, other: 1, likeness: 0.93 },
            BesidePair { feature: count - 1, other: 0, likeness: 0.41 },
        ],
        features: (0..3).map(feature).collect(),
    }
}

/// A report of `count` features (at least 40) with every part.
pub fn full(count: usize) -> Report {
    let node = |children: Vec<usize>, number: usize| TreeNode {
        label: (number == 0).then(|| "the unique node".to_owned()),
        words: words(number),
        children: children.into_iter().map(|child| TreeChild { child, strength: 0.8 }).collect(),
        // The last group does not cohere.
        coheres: number != 9,
        interpretability: Some(interpretability(1)),
        contexts: (0..3).map(|index| context(number, index, 12)).collect(),
    };
    // Ten groups of all features but the last, which is in no group.
    let groups = (0..10).map(|g| node((0..count - 1).filter(|k| k % 10 == g).collect(), g)).collect();
    let themes = (0..3).map(|t| node((0..10).filter(|g| g % 3 == t).collect(), t + 20)).collect();
    Report {
        id: "0123456789abcdef".to_owned(),
        title: format!("A model, {}", hostile()[0]),
        run: RunCard {
            data: Some("activations.safetensors".to_owned()),
            tokens: 9_256,
            neurons: 1_536,
            dtype: "f16".to_owned(),
            options: vec![("solver".to_owned(), "projected-ls".to_owned())],
            engine: "cpu".to_owned(),
            adapter: "some processor".to_owned(),
            relative_error: 0.742,
            loss_curve: (0..30).map(|i| 0.742 + 0.1 / f64::from(1 + i)).collect(),
            best_iteration: 29,
            stop_reason: "converged".to_owned(),
            seconds: 1.644,
            runs: Some(10),
            stability: Some(0.64),
            version: "0.1.0".to_owned(),
            date: Some("2026-01-31".to_owned()),
            dead_features: vec![39],
        },
        features: (0..count).map(|number| feature(number, count)).collect(),
        groups: vec!["time".to_owned(), hostile()[1].clone()],
        tree: vec![
            TreeLevel { name: Some("ten groups".to_owned()), nodes: groups },
            TreeLevel { name: None, nodes: themes },
        ],
        concepts: (0..24)
            .map(|i| ConceptRow {
                concept: format!("concept {i}"),
                parent: Some("parent".to_owned()),
                prompts: Some(20),
                feature: (i != 5).then_some(i),
                score: Some(1.0 - i as f64 / 10.0),
                auc: Some(1.0 - i as f64 / 50.0),
                chance: Some([0.5, 0.62]),
                p_value: Some(i as f64 / 24.0),
                detected: i < 2,
                diff_means_auc: Some(0.99),
            })
            .collect(),
        concept_chance: Some(ConceptChance { permutations: 1000, auc: 0.81, chance: [0.5, 0.53] }),
        active_features: Some(ActiveFeatures { median: 12, mean: 12.5, middle: [4, 20], tokens: vec![400; 25] }),
        lens_chance: Some(LensChance { promoted: 0.5, suppressed: -0.5 }),
        beside: Some(beside(count)),
        health: vec![
            HealthNote {
                level: HealthLevel::Good,
                text: "all is well".to_owned(),
                advice: String::new(),
                features: Vec::new(),
            },
            HealthNote {
                level: HealthLevel::Warning,
                text: hostile()[0].clone(),
                advice: hostile()[1].clone(),
                features: (0..40).collect(),
            },
        ],
    }
}

/// A report of `count` features with only those parts that every fit has.
pub fn bare(count: usize) -> Report {
    let features = (0..count).map(|number| ReportFeature { number, explained_share: 0.1, ..ReportFeature::default() });
    Report {
        title: "Bare".to_owned(),
        run: RunCard { tokens: 10, neurons: 7, relative_error: f64::NAN, ..RunCard::default() },
        features: features.collect(),
        ..Report::default()
    }
}
