//! Copies the activations of chosen tokens out of a panel.

use crate::cpu::Elements;
use crate::{Access, BufferId, Call, Cost, CpuTwin, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups};

/// The kernel's metadata.
pub static GATHER_ROWS: Kernel = Kernel {
    name: "gather_rows",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    first_row: u32,
    rows: u32,
    columns: u32,
    stride: u32,
    count: u32,
    out_stride: u32,
    scale: f32,
    first: u32,
}

/// Records out\[r\] = scale · x\[indices\[r\]\] for each row of `out` whose token lies in this panel. The panel starts
/// at token `first_row` of the whole matrix. Other rows of `out` keep their values, so that one call for each panel
/// fills all of them.
pub fn gather_rows(
    recording: &mut Recording,
    activations: Matrix,
    first_row: u32,
    indices: BufferId,
    out: Matrix,
    scale: f32,
) {
    recording.dispatch(
        &GATHER_ROWS,
        activations.element,
        &Params {
            first_row,
            rows: activations.rows,
            columns: activations.columns,
            stride: activations.stride,
            count: out.rows,
            out_stride: out.stride,
            scale,
            first: activations.first,
        },
        &[activations.resource, indices.into(), out.resource],
        [workgroups(u64::from(out.rows)), 1, 1],
        Cost {
            // The cost is that of a panel that holds all of these tokens.
            moved: vec![
                activations.first_rows(out.rows.min(activations.rows)).read(),
                Moved::read(u64::from(out.rows) * 4),
                out.written(),
            ],
            flops: 0,
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let (p, element) = (call.params::<Params>(), call.element);
    let [activations, indices, out] = bindings else { unreachable!() };
    let activations = Elements::from(activations.bytes(), p.first, element, p.stride);
    let rows = out.write::<f32>().chunks_mut(p.out_stride as usize).take(p.count as usize);
    for (row, &index) in rows.zip(indices.read::<u32>()) {
        if (p.first_row..p.first_row + p.rows).contains(&index) {
            let row = &mut row[..p.columns as usize];
            activations.decode((index - p.first_row) as usize, 0, row);
            row.iter_mut().for_each(|v| *v *= p.scale);
        }
    }
}
