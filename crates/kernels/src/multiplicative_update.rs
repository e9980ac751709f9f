//! The multiplicative update of the coefficients (Ding, Li and Jordan 2010, as in Shafran et al. 2026).

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::cpu::with_scratch;
use crate::{Access, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, PORTABLE, Recording};

/// Tokens that a workgroup handles.
pub const TOKENS: u32 = 64;
/// Features that a workgroup handles.
pub const FEATURES: u32 = 16;

/// The kernel's metadata.
pub static MULTIPLICATIVE_UPDATE: Kernel = Kernel {
    name: "multiplicative_update",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    gram_stride: u32,
    epsilon: f32,
    floor: f32,
}

/// Records Y ← max(floor, Y₀ ⊙ √((P⁺ + Y₀Q⁻) / (P⁻ + Y₀Q⁺ + ε))) with Y₀ = `previous`, P = `projections` [rows, K],
/// Q = `feature_gram` [K, K], M⁺ = max(M, 0), M⁻ = max(−M, 0).
pub fn multiplicative_update(
    recording: &mut Recording,
    projections: Matrix,
    feature_gram: Matrix,
    previous: Matrix,
    coefficients: Matrix,
    epsilon: f32,
    floor: f32,
) {
    assert_eq!(projections.stride, coefficients.stride, "multiplicative update: strides");
    let (rows, rank) = (u64::from(coefficients.rows), u64::from(coefficients.columns));
    recording.dispatch(
        &MULTIPLICATIVE_UPDATE,
        ElementType::F32,
        &Params {
            rows: coefficients.rows,
            rank: coefficients.columns,
            stride: coefficients.stride,
            gram_stride: feature_gram.stride,
            epsilon,
            floor,
        },
        &[projections.resource, feature_gram.resource, previous.resource, coefficients.resource],
        [coefficients.rows.div_ceil(TOKENS), coefficients.columns.div_ceil(FEATURES), 1],
        Cost {
            moved: vec![projections.read(), feature_gram.read(), previous.read(), coefficients.written()],
            flops: 4 * rows * rank * rank,
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [projections, gram, previous, coefficients] = bindings else { unreachable!() };
    let (rows, rank, stride, gram_stride) =
        (p.rows as usize, p.rank as usize, p.stride as usize, p.gram_stride as usize);
    let gram = &gram.read::<f32>()[..rank * gram_stride];
    let positive: Vec<f32> = gram.iter().map(|q| q.max(0.0)).collect();
    let negative: Vec<f32> = gram.iter().map(|q| (-q).max(0.0)).collect();
    let half = |values| MatRef::from_column_major_slice_with_stride(values, rank, rank, gram_stride);
    let (positive, negative) = (half(&positive), half(&negative));
    let block = TOKENS as usize * stride;
    coefficients.write::<f32>()[..rows * stride]
        .par_chunks_mut(block)
        .zip(previous.read::<f32>()[..rows * stride].par_chunks(block))
        .zip(projections.read::<f32>()[..rows * stride].par_chunks(block))
        .for_each(|((coefficients, previous), projections)| {
            let count = previous.len() / stride;
            with_scratch(2 * count * rank, |scratch| {
                let (raises, lowers) = scratch.split_at_mut(count * rank);
                // The matrices are transposed, [K, tokens] column-major. Q is symmetric, so it needs no transposition.
                let tokens = MatRef::from_column_major_slice_with_stride(previous, rank, count, stride);
                for (out, gram) in [(&mut *raises, negative), (&mut *lowers, positive)] {
                    let out = MatMut::from_column_major_slice_mut(out, rank, count);
                    matmul(out, Accum::Replace, gram, tokens, 1.0, Par::Seq);
                }
                for i in 0..count {
                    let row = i * stride..i * stride + rank;
                    let products = raises[i * rank..].iter().zip(&lowers[i * rank..]);
                    let old = previous[row.clone()].iter().zip(&projections[row.clone()]);
                    for ((y, (&old, &p_ik)), (raise, lower)) in coefficients[row].iter_mut().zip(old).zip(products) {
                        let ratio = (p_ik.max(0.0) + raise) / ((-p_ik).max(0.0) + lower + p.epsilon);
                        let new = old * ratio.sqrt();
                        // Subnormals would make every later product ten times slower.
                        let new = if new < f32::MIN_POSITIVE { 0.0 } else { new };
                        *y = if new.is_finite() { new } else { old }.max(p.floor);
                    }
                }
            });
        });
}
