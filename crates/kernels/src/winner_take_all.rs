//! Winner-take-all: each feature keeps its m largest magnitudes.

use rayon::prelude::*;

use crate::cpu::{bring_to_unit_norm, largest};
use crate::features::selection_chain;
use crate::{Access, Call, Cost, CpuTwin, ElementType, Features, Kernel, Memory, Moved, PORTABLE, Recording};

/// The kernel's metadata.
pub static WINNER_TAKE_ALL: Kernel = Kernel {
    name: "winner_take_all",
    access: &[Access::ReadWrite, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    columns: u32,
    stride: u32,
    kept: u32,
    unit_norm: u32,
}

/// Records winner-take-all for all features. Each keeps exactly the m = [`Features::kept`] entries with the largest
/// |z|, and the others become zero. Of equals, the lower neuron is kept. The kept neurons, ascending, and their values
/// are written to the sparse form. With `unit_norm` the kept part is divided by its Euclidean norm, unless that is zero.
pub fn winner_take_all(recording: &mut Recording, features: &Features, unit_norm: bool) {
    let dense = features.dense;
    let kept = u64::from(dense.rows) * u64::from(features.kept) * 4;
    let recorded = recording.dispatch(
        &WINNER_TAKE_ALL,
        ElementType::F32,
        &Params { columns: dense.columns, stride: dense.stride, kept: features.kept, unit_norm: unit_norm.into() },
        &[dense.resource, features.indices.into(), features.values.into()],
        [dense.rows, 1, 1],
        Cost { moved: vec![dense.updated(), Moved::written(kept), Moved::written(kept)], flops: 0 },
    );
    recorded.chain = selection_chain(dense.columns);
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [features, indices, values] = bindings else { unreachable!() };
    let kept = p.kept as usize;
    features
        .write::<f32>()
        .par_chunks_mut(p.stride as usize)
        .zip(indices.write::<u32>().par_chunks_mut(kept))
        .zip(values.write::<f32>().par_chunks_mut(kept))
        .for_each(|((feature, indices), values)| {
            keep_largest(&mut feature[..p.columns as usize], indices, values, p.unit_norm != 0);
        });
}

/// Cuts a feature, and writes its kept neurons and their values.
pub(crate) fn keep_largest(feature: &mut [f32], indices: &mut [u32], values: &mut [f32], unit_norm: bool) {
    largest(feature, indices);
    for (value, &index) in values.iter_mut().zip(&*indices) {
        *value = feature[index as usize];
    }
    if unit_norm {
        bring_to_unit_norm(values);
    }
    feature.fill(0.0);
    for (&value, &index) in values.iter().zip(&*indices) {
        feature[index as usize] = value;
    }
}
