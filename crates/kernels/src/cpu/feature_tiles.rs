//! Tiles of features, for dense products on vectors: the sums of a tile stay in registers.

use std::ops::Range;

use pulp::Simd;

/// Features of the widest tile.
pub(super) const WIDEST_TILE: usize = 12;

/// The widest tile whose sums fit in the registers, together with one factor and the vectors that it multiplies.
pub(super) const fn widest_tile<S: Simd>(vectors: usize) -> usize {
    let widest = (S::REGISTER_COUNT - vectors - 1) / vectors;
    if widest < WIDEST_TILE { widest } else { WIDEST_TILE }
}

/// The features of each tile, at most `widest`. Tiles have nearly equal widths, because a narrow last one would use the
/// registers badly.
pub(super) fn feature_tiles(rank: usize, widest: usize) -> Vec<Range<usize>> {
    let count = rank.div_ceil(widest);
    (0..count).map(|tile| tile * rank / count..(tile + 1) * rank / count).collect()
}

/// Evaluates an expression with the constant `$tile`, which is the width of a tile.
macro_rules! with_tile_width {
    ($width:expr, $tile:ident => $product:expr) => {
        with_tile_width!($width, $tile => $product, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    ($width:expr, $tile:ident => $product:expr, $($widths:literal)*) => {
        match $width {
            $($widths => {
                const $tile: usize = $widths;
                $product
            })*
            _ => unreachable!("no tile is wider than {}", crate::cpu::feature_tiles::WIDEST_TILE),
        }
    };
}
pub(super) use with_tile_width;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_every_feature_once_and_differ_by_at_most_one_in_width() {
        for rank in 1..200 {
            for widest in 1..=WIDEST_TILE {
                let tiles = feature_tiles(rank, widest);
                let features: Vec<usize> = tiles.iter().cloned().flatten().collect();
                assert_eq!(features, (0..rank).collect::<Vec<_>>());
                let widths = || tiles.iter().map(Range::len);
                assert!(widths().max().unwrap() <= widest, "{rank} features in tiles of {widest}");
                assert!(widths().max().unwrap() - widths().min().unwrap() <= 1, "{rank} features in tiles of {widest}");
            }
        }
    }
}
