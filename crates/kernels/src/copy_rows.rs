//! Copies rows of a panel, or a sample of its rows, in the type in which they are stored.

use rayon::prelude::*;

use crate::cpu::Elements;
use crate::{Access, Call, Cost, CpuTwin, Kernel, Matrix, Memory, PORTABLE, Recording, workgroups};

/// The kernel's metadata.
pub static COPY_ROWS: Kernel = Kernel {
    name: "copy_rows",
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
    first: u32,
    stride: u32,
    out_stride: u32,
}

/// Records out = x for X = `activations` [rows, d]. X may be [a sample](Matrix::sampled) of a panel. `out` [rows, d]
/// has the same element type.
pub fn copy_rows(recording: &mut Recording, activations: Matrix, out: Matrix) {
    let shape = |matrix: Matrix| (matrix.rows, matrix.columns, matrix.element);
    assert_eq!(shape(activations), shape(out), "copy of rows: shapes");
    assert_eq!(out.first, 0, "copy of rows: the first row's place");
    recording.dispatch(
        &COPY_ROWS,
        activations.element,
        &Params {
            rows: out.rows,
            columns: out.columns,
            first: activations.first,
            stride: activations.stride,
            out_stride: out.stride,
        },
        &[activations.resource, out.resource],
        [workgroups(u64::from(out.rows)), 1, 1],
        Cost { moved: vec![activations.read(), out.written()], flops: 0 },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let (p, element) = (call.params::<Params>(), call.element);
    let [activations, out] = bindings else { unreachable!() };
    let activations = Elements::from(activations.bytes(), p.first, element, p.stride);
    let rows = out.write::<u8>().par_chunks_mut(p.out_stride as usize * element.bytes());
    rows.take(p.rows as usize).enumerate().for_each(|(row, out)| {
        let from = activations.bytes(row, 0, p.columns as usize);
        out[..from.len()].copy_from_slice(from);
    });
}
