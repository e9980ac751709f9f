//! Keeps the best iterate: copies a matrix if the loss of this iteration is the least so far. The host is not asked.

use crate::loss::STATE_WORDS;
use crate::{
    Access, BufferId, Call, Cost, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups,
};

/// The kernel's metadata.
pub static KEEP_BEST: Kernel = Kernel {
    name: "keep_best",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
}

/// Records `best` ← `current` if `state` (see [`loss`](crate::loss())) says that this iteration is the best.
pub fn keep_best(recording: &mut Recording, state: BufferId, current: Matrix, best: Matrix) {
    assert_eq!((current.rows, current.stride), (best.rows, best.stride), "keep best: shapes");
    let vectors = current.elements() / 4;
    recording.dispatch(
        &KEEP_BEST,
        ElementType::F32,
        &Params { count: vectors as u32 },
        &[state.into(), current.resource, best.resource],
        [workgroups(vectors.div_ceil(256)), 1, 1],
        Cost {
            // The cost is that of an iteration that is the best so far. The others move nothing.
            moved: vec![Moved::read(u64::from(STATE_WORDS) * 4), current.read(), best.written()],
            flops: 0,
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [state, current, best] = bindings else { unreachable!() };
    if state.read::<u32>()[2] != 0 {
        let count = p.count as usize * 4;
        best.write::<u32>()[..count].copy_from_slice(&current.read::<u32>()[..count]);
    }
}
