//! Fits made by hand.

use serde_json::Value;
use unmix::{DenseMatrix, Factorization, FeatureStatistics, FitSummary, SemiNmf, StopReason};
use unmix_data::{FitRecord, InputRecord, Origin, TokenColumns, TokenFilter};
use unmix_interpret::{Child, Hierarchy, HierarchyLevel, norms};

/// A record of features [K, d] and coefficients [n, K], with statistics as if the features were orthogonal.
pub fn record(features: DenseMatrix, coefficients: DenseMatrix, columns: TokenColumns) -> FitRecord {
    let (tokens, rank) = (coefficients.rows as u64, features.rows);
    let norms = norms(&features);
    let mut statistics = vec![FeatureStatistics::default(); rank];
    for row in coefficients.values.chunks_exact(rank) {
        for (statistics, &y) in statistics.iter_mut().zip(row).filter(|(_, y)| **y > 0.0) {
            statistics.energy_share += f64::from(y).powi(2);
            statistics.active_share += 1.0 / tokens as f64;
            statistics.max_coefficient = statistics.max_coefficient.max(y);
        }
    }
    let energy: f64 = statistics.iter().zip(&norms).map(|(s, norm)| s.energy_share * norm * norm).sum();
    for (k, statistics) in statistics.iter_mut().enumerate() {
        statistics.norm = norms[k];
        statistics.nonzeros = features.row(k).iter().filter(|z| **z != 0.0).count() as u32;
        statistics.energy_share *= if energy > 0.0 { norms[k].powi(2) / (2.0 * energy) } else { 0.0 };
        statistics.explained_share = statistics.energy_share;
    }
    let dead = statistics.iter().enumerate().filter(|(_, s)| s.active_share == 0.0).map(|(k, _)| k as u32);
    let summary = FitSummary {
        relative_error: 0.5,
        optimality: None,
        iterations: 2,
        best_iteration: 2,
        stop_reason: StopReason::Converged,
        seconds: 0.1,
        engine: "cpu".to_owned(),
        adapter: "by hand".to_owned(),
        tokens,
        neurons: features.columns as u32,
        kept_per_feature: statistics.iter().map(|s| s.nonzeros).max().unwrap_or(0),
        squared_norm: 2.0 * energy,
        loss_curve: vec![1.5 * energy, energy],
        start_seconds: 0.02,
        seconds_curve: vec![0.05, 0.1],
        objective_curve: Vec::new(),
        revived: Vec::new(),
        unsettled_tokens: 0,
        dead_features: dead.collect(),
        feature_statistics: statistics,
        options: SemiNmf::new(rank as u32).options(features.columns as u32),
        consensus: None,
    };
    let input = InputRecord {
        paths: vec!["made/by/hand.npy".into()],
        stored_tokens: tokens,
        filter: TokenFilter::default(),
        origin: Origin::default(),
        tensor: None,
        fingerprint: String::new(),
        tokens,
        neurons: features.columns as u64,
        element: "f32".to_owned(),
    };
    FitRecord::new(Factorization { features, coefficients, summary }, columns, input)
}

/// Levels in which feature k of one is a child of feature k / 2 of the next, until one feature is left.
pub fn halves(features: &DenseMatrix) -> Hierarchy {
    let mut levels: Vec<HierarchyLevel> = Vec::new();
    let mut below = features.rows;
    while below > 1 {
        let rank = below.div_ceil(2);
        let children: Vec<Vec<Child>> = (0..rank)
            .map(|parent| {
                (2 * parent..(2 * parent + 2).min(below)).map(|feature| Child { feature, strength: 0.5 }).collect()
            })
            .collect();
        let strengths = (0..below * rank).map(|at| if at / rank / 2 == at % rank { 0.5 } else { 0.0 }).collect();
        levels.push(HierarchyLevel {
            features: DenseMatrix { rows: rank, columns: features.columns, values: vec![1.0; rank * features.columns] },
            strengths: DenseMatrix { rows: below, columns: rank, values: strengths },
            relative_error: 0.5,
            children,
        });
        below = rank;
    }
    Hierarchy { levels }
}

/// The data in a page, which must contain no script but its own.
pub fn data_of(page: &str) -> Value {
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").expect("data");
    serde_json::from_str(rest.split_once("</script>").expect("an end").0).expect("JSON")
}
