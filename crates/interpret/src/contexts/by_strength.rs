//! Tokens from every part of a feature's range, not only those at which it is strongest.

use unmix::DenseMatrix;

use super::Activation;
use crate::columns::map_columns;
use crate::distribution::bin_of;

/// The tokens at which a feature has a strength between two bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StrengthBand {
    /// The bounds, in shares of the feature's largest coefficient. The upper one belongs to the band.
    pub range: [f64; 2],
    /// Number of tokens in the band.
    pub tokens: u64,
    /// Tokens that stand for the band: the first, the first two, … of them are spread evenly over its tokens in the order
    /// of the text.
    pub examples: Vec<Activation>,
}

/// For each feature (column of Y [n, K]), the tokens that use it in `bands` bands of equal width from 0 to its largest
/// coefficient, the strongest band first, with at most `examples` tokens of each. A feature that no token uses has no
/// band.
pub fn strength_bands(coefficients: &DenseMatrix, bands: usize, examples: usize) -> Vec<Vec<StrengthBand>> {
    let entry = |row, coefficient| (coefficient > 0.0).then_some(Activation { row, coefficient });
    map_columns(coefficients, entry, |active| of_feature(&active, bands, examples))
}

/// The bands of a feature with these tokens, which are in the order of the text.
fn of_feature(tokens: &[Activation], bands: usize, examples: usize) -> Vec<StrengthBand> {
    if tokens.is_empty() {
        return Vec::new();
    }
    let largest = tokens.iter().fold(0.0, |most: f32, token| most.max(token.coefficient));
    let mut own: Vec<Vec<Activation>> = vec![Vec::new(); bands];
    tokens.iter().for_each(|&token| own[bin_of(token.coefficient, largest, bands)].push(token));
    let range = |band: usize| [band, band + 1].map(|edge| edge as f64 / bands as f64);
    let band = |(band, tokens): (usize, &Vec<Activation>)| StrengthBand {
        range: range(band),
        tokens: tokens.len() as u64,
        examples: spread(tokens, examples),
    };
    own.iter().enumerate().rev().map(band).collect()
}

/// At most `most` of the tokens, spread evenly over all of them.
fn spread(tokens: &[Activation], most: usize) -> Vec<Activation> {
    let count = most.min(tokens.len());
    // The middles of as many equal parts.
    let places: Vec<usize> = (0..count).map(|i| (2 * i + 1) * tokens.len() / (2 * count)).collect();
    // Reversed bits count in halves, quarters, …: whichever of the first are taken, they are spread.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&i| (i as u32).reverse_bits());
    order.into_iter().map(|i| tokens[places[i]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_equally_wide_and_their_examples_are_spread_over_them() {
        // 19 features. Feature k is active at 100 of 300 tokens, with 1..=100 times k + 1 in a shuffled order.
        let (rows, rank) = (300, 19);
        let shuffled = |i: usize| (i / 3 * 37) % 100 + 1;
        let value = |i: usize, k: usize| if i.is_multiple_of(3) { (shuffled(i) * (k + 1)) as f32 } else { 0.0 };
        let values = (0..rows * rank).map(|at| value(at / rank, at % rank)).collect();
        let y = DenseMatrix { rows, columns: rank, values };
        let found = strength_bands(&y, 4, 5);
        assert_eq!(found.len(), rank);
        for (k, bands) in found.iter().enumerate() {
            let ranges: Vec<[f64; 2]> = bands.iter().map(|band| band.range).collect();
            assert_eq!(ranges, [[0.75, 1.0], [0.5, 0.75], [0.25, 0.5], [0.0, 0.25]]);
            for band in bands {
                assert_eq!((band.tokens, band.examples.len()), (25, 5));
                // One example from each fifth of its tokens, in the order of the text.
                let inside = |row: usize| {
                    let share = f64::from(y.row(row)[k]) / (100.0 * (k + 1) as f64);
                    share > band.range[0] && share <= band.range[1]
                };
                let own: Vec<usize> = (0..rows).filter(|&row| inside(row)).collect();
                let mut fifths: Vec<usize> = Vec::new();
                for example in &band.examples {
                    assert_eq!(y.row(example.row)[k], example.coefficient);
                    fifths.push(own.iter().position(|&row| row == example.row).expect("in the band") / 5);
                }
                fifths.sort_unstable();
                assert_eq!(fifths, [0, 1, 2, 3, 4]);
            }
        }
    }

    #[test]
    fn every_token_of_a_feature_is_in_one_band_and_a_dead_feature_has_none() {
        let y = DenseMatrix { rows: 4, columns: 2, values: vec![0.0, 2.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.2] };
        let found = strength_bands(&y, 4, 5);
        assert!(found[0].is_empty());
        assert_eq!(found[1].iter().map(|band| band.tokens).collect::<Vec<_>>(), [1, 0, 0, 2]);
        let examples: Vec<f32> = found[1].iter().flat_map(|band| &band.examples).map(|e| e.coefficient).collect();
        assert_eq!(examples, [2.0, 0.1, 0.2]);
        assert!(strength_bands(&DenseMatrix { rows: 0, columns: 0, values: Vec::new() }, 4, 5).is_empty());
    }
}
