//! Sums partial results in a fixed order, so that a run repeats to the bit.

use rayon::prelude::*;

use crate::{
    Access, BufferId, Call, Cost, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups,
};

/// The kernel's metadata.
pub static FIXED_ORDER_SUM: Kernel = Kernel {
    name: "fixed_order_sum",
    access: &[Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    parts: u32,
    accumulate: u32,
}

/// Records `out` (+)= the sum, from first to last, of the `parts` matrices of the size of `out` that lie one after the
/// other in `partials`.
pub fn fixed_order_sum(recording: &mut Recording, partials: BufferId, out: Matrix, parts: u32, accumulate: bool) {
    let vectors = out.elements() / 4;
    recording.dispatch(
        &FIXED_ORDER_SUM,
        ElementType::F32,
        &Params { count: vectors as u32, parts, accumulate: accumulate.into() },
        &[partials.into(), out.resource],
        [workgroups(vectors.div_ceil(256)), 1, 1],
        Cost {
            moved: vec![Moved::read(u64::from(parts) * out.bytes()), Moved::summed(out.bytes(), accumulate)],
            flops: u64::from(parts) * out.elements(),
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [partials, out] = bindings else { unreachable!() };
    let count = p.count as usize * 4;
    let partials = partials.read::<f32>();
    out.write::<f32>()[..count].par_iter_mut().with_min_len(1 << 14).enumerate().for_each(|(i, out)| {
        let start = if p.accumulate != 0 { *out } else { 0.0 };
        *out = (0..p.parts as usize).fold(start, |sum, part| sum + partials[part * count + i]);
    });
}
