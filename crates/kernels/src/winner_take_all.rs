//! Winner-take-all: each feature keeps its m largest magnitudes.

use rayon::prelude::*;

use crate::cpu::params;
use crate::{Access, Cost, ElementType, Features, Kernel, Memory, Moved, PORTABLE, Recording};

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

/// Records, for `count` features from `first`: keep exactly m = [`Features::kept`] entries of largest |z| (of equals, the
/// lower neuron), zero the others, and write the kept neurons, ascending, with their values to the sparse form. With
/// `unit_norm` the kept part is divided by its Euclidean norm, unless that is zero.
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

fn twin(bytes: &[u8], _: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
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
    // Larger magnitude first, then lower neuron: one descending key.
    let key = |(j, z): (usize, &f32)| u64::from(z.to_bits() & 0x7fff_ffff) << 32 | u64::from(!(j as u32));
    let mut keys: Vec<u64> = feature.iter().enumerate().map(key).collect();
    let kept = indices.len();
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
