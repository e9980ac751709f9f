//! Tokens from every part of a feature's range, not only those at which it is strongest.

use rayon::prelude::*;
use unmix::DenseMatrix;

use super::Activation;

/// A share of the tokens that use a feature, next to one another in strength.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StrengthBand {
    /// Tokens in the band.
    pub tokens: u64,
    /// The least and the largest coefficient in the band.
    pub coefficients: [f32; 2],
    /// Tokens that stand for the band, spread evenly over it, the most typical first.
    pub examples: Vec<Activation>,
}

/// Features that are gathered at a time, so that reading a row uses whole cache lines.
const FEATURES: usize = 16;

/// For each feature (column of Y [n, K]), the tokens that use it in `bands` bands of equally many tokens, the strongest
/// band first, with at most `examples` tokens of each. A band is left out if no token falls into it.
pub fn strength_bands(coefficients: &DenseMatrix, bands: usize, examples: usize) -> Vec<Vec<StrengthBand>> {
    let rank = coefficients.columns;
    let groups: Vec<std::ops::Range<usize>> =
        (0..rank).step_by(FEATURES).map(|first| first..(first + FEATURES).min(rank)).collect();
    groups
        .into_par_iter()
        .flat_map_iter(|group| {
            let mut columns: Vec<Vec<Activation>> = vec![Vec::new(); group.len()];
            for (row, values) in coefficients.values.chunks_exact(rank).enumerate() {
                for (column, &coefficient) in columns.iter_mut().zip(&values[group.clone()]) {
                    if coefficient > 0.0 {
                        column.push(Activation { row, coefficient });
                    }
                }
            }
            columns.into_iter().map(move |mut active| {
                active.sort_unstable_by(Activation::order);
                let bands = (0..bands).map(|band| active.len() * band / bands..active.len() * (band + 1) / bands);
                bands.filter(|band| !band.is_empty()).map(|band| of_band(&active[band], examples)).collect()
            })
        })
        .collect()
}

/// The band of these tokens, which are not none and in order of strength.
fn of_band(tokens: &[Activation], examples: usize) -> StrengthBand {
    let wanted = examples.min(tokens.len());
    // The middles of as many equal parts: every strength of the band has the same chance.
    let mut places: Vec<usize> = (0..wanted).map(|i| (2 * i + 1) * tokens.len() / (2 * wanted)).collect();
    places.dedup();
    // From the middle outwards, so that the first few are as spread as all of them.
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&i| (i as u32).reverse_bits());
    StrengthBand {
        tokens: tokens.len() as u64,
        coefficients: [tokens.last(), tokens.first()].map(|token| token.map_or(0.0, |token| token.coefficient)),
        examples: order.into_iter().map(|i| tokens[places[i]]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_parts_of_the_sorted_tokens_and_examples_are_spread_over_them() {
        // 19 features. Feature k is active at 100 of 300 tokens, with 1..=100 times k + 1 in a shuffled order.
        let (rows, rank) = (300, 19);
        let value =
            |i: usize, k: usize| if i.is_multiple_of(3) { (((i / 3 * 37) % 100 + 1) * (k + 1)) as f32 } else { 0.0 };
        let values = (0..rows * rank).map(|at| value(at / rank, at % rank)).collect();
        let y = DenseMatrix { rows, columns: rank, values };
        let found = strength_bands(&y, 4, 5);
        assert_eq!(found.len(), rank);
        for (k, bands) in found.iter().enumerate() {
            let scale = (k + 1) as f32;
            let ranges: Vec<[f32; 2]> = bands.iter().map(|band| band.coefficients.map(|c| c / scale)).collect();
            assert_eq!(ranges, [[76.0, 100.0], [51.0, 75.0], [26.0, 50.0], [1.0, 25.0]]);
            for band in bands {
                assert_eq!((band.tokens, band.examples.len()), (25, 5));
                let mut parts: Vec<usize> = Vec::new();
                for example in &band.examples {
                    assert_eq!(y.row(example.row)[k], example.coefficient);
                    parts.push(((band.coefficients[1] - example.coefficient) / scale) as usize / 5);
                }
                parts.sort_unstable();
                assert_eq!(parts, [0, 1, 2, 3, 4]);
            }
        }
    }

    #[test]
    fn a_feature_of_few_tokens_has_few_bands_and_a_dead_one_has_none() {
        let y = DenseMatrix { rows: 3, columns: 2, values: vec![0.0, 2.0, 0.0, 0.0, 0.0, 1.0] };
        let found = strength_bands(&y, 4, 5);
        assert!(found[0].is_empty());
        let examples: Vec<f32> = found[1].iter().flat_map(|band| &band.examples).map(|e| e.coefficient).collect();
        assert_eq!(examples, [2.0, 1.0]);
        assert!(strength_bands(&DenseMatrix { rows: 0, columns: 0, values: Vec::new() }, 4, 5).is_empty());
    }
}
