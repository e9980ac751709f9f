//! Chooses on one half of the prompts, scores on the other.

use super::detection::Measures;

/// A concept that was chosen for a feature, or a feature for a concept, and the scores of the pair on the other half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    /// Index of what was chosen.
    pub index: usize,
    pub s_cd: f64,
    pub auc: f64,
}

/// All choices.
pub struct Choices {
    /// For each feature, its concept: the one with the largest excess of its mean largest cosine over the neutral mean.
    /// Absent for dead features.
    pub features: Vec<Option<Chosen>>,
    /// For each concept, its feature: the one with the largest area under the ROC curve. Absent if a half has none of
    /// its prompts.
    pub concepts: Vec<Option<Chosen>>,
}

/// Chooses by `choosing` among the features that are `alive` and the concepts with prompts in both halves, and scores
/// by `scoring`. Of equals the first one is chosen.
pub fn choose_and_score(choosing: &Measures<'_>, scoring: &Measures<'_>, alive: &[bool], concepts: usize) -> Choices {
    let scored: Vec<usize> = (0..concepts).filter(|&c| choosing.can_score(c) && scoring.can_score(c)).collect();
    let living: Vec<usize> = (0..alive.len()).filter(|&k| alive[k]).collect();
    let mut choices = Choices { features: vec![None; alive.len()], concepts: vec![None; concepts] };
    for &k in &living {
        choices.features[k] = first_largest(&scored, |c| choosing.excess(c, k)).map(|c| Chosen {
            index: c,
            s_cd: scoring.s_cd(c, k),
            auc: scoring.auc(c, k),
        });
    }
    for &c in &scored {
        choices.concepts[c] = first_largest(&living, |k| choosing.auc(c, k)).map(|k| Chosen {
            index: k,
            s_cd: scoring.s_cd(c, k),
            auc: scoring.auc(c, k),
        });
    }
    choices
}

fn first_largest(candidates: &[usize], value: impl Fn(usize) -> f64) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for &candidate in candidates {
        let value = value(candidate);
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((candidate, value));
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// Figures over all choices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Share of the features with a concept whose S_CD is above 0.
    pub detects: Option<f64>,
    pub s_cd_median: Option<f64>,
    /// Mean over concepts of their features' area under the ROC curve.
    pub auc_mean: Option<f64>,
}

impl Choices {
    pub fn figures(&self) -> Figures {
        let s_cd: Vec<f64> = self.features.iter().flatten().map(|chosen| chosen.s_cd).collect();
        let above = s_cd.iter().filter(|&&score| score > 0.0).count();
        Figures {
            detects: (!s_cd.is_empty()).then(|| above as f64 / s_cd.len() as f64),
            s_cd_median: median(s_cd),
            auc_mean: mean(self.concepts.iter().flatten().map(|chosen| chosen.auc)),
        }
    }
}

/// The median, if there are values. For an even number of values, it is the mean of the two in the middle.
pub fn median(mut sorted: Vec<f64>) -> Option<f64> {
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The mean, if there are values.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
