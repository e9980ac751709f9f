//! Features from a least-squares solution: over-relaxation, winner-take-all, and the norms of the columns of the
//! coefficients.

use rayon::prelude::*;

use crate::features::selection_chain;
use crate::normalization::norm_of;
use crate::winner_take_all::keep_largest;
use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Features, Kernel, Matrix, Memory, Moved, PORTABLE, Recording,
};

/// The kernel's metadata.
pub static LEAST_SQUARES_CUT: Kernel = Kernel {
    name: "least_squares_cut",
    access: &[Access::Read, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite],
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
    gram_stride: u32,
    relaxation: f32,
    norm_floor: f32,
}

/// How a least-squares solution becomes features.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// β: z + β (z − previous z) is cut instead of z. At least 0. The kept entries must still be those of the previous
    /// features. A feature without coefficients stays as it is.
    pub relaxation: f32,
    /// Smallest norm by which a column of the coefficients is divided.
    pub norm_floor: f32,
}

/// Records, for every feature k of the dense solution z: over-relaxation, [winner-take-all](crate::winner_take_all()),
/// and [normalisation](crate::normalization()) by C = `gram` [K, K] with `scales` \[K\]. The result is that of these
/// steps one after the other.
pub fn least_squares_cut(recording: &mut Recording, gram: Matrix, features: &Features, scales: BufferId, cut: Cut) {
    let (dense, rank) = (features.dense, u64::from(gram.rows));
    let entries = rank * u64::from(features.kept) * 4;
    let kept = if cut.relaxation > 0.0 { Moved::updated(entries) } else { Moved::written(entries) };
    let recorded = recording.dispatch(
        &LEAST_SQUARES_CUT,
        ElementType::F32,
        &Params {
            columns: dense.columns,
            stride: dense.stride,
            kept: features.kept,
            gram_stride: gram.stride,
            relaxation: cut.relaxation,
            norm_floor: cut.norm_floor,
        },
        &[gram.resource, dense.resource, features.indices.into(), features.values.into(), scales.into()],
        [gram.rows, 1, 1],
        Cost {
            moved: vec![Moved::read(rank * 4), dense.updated(), kept.clone(), kept, Moved::written(rank * 4)],
            flops: if cut.relaxation > 0.0 { 2 * dense.elements() } else { 0 } + entries / 4,
        },
    );
    recorded.chain = selection_chain(dense.columns);
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, features, indices, values, scales] = bindings else { unreachable!() };
    let (gram, kept) = (gram.read::<f32>(), p.kept as usize);
    features
        .write::<f32>()
        .par_chunks_mut(p.stride as usize)
        .zip(indices.write::<u32>().par_chunks_mut(kept))
        .zip(values.write::<f32>().par_chunks_mut(kept))
        .zip(scales.write::<f32>())
        .enumerate()
        .for_each(|(k, (((feature, indices), values), scale))| {
            let feature = &mut feature[..p.columns as usize];
            let energy = gram[k * p.gram_stride as usize + k];
            if p.relaxation > 0.0 && energy > 0.0 {
                feature.iter_mut().for_each(|z| *z *= 1.0 + p.relaxation);
                for (&neuron, value) in indices.iter().zip(&*values) {
                    feature[neuron as usize] -= p.relaxation * value;
                }
            }
            keep_largest(feature, indices, values, false);
            let norm = norm_of(energy, p.norm_floor);
            *scale = 1.0 / norm;
            for (value, &neuron) in values.iter_mut().zip(&*indices) {
                *value *= norm;
                feature[neuron as usize] = *value;
            }
        });
}
