//! The largest magnitude of the activations. It also shows whether any of them is NaN or infinite.

use rayon::prelude::*;

use crate::cpu::{Elements, arch, magnitude, with_scratch};
use crate::{Access, BufferId, Call, Cost, CpuTwin, Kernel, Matrix, Memory, Moved, PORTABLE, Recording};

/// Number of partial maxima.
pub const PARTIALS: u32 = 256;

/// The kernel's metadata.
pub static ABSOLUTE_MAXIMUM: Kernel = Kernel {
    name: "absolute_maximum",
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
    accumulate: u32,
    first: u32,
}

/// Records partials\[w\] = max |x| over the rows of share w, as the bits of an f32. The order of these `u32` is that of
/// the magnitudes, and NaN and infinity give 0x7f800000 or more. With `accumulate` the old partial maxima are kept.
pub fn absolute_maximum(recording: &mut Recording, activations: Matrix, partials: BufferId, accumulate: bool) {
    recording.dispatch(
        &ABSOLUTE_MAXIMUM,
        activations.element,
        &Params {
            rows: activations.rows,
            columns: activations.columns,
            stride: activations.stride,
            accumulate: accumulate.into(),
            first: activations.first,
        },
        &[activations.resource, partials.into()],
        [PARTIALS, 1, 1],
        Cost { moved: vec![activations.read(), Moved::summed(u64::from(PARTIALS) * 4, accumulate)], flops: 0 },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let (p, element) = (call.params::<Params>(), call.element);
    let [activations, partials] = bindings else { unreachable!() };
    let activations = Elements::from(activations.bytes(), p.first, element, p.stride);
    partials.write::<u32>()[..PARTIALS as usize].par_iter_mut().enumerate().for_each(|(share, partial)| {
        let mut largest = if p.accumulate != 0 { *partial } else { 0 };
        with_scratch(p.columns as usize, |row_values| {
            for row in (share..p.rows as usize).step_by(PARTIALS as usize) {
                activations.decode(row, 0, row_values);
                arch().dispatch(
                    #[inline(always)]
                    || largest = row_values.iter().fold(largest, |m, v| m.max(magnitude(*v))),
                );
            }
        });
        *partial = largest;
    });
}
