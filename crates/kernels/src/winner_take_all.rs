//! Winner-take-all: each feature keeps its m largest magnitudes.

use rayon::prelude::*;

use crate::cpu::{LANES, arch, magnitude};
use crate::{Access, Call, Cost, ElementType, Features, Kernel, Memory, Moved, PORTABLE, Recording};

/// The kernel's metadata.
pub static WINNER_TAKE_ALL: Kernel = Kernel {
    name: "winner_take_all",
    access: &[Access::ReadWrite, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    first_feature: u32,
    columns: u32,
    stride: u32,
    kept: u32,
    unit_norm: u32,
    count: u32,
}

/// Records winner-take-all for `count` features from `first` on. Each keeps exactly the m = [`Features::kept`] entries
/// with the largest |z|, and the others become zero. Of equals, the lower neuron is kept. The kept neurons, ascending,
/// and their values are written to the sparse form. With `unit_norm` the kept part is divided by its Euclidean norm,
/// unless that is zero.
pub fn winner_take_all(recording: &mut Recording, features: &Features, first: u32, count: u32, unit_norm: bool) {
    let dense = features.dense;
    let entries = u64::from(features.kept) * 4;
    let kept = || Moved { read: 0..0, written: u64::from(first) * entries..u64::from(first + count) * entries };
    recording.dispatch(
        &WINNER_TAKE_ALL,
        ElementType::F32,
        &Params {
            first_feature: first,
            columns: dense.columns,
            stride: dense.stride,
            kept: features.kept,
            unit_norm: unit_norm.into(),
            count,
        },
        &[dense.resource, features.indices.into(), features.values.into()],
        [count, 1, 1],
        Cost {
            moved: vec![
                Moved { read: dense.row_range(first, count), written: dense.row_range(first, count) },
                kept(),
                kept(),
            ],
            flops: 0,
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [features, indices, values] = bindings else { unreachable!() };
    let first = p.first_feature as usize;
    let kept = p.kept as usize;
    features
        .write::<f32>()
        .par_chunks_mut(p.stride as usize)
        .zip(indices.write::<u32>().par_chunks_mut(kept))
        .zip(values.write::<f32>().par_chunks_mut(kept))
        .skip(first)
        .take(p.count as usize)
        .for_each(|((feature, indices), values)| {
            keep_largest(&mut feature[..p.columns as usize], indices, values, p.unit_norm != 0);
        });
}

fn keep_largest(feature: &mut [f32], indices: &mut [u32], values: &mut [f32], unit_norm: bool) {
    let kept = indices.len();
    let mut keys = candidates(feature, kept);
    if kept < keys.len() {
        keys.select_nth_unstable_by(kept, |a, b| b.cmp(a));
    }
    for (index, key) in indices.iter_mut().zip(&keys) {
        *index = !(*key as u32);
    }
    indices.sort_unstable();
    for (value, &index) in values.iter_mut().zip(&*indices) {
        *value = feature[index as usize];
    }
    if unit_norm {
        let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        if norm > 0.0 {
            values.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        }
    }
    feature.fill(0.0);
    for (&value, &index) in values.iter().zip(&*indices) {
        feature[index as usize] = value;
    }
}

/// One of this many neurons is in the sample by which the magnitude of the largest entries is estimated.
const SAMPLED: usize = 16;

/// Keys of the `kept` largest entries and of some more, in no particular order. Of two entries, the larger one has the
/// larger key. Of equals, the one with the lower neuron has.
fn candidates(feature: &[f32], kept: usize) -> Vec<u64> {
    let least = probable_least(feature, kept);
    let mut keys = Vec::with_capacity(4 * kept);
    arch().dispatch(
        #[inline(always)]
        || collect(feature, least, &mut keys),
    );
    if keys.len() < kept {
        keys.clear();
        collect(feature, 0, &mut keys);
    }
    keys
}

/// The bits of a magnitude such that the `kept` largest entries are most likely not below it.
fn probable_least(feature: &[f32], kept: usize) -> u32 {
    // One and a half times the sample's share, and some more, because chance decides if there are few.
    let share = kept / SAMPLED * 3 / 2 + 8;
    let mut sample: Vec<u32> = feature.iter().step_by(SAMPLED).map(|&z| magnitude(z)).collect();
    if share < sample.len() { *sample.select_nth_unstable_by(share, |a, b| b.cmp(a)).1 } else { 0 }
}

/// Adds the keys of all entries of at least this magnitude.
#[inline(always)]
fn collect(feature: &[f32], least: u32, keys: &mut Vec<u64>) {
    for (index, chunk) in feature.chunks(LANES).enumerate() {
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
                let (mut indices, mut values) = (vec![0; kept], vec![0.0; kept]);
                keep_largest(&mut feature.clone(), &mut indices, &mut values, false);
                assert_eq!(indices, expected, "{kept} of {}", feature.len());
            }
        }
    }
}
