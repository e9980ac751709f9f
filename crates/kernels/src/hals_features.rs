//! Coordinate descent (HALS) on a range of features, one after the other.

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::{bring_to_unit_norm, largest_again};
use crate::features::selection_chain;
use crate::{
    Access, Call, Chain, Cost, CpuTwin, ElementType, Features, Kernel, Matrix, Memory, Moved, Needs, Recording, Variant,
};

/// The kernel's metadata.
pub static HALS_FEATURES: Kernel = Kernel {
    name: "hals_features",
    access: &[Access::Read, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: &[THREADS_512, Variant::PORTABLE],
    twin: CpuTwin::Alone(twin),
};

/// One workgroup has all the work. A device that has them gives it more threads. Of 1,024 threads none would have enough
/// registers for eight loads at a time.
const THREADS_512: Variant = Variant {
    name: "threads_512",
    features: &["threads_512"],
    needs: Needs { threads: 512, workgroup_bytes: 32 << 10, ..Needs::PORTABLE },
    ..Variant::PORTABLE
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    first_feature: u32,
    end_feature: u32,
    end_residual: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
    kept: u32,
    rank: u32,
}

/// Records, for `count` features k from `first` on, one after the other: z_k ← rₖ cut to its m = [`Features::kept`]
/// largest magnitudes and divided by its norm; then rₗ ← rₗ − C_kl · (what z_k has changed by) for the later features l
/// of the range. `residuals` has the rows rₖ [K, d] of the range, from [`hals_residuals`](crate::hals_residuals()). They
/// are used up. C = `coefficient_gram` [K, K].
///
/// So each z_k is the exact minimiser of the loss among vectors of norm 1 with m nonzeros, given the other features. Of
/// equal magnitudes, the lower neuron is kept. A feature with C_kk = 0 stays as it is.
pub fn hals_features(
    recording: &mut Recording,
    residuals: Matrix,
    coefficient_gram: Matrix,
    features: &Features,
    first: u32,
    count: u32,
) {
    let dense = features.dense;
    let entries = u64::from(features.kept) * 4;
    let end_residual = first + count;
    let at_once = features_of_a_dispatch(dense.columns, features.kept, count);
    for first in (first..end_residual).step_by(at_once as usize) {
        let count = at_once.min(end_residual - first);
        let later = end_residual - first;
        let rows = |matrix: Matrix, count: u32| matrix.row_range(first, count);
        let kept = || u64::from(first) * entries..u64::from(first + count) * entries;
        // The neurons that were kept or are kept now change, in the feature's row and in those of later ones. On activations of
        // a language model these are 1.06 to 1.07 times the kept ones in the fourth iteration, 1.01 to 1.02 times in the eleventh, and fewer
        // later.
        let changed = entries * u64::from(count) * 21 / 20;
        let some = |rows: Range<u64>, bytes: u64| rows.start..rows.end.min(rows.start + bytes);
        let corrections = u64::from(later) - u64::from(count) / 2;
        let corrected = some(rows(residuals, later), changed * corrections);
        let replaced = some(rows(dense, count), changed);
        let recorded = recording.dispatch(
            &HALS_FEATURES,
            ElementType::F32,
            &Params {
                first_feature: first,
                end_feature: first + count,
                end_residual,
                columns: dense.columns,
                stride: dense.stride,
                gram_stride: coefficient_gram.stride,
                kept: features.kept,
                rank: dense.rows,
            },
            &[
                coefficient_gram.resource,
                residuals.resource,
                dense.resource,
                features.indices.into(),
                features.values.into(),
            ],
            [1, 1, 1],
            Cost {
                moved: vec![
                    Moved { read: rows(coefficient_gram, count), written: 0..0 },
                    Moved { read: rows(residuals, count), written: corrected },
                    Moved { read: replaced.clone(), written: replaced },
                    Moved { read: kept(), written: kept() },
                    Moved { read: 0..0, written: kept() },
                ],
                flops: changed / 2 * corrections,
            },
        );
        recorded.scattered = changed / 4 * corrections;
        recorded.chain = (first..first + count)
            .map(|feature| chain_of_feature(features, end_residual - feature - 1))
            .fold(Chain::default(), Chain::then);
    }
}

/// What the shader does one after the other for a feature with so many later ones, by the variant with 512 threads, where the
/// neurons kept before bound the others.
fn chain_of_feature(features: &Features, later: u32) -> Chain {
    const THREADS: u32 = 512;
    const TEAM: u32 = 32;
    const NEURONS_OF_RUN: u32 = 8 * 4 * THREADS;
    const MOST_RUNS: u32 = 3;
    // Where eight neurons are swapped, they are found in two turns of a loop over buckets, and in two over those of a bucket.
    const CYCLES_OF_LOOPS: u64 = 2 * 90 + 2 * 70;
    let Features { kept, dense: Matrix { rows: rank, columns, .. }, .. } = *features;
    let runs = columns.div_ceil(NEURONS_OF_RUN);
    if later >= THREADS || kept > THREADS || runs > MOST_RUNS {
        let selection = selection_chain(columns);
        let chunks = u64::from(columns.div_ceil(4 * THREADS));
        return Chain { barriers: selection.barriers + 3 * chunks, loads: selection.loads + 2 * chunks, cycles: 0 };
    }
    // The row and the marked neurons are loaded side by side, and so is what is corrected. Its further loads wait while those of other
    // threads arrive. With few features, one change is corrected after the other. Some teams have more than others: two standard deviations
    // more. A value that all threads read the same costs two barriers.
    let changes = f64::from(kept) / f64::from(THREADS / TEAM);
    let of_busiest = (changes + 2.0 * changes.sqrt()).ceil() as u64;
    let corrections = if rank < TEAM { of_busiest } else { 1 };
    let loads = u64::from(runs) + if later > 0 { corrections } else { 0 };
    Chain { barriers: 5, loads, cycles: CYCLES_OF_LOOPS }
}

/// How many features of a range of `count` a dispatch takes. lavapipe ends a shader after 65,535 iterations of its loops,
/// without an error.
fn features_of_a_dispatch(columns: u32, kept: u32, count: u32) -> u32 {
    const MOST_ITERATIONS: u32 = 64_000;
    // By the portable variant, where the kept neurons do not bound the others: eight passes over a row of which 1,024 neurons are
    // read at a time, scans, and the vectors of one of eight teams that change, each in every 32nd later feature. On average, half of
    // the features come later.
    let of_a_feature = 8 * columns.div_ceil(1024) + 150 + (kept / 4 + 8) * (count / 64 + 2);
    (MOST_ITERATIONS / of_a_feature).max(1)
}

/// Fewest features whose residuals a thread corrects.
const SHARE_FEATURES: usize = 64;

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, residuals, features, indices, values] = bindings else { unreachable!() };
    let [first, end, columns, stride] = [p.first_feature, p.end_feature, p.columns, p.stride].map(|n| n as usize);
    let [kept, gram_stride, end_residual] = [p.kept, p.gram_stride, p.end_residual].map(|n| n as usize);
    let gram = gram.read::<f32>();
    let residuals = residuals.write::<f32>();
    let (features, indices, values) = (features.write::<f32>(), indices.write::<u32>(), values.write::<f32>());
    let mut neurons = vec![0; kept];
    let mut changes = Vec::with_capacity(2 * kept);
    for k in first..end {
        let weights = &gram[k * gram_stride..][..end_residual];
        let energy = weights[k];
        if !(energy > 0.0 && (1.0 / energy).is_finite()) {
            continue;
        }
        let (own, later) = residuals[k * stride..end_residual * stride].split_at_mut(stride);
        let feature = &mut features[k * stride..][..columns];
        let (indices, values) = (&mut indices[k * kept..][..kept], &mut values[k * kept..][..kept]);
        largest_again(&own[..columns], indices, &mut neurons);
        values.iter_mut().zip(&neurons).for_each(|(value, &neuron)| *value = own[neuron as usize]);
        bring_to_unit_norm(values);
        changes.clear();
        for (&neuron, &value) in neurons.iter().zip(&*values) {
            changes.push((neuron, value - feature[neuron as usize]));
            feature[neuron as usize] = value;
        }
        for neuron in indices.iter().filter(|neuron| neurons.binary_search(neuron).is_err()) {
            changes.push((*neuron, -feature[*neuron as usize]));
            feature[*neuron as usize] = 0.0;
        }
        indices.copy_from_slice(&neurons);
        later.par_chunks_mut(stride).zip(&weights[k + 1..]).with_min_len(SHARE_FEATURES).for_each(|(row, &weight)| {
            if weight != 0.0 {
                changes.iter().for_each(|&(neuron, change)| row[neuron as usize] -= weight * change);
            }
        });
    }
}
