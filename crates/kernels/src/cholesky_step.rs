//! A block of rows of the Cholesky factorization of a large Gram matrix, over many workgroups.

use crate::cholesky::{CholeskyFactor, FAILED, Ridge, Ridged, STATUS_WORDS, SUCCEEDED};
use crate::{Access, Call, Chain, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording};

/// Rows of a block.
const BLOCK: u32 = 32;
/// Rows and columns of a workgroup's tile.
const TILE: u32 = 64;
/// Attempts of a factorization, each with a ridge 100 times that of the one before: 1e-7 of the mean diagonal grows to
/// 1e3 of it, which always factorizes. Attempts that are not needed are dispatches without work, so they are few.
const ATTEMPTS: u32 = 6;
const GROWTH: f64 = 100.0;

/// The kernel's metadata.
pub static CHOLESKY_STEP: Kernel = Kernel {
    name: "cholesky_step",
    access: &[Access::Read, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    stride: u32,
    ridge: f32,
    relative: u32,
    first: u32,
    attempt: u32,
    attempts: u32,
}

/// Records all blocks of all attempts. Attempts after the first that succeeds do nothing.
pub(crate) fn cholesky_steps(recording: &mut Recording, gram: Matrix, factor: CholeskyFactor, ridge: Ridge) {
    let (ridge, relative) = ridge.params();
    let [factors, status] = factor.resources();
    for attempt in 0..ATTEMPTS {
        let ridge = (f64::from(ridge) * GROWTH.powi(attempt as i32)) as f32;
        for first in (0..gram.rows).step_by(BLOCK as usize) {
            let params = Params {
                rank: gram.rows,
                stride: gram.stride,
                ridge,
                relative,
                first,
                attempt,
                attempts: STATUS_WORDS,
            };
            let rest = gram.rows.saturating_sub(first + BLOCK);
            let tiles = rest.div_ceil(TILE).max(1);
            let recorded = recording.dispatch(
                &CHOLESKY_STEP,
                ElementType::F32,
                &params,
                &[gram.resource, factors, status],
                [tiles, tiles, 1],
                if attempt == 0 { cost(gram, first, rest) } else { Cost::default() },
            );
            // A root and the quotients by it count as a barrier each.
            recorded.chain = Chain { barriers: 3 * u64::from(BLOCK) + 6, loads: 4, ..Chain::default() };
        }
    }
}

/// What a block of the first attempt costs.
fn cost(gram: Matrix, first: u32, rest: u32) -> Cost {
    let (block, rest) = (u64::from(BLOCK), u64::from(rest));
    let bytes = (rest * rest / 2 + block * rest) * 4;
    let from_gram = first == 0;
    Cost {
        moved: vec![
            if from_gram { gram.read() } else { Moved::read(0) },
            if from_gram { Moved::written(bytes) } else { Moved::updated(bytes) },
            Moved::updated(u64::from(STATUS_WORDS) * 4),
        ],
        flops: block * rest * rest + 2 * block * block * rest + block * block * block / 3,
    }
}

/// On a CPU the first block's dispatch does an attempt, and the others have nothing to do.
fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, factor, status] = bindings else { unreachable!() };
    let status = status.write::<u32>();
    let (before, rest) = status.split_at_mut(p.attempt as usize);
    if p.first > 0 || before.contains(&SUCCEEDED) {
        return;
    }
    rest[..(p.attempts - p.attempt) as usize].fill(0);
    let ridge = (p.ridge, p.relative);
    let ridged = Ridged { gram: gram.read::<f32>(), rank: p.rank as usize, stride: p.stride as usize, ridge };
    rest[0] = if ridged.attempt(1.0, factor.write::<f32>()) { SUCCEEDED } else { FAILED };
}
