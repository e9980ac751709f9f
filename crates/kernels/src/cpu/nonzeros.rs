//! The values of a matrix that are not zero, where most of them are.

use rayon::prelude::*;

use super::arch;

/// Rows that a thread counts at once.
const ROWS: usize = 128;
/// Values that are looked at together, each with a bit of a word.
const GROUP: usize = 32;

/// Number of values that are not zero in the first `columns` columns of rows that are `stride` apart.
pub(crate) fn count_nonzeros(rows: &[f32], stride: usize, columns: usize) -> usize {
    let count = |rows: &[f32]| {
        arch().dispatch(
            #[inline(always)]
            || rows.chunks(stride).map(|row| count_in(&row[..columns])).sum::<usize>(),
        )
    };
    rows.par_chunks(ROWS * stride).map(count).sum()
}

#[inline(always)]
fn count_in(values: &[f32]) -> usize {
    values.iter().map(|&value| u32::from(value != 0.0)).sum::<u32>() as usize
}

/// A word with the bits of the places that are chosen. There are at most 32.
#[inline(always)]
pub(super) fn bits<const PLACES: usize>(is_chosen: impl Fn(usize) -> bool) -> u32 {
    // An array of all bits, which vector instructions fill and add up.
    let bits: [u32; PLACES] = std::array::from_fn(|place| u32::from(is_chosen(place)) << place);
    bits.iter().sum()
}

/// Calls `visit` with the place and the value of all values that are not zero, in order.
#[inline(always)]
pub(crate) fn for_each_nonzero(values: &[f32], mut visit: impl FnMut(usize, f32)) {
    let (groups, rest) = values.as_chunks::<GROUP>();
    let mut visit_group = |first: usize, values: &[f32], mut present: u32| {
        while present != 0 {
            let place = present.trailing_zeros() as usize;
            visit(first + place, values[place]);
            present &= present - 1;
        }
    };
    for (index, values) in groups.iter().enumerate() {
        visit_group(index * GROUP, values, bits::<GROUP>(|place| values[place] != 0.0));
    }
    let bits = rest.iter().enumerate().map(|(place, &value)| u32::from(value != 0.0) << place).sum();
    visit_group(groups.len() * GROUP, rest, bits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nonzero_is_visited_once_in_order() {
        for length in [0, 1, 31, 32, 33, 100, 129] {
            for step in [1, 2, 7, 32, 200] {
                let value = |i: usize| if i % step == step - 1 { i as f32 - 40.0 } else { -0.0 };
                let values: Vec<f32> = (0..length).map(value).collect();
                let mut found = Vec::new();
                for_each_nonzero(&values, |place, value| found.push((place, value)));
                let expected: Vec<(usize, f32)> =
                    values.iter().copied().enumerate().filter(|&(_, value)| value != 0.0).collect();
                assert_eq!(found, expected, "{length} values, every {step}th");
            }
        }
    }

    #[test]
    fn values_beside_the_columns_do_not_count() {
        let rows = [1.0, 0.0, 5.0, -1.0, 2.0, 5.0, 0.0, -0.0, 5.0, f32::NAN, 0.0];
        assert_eq!(count_nonzeros(&rows, 3, 2), 4);
        assert_eq!(count_nonzeros(&[0.0; 3000], 3, 3), 0);
    }
}
