//! Squared Euclidean norm of each token's activations.

use rayon::prelude::*;

use crate::cpu::{Elements, arch, with_scratch};
use crate::{Access, BufferId, Call, Cost, CpuTwin, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups};

/// The kernel's metadata.
pub static SQUARED_NORM: Kernel = Kernel {
    name: "squared_norm",
    access: &[Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    first: u32,
    scale: f32,
}

/// Records norms\[i\] = Σⱼ (scale · x_ij)² for every row of `activations`.
pub fn squared_norm(recording: &mut Recording, activations: Matrix, norms: BufferId, scale: f32) {
    recording.dispatch(
        &SQUARED_NORM,
        activations.element,
        &Params {
            rows: activations.rows,
            columns: activations.columns,
            stride: activations.stride,
            first: activations.first,
            scale,
        },
        &[activations.resource, norms.into()],
        [workgroups(u64::from(activations.rows)), 1, 1],
        Cost {
            moved: vec![activations.read(), Moved::written(u64::from(activations.rows) * 4)],
            flops: 2 * u64::from(activations.rows) * u64::from(activations.columns),
        },
    );
}

/// Neurons over which one f32 sum is taken. These sums are added in f64.
const SUMMED: usize = 64;

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let (p, element) = (call.params::<Params>(), call.element);
    let [activations, norms] = bindings else { unreachable!() };
    let activations = Elements::from(activations.bytes(), p.first, element, p.stride);
    let arch = arch();
    norms.write::<f32>()[..p.rows as usize].par_iter_mut().with_min_len(16).enumerate().for_each(|(row, norm)| {
        *norm = with_scratch(p.columns as usize, |values| {
            activations.decode(row, 0, values);
            arch.dispatch(
                #[inline(always)]
                || sum_of_squares(values, p.scale),
            )
        });
    });
}

#[inline(always)]
fn sum_of_squares(values: &[f32], scale: f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<SUMMED>();
    let mut lanes = [0f64; 16];
    for chunk in chunks {
        let mut sums = [0f32; 16];
        for values in chunk.as_chunks::<16>().0 {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += (scale * value) * (scale * value);
            }
        }
        for (lane, sum) in lanes.iter_mut().zip(sums) {
            *lane += f64::from(sum);
        }
    }
    (lanes.iter().sum::<f64>() + rest.iter().map(|v| f64::from(v * scale).powi(2)).sum::<f64>()) as f32
}
