//! Dense projections P = X Zᵀ, for the scores of k-means, and for features that keep too many neurons for gathering to
//! be faster.

use crate::cpu::{Elements, Projected, dense_projection};
use crate::variant::{TILE_64, TILE_128};
use crate::{Access, Call, Cost, CpuTwin, Kernel, Matrix, Memory, Moved, Recording};

/// The kernel's metadata.
pub static PROJECTION: Kernel = Kernel {
    name: "projection",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: &[TILE_128, TILE_64],
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    feature_stride: u32,
    out_stride: u32,
    first: u32,
    scale: f32,
}

/// Records `projections` = scale · X Zᵀ for X = `activations` [rows, d] and Z = `features` [K, d].
pub fn projection(recording: &mut Recording, activations: Matrix, features: Matrix, projections: Matrix, scale: f32) {
    assert_eq!(activations.columns, features.columns, "projection: neurons");
    recording.dispatch(
        &PROJECTION,
        activations.element,
        &Params {
            rows: activations.rows,
            columns: activations.columns,
            stride: activations.stride,
            rank: features.rows,
            feature_stride: features.stride,
            out_stride: projections.stride,
            first: activations.first,
            scale,
        },
        &[activations.resource, features.resource, projections.resource],
        [activations.rows, features.rows, 1],
        Cost {
            moved: vec![
                activations.read(),
                features.read(),
                Moved::written(u64::from(activations.rows) * u64::from(features.rows) * 4),
            ],
            flops: 2 * u64::from(activations.rows) * u64::from(features.rows) * u64::from(activations.columns),
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let (p, element) = (call.params::<Params>(), call.element);
    let [activations, features, out] = bindings else { unreachable!() };
    let (rank, stride, out_stride) = (p.rank as usize, p.feature_stride as usize, p.out_stride as usize);
    let operands = Projected {
        activations: Elements::from(activations.bytes(), p.first, element, p.stride),
        neurons: p.columns as usize,
        features: &features.read::<f32>()[..rank * stride],
        stride,
        rank,
        scale: p.scale,
    };
    dense_projection(&operands, &mut out.write::<f32>()[..p.rows as usize * out_stride], out_stride);
}
