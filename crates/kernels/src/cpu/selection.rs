//! The largest magnitudes of a row.

use super::{LANES, arch, magnitude};

/// Writes the neurons of the largest magnitudes of `row`, ascending. Of equals, the lower neuron is taken.
pub(crate) fn largest(row: &[f32], indices: &mut [u32]) {
    largest_above(row, probable_least(row, indices.len()), indices);
}

/// The same, if `before` are neurons that had the largest magnitudes before, as many as are taken now.
pub(crate) fn largest_again(row: &[f32], before: &[u32], indices: &mut [u32]) {
    // At least as many magnitudes are as large as the least of theirs.
    let least = before.iter().map(|&neuron| magnitude(row[neuron as usize])).min();
    largest_above(row, least.unwrap_or(0), indices);
}

/// The same, if most likely enough magnitudes have at least the bits `least`.
fn largest_above(row: &[f32], least: u32, indices: &mut [u32]) {
    let kept = indices.len();
    let mut keys = candidates(row, least, kept);
    if kept < keys.len() {
        keys.select_nth_unstable_by(kept, |a, b| b.cmp(a));
    }
    for (index, key) in indices.iter_mut().zip(&keys) {
        *index = !(*key as u32);
    }
    indices.sort_unstable();
}

/// Divides the values by their Euclidean norm, unless that is zero.
pub(crate) fn bring_to_unit_norm(values: &mut [f32]) {
    let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        values.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
    }
}

/// One of this many neurons is in the sample by which the magnitude of the largest entries is estimated.
const SAMPLED: usize = 16;

/// Keys of the `kept` largest entries and of some more, in no particular order. Of two entries, the larger one has the
/// larger key. Of equals, the one with the lower neuron has.
fn candidates(row: &[f32], least: u32, kept: usize) -> Vec<u64> {
    let mut keys = Vec::with_capacity(4 * kept);
    arch().dispatch(
        #[inline(always)]
        || collect(row, least, &mut keys),
    );
    if keys.len() < kept {
        keys.clear();
        collect(row, 0, &mut keys);
    }
    keys
}

/// The bits of a magnitude such that the `kept` largest entries are most likely not below it.
fn probable_least(row: &[f32], kept: usize) -> u32 {
    // One and a half times the sample's share, and some more, because chance decides if there are few.
    let share = kept / SAMPLED * 3 / 2 + 8;
    let mut sample: Vec<u32> = row.iter().step_by(SAMPLED).map(|&z| magnitude(z)).collect();
    if share < sample.len() { *sample.select_nth_unstable_by(share, |a, b| b.cmp(a)).1 } else { 0 }
}

/// Adds the keys of all entries of at least this magnitude.
#[inline(always)]
fn collect(row: &[f32], least: u32, keys: &mut Vec<u64>) {
    for (index, chunk) in row.chunks(LANES).enumerate() {
        let found = chunk.iter().fold(false, |found, &z| found | (magnitude(z) >= least));
        if found {
            let neurons = (index * LANES) as u32..;
            let large = chunk.iter().zip(neurons).filter(|(z, _)| magnitude(**z) >= least);
            keys.extend(large.map(|(&z, neuron)| u64::from(magnitude(z)) << 32 | u64::from(!neuron)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_found_wherever_they_are() {
        let mut state = 3u32;
        let mut numbers = |count: usize, levels: u32| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) % levels) as f32 - levels as f32 / 2.0
            };
            (0..count).map(|_| next()).collect()
        };
        // Features without a pattern, with many equal entries, and with large entries only where the sample looks or
        // only where it does not.
        let mut features = vec![numbers(1, 9), numbers(1600, 1 << 20), numbers(1603, 7), vec![0.0; 1000]];
        for sampled in [true, false] {
            let mut feature = numbers(1600, 1 << 10);
            let large = |(neuron, z): (usize, &mut f32)| {
                *z *= if neuron.is_multiple_of(SAMPLED) == sampled { 1e6 } else { 1.0 }
            };
            feature.iter_mut().enumerate().for_each(large);
            features.push(feature);
        }
        for feature in features {
            for kept in [1, 2, 16, 200, 999, 1600] {
                let kept = kept.min(feature.len());
                let mut expected: Vec<u32> = (0..feature.len() as u32).collect();
                expected.sort_by(|&a, &b| f32::total_cmp(&feature[b as usize].abs(), &feature[a as usize].abs()));
                expected.truncate(kept);
                expected.sort_unstable();
                let mut indices = vec![0; kept];
                largest(&feature, &mut indices);
                assert_eq!(indices, expected, "{kept} of {}", feature.len());
                let before: Vec<u32> = (0..feature.len() as u32).rev().take(kept).collect();
                largest_again(&feature, &before, &mut indices);
                assert_eq!(indices, expected, "{kept} of {}", feature.len());
            }
        }
    }
}
