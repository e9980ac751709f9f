//! Keeps the best iterate: copies a matrix, or two, if the loss of this iteration is the least so far. The host is not asked.

use crate::loss::STATE_WORDS;
use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, Variant,
    workgroups,
};

/// The kernel's metadata.
pub static KEEP_BEST: Kernel = Kernel {
    name: "keep_best",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

/// The metadata of the kernel for two matrices.
pub static KEEP_BEST_PAIR: Kernel = Kernel {
    name: "keep_best_pair",
    access: &[Access::Read, Access::Read, Access::ReadWrite, Access::Read, Access::ReadWrite],
    variants: &[Variant { shader: Some("keep_best"), features: &["pair"], ..Variant::PORTABLE }],
    ..KEEP_BEST
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

/// The same for two matrices of one shape. `pairs` has what is current and what is the best of each.
pub fn keep_best_pair(recording: &mut Recording, state: BufferId, pairs: [(Matrix, Matrix); 2]) {
    let shape = |matrix: Matrix| (matrix.rows, matrix.stride);
    let [(first, first_best), (second, second_best)] = pairs;
    for other in [first_best, second, second_best] {
        assert_eq!(shape(first), shape(other), "keep best: shapes");
    }
    let vectors = first.elements() / 4;
    let mut moved = vec![Moved::read(u64::from(STATE_WORDS) * 4)];
    moved.extend(pairs.iter().flat_map(|(current, best)| [current.read(), best.written()]));
    recording.dispatch(
        &KEEP_BEST_PAIR,
        ElementType::F32,
        &Params { count: vectors as u32 },
        &[state.into(), first.resource, first_best.resource, second.resource, second_best.resource],
        [workgroups(vectors.div_ceil(256)), 1, 1],
        Cost { moved, flops: 0 },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [state, pairs @ ..] = bindings else { unreachable!() };
    if state.read::<u32>()[2] != 0 {
        let count = p.count as usize * 4;
        for pair in pairs.chunks_exact_mut(2) {
            let [current, best] = pair else { unreachable!() };
            best.write::<u32>()[..count].copy_from_slice(&current.read::<u32>()[..count]);
        }
    }
}
