//! The inner product of two matrices, in partial sums that the host adds in f64.

use rayon::prelude::*;

use crate::cpu::{LANES, arch, split_f64};
use crate::{Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording};

/// Number of partial sums.
pub const PARTIALS: u32 = 256;
/// 32-bit words of a buffer of partial sums. Each sum is a pair (hi, lo).
pub const PARTIAL_WORDS: u32 = 2 * PARTIALS;

/// The kernel's metadata.
pub static INNER_PRODUCT: Kernel = Kernel {
    name: "inner_product",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    accumulate: u32,
    zero: u32,
}

/// Records `partials` (+)= shares of ⟨a, b⟩ = Σ a_ij b_ij. The matrices have the same shape and stride, and zeros in
/// their padding. Each of the 256 sums is an f32 pair (hi, lo), because a loss must resolve changes below the precision
/// of a single f32.
pub fn inner_product(recording: &mut Recording, a: Matrix, b: Matrix, partials: BufferId, accumulate: bool) {
    assert_eq!((a.rows, a.stride), (b.rows, b.stride), "inner product: shapes");
    recording.dispatch(
        &INNER_PRODUCT,
        ElementType::F32,
        &Params { count: (a.elements() / 4) as u32, accumulate: accumulate.into(), zero: 0 },
        &[a.resource, b.resource, partials.into()],
        [PARTIALS, 1, 1],
        Cost {
            moved: vec![a.read(), b.read(), Moved::summed(u64::from(PARTIAL_WORDS) * 4, accumulate)],
            flops: 2 * a.elements(),
        },
    );
}

/// The total of partial sums that were read back from a device.
pub fn sum_partials(partials: &[f32]) -> f64 {
    partials.iter().map(|&v| f64::from(v)).sum()
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [a, b, partials] = bindings else { unreachable!() };
    let count = p.count as usize * 4;
    let (a, b) = (&a.read::<f32>()[..count], &b.read::<f32>()[..count]);
    sum_products(a, b, partials.write(), p.accumulate != 0);
}

/// Writes the partial sums of ⟨a, b⟩, or adds to them.
pub(crate) fn sum_products(a: &[f32], b: &[f32], partials: &mut [f32], accumulate: bool) {
    let count = a.len();
    let share = count.div_ceil(PARTIALS as usize).max(1);
    partials.par_chunks_exact_mut(2).with_min_len(32).enumerate().for_each(|(i, pair)| {
        let range = (i * share).min(count)..((i + 1) * share).min(count);
        let old = if accumulate { f64::from(pair[0]) + f64::from(pair[1]) } else { 0.0 };
        let sum = arch().dispatch(
            #[inline(always)]
            || sum_of_products(&a[range.clone()], &b[range]),
        );
        pair.copy_from_slice(&split_f64(old + sum));
    });
}

/// Σ aᵢ bᵢ, in sixteen sums that do not wait for one another.
#[inline(always)]
fn sum_of_products(a: &[f32], b: &[f32]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f64; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b));
    sums.into_iter().chain(rest).sum()
}
