//! Outlier tokens: their norms are so large that features describe them and little else.

use serde::Serialize;

/// Tokens whose norm is more than [`NORMS`](Self::NORMS) times the median norm. They are mostly tokens such as begin-of-text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct OutlierTokens {
    /// Number of such tokens.
    pub count: u64,
    /// Their share of ‖X‖². It is 0 if all activations are zero.
    pub energy_share: f64,
}

impl OutlierTokens {
    /// A token whose norm is above this multiple of the median norm is an outlier.
    pub const NORMS: f64 = 10.0;
    /// If the outliers' share of ‖X‖² is above this, they are worth a warning.
    const MUCH: f64 = 0.1;

    /// Finds the outliers among tokens. `energies` are the squared norms of the tokens.
    pub fn of(energies: &[f64]) -> Self {
        let Some(median) = Self::median(energies) else { return OutlierTokens::default() };
        let least = median * Self::NORMS * Self::NORMS;
        let outliers = energies.iter().filter(|energy| **energy > least);
        let (count, energy) = outliers.fold((0, 0.0), |(count, sum), energy| (count + 1, sum + energy));
        let total: f64 = energies.iter().sum();
        OutlierTokens { count, energy_share: if total > 0.0 { energy / total } else { 0.0 } }
    }

    /// The median of the squared norms that are not zero. Tokens of zeros are padding, so they do not count. `None` if all squared norms
    /// are zero.
    pub fn median(energies: &[f64]) -> Option<f64> {
        let mut sorted: Vec<f64> = energies.iter().copied().filter(|energy| *energy != 0.0).collect();
        let middle = sorted.len() / 2;
        (!sorted.is_empty()).then(|| *sorted.select_nth_unstable_by(middle, f64::total_cmp).1)
    }

    /// A warning, if the outliers have more than a tenth of ‖X‖².
    pub fn warning(&self) -> Option<String> {
        (self.energy_share > Self::MUCH).then(|| {
            format!(
                "{} tokens of more than {} times the median norm hold {:.1}% of the energy, so features will describe them; leave \
                 them out (max-norm {1}x), if they are begin-of-text tokens or the like",
                self.count,
                Self::NORMS,
                100.0 * self.energy_share
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_hundred_times_the_median_norm_are_worth_a_warning() {
        let mut energies = vec![1.0; 1000];
        energies[..50].fill(1e4);
        let found = OutlierTokens::of(&energies);
        assert_eq!(found.count, 50);
        assert!((found.energy_share - 5e5 / (5e5 + 950.0)).abs() < 1e-12);
        assert!(
            found.warning().is_some_and(|text| text.contains("50 tokens")
                && text.contains("99.8%")
                && text.contains("max-norm 10x"))
        );
        assert_eq!(OutlierTokens::of(&[1.0, 2.0, 50.0]).warning(), None);
        assert_eq!(OutlierTokens::of(&[]), OutlierTokens::default());
    }
}
