//! Cholesky factorization with a ridge of the coefficient Gram matrix: the first half of projected least squares.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::{Mat, MatMut, Par};

use crate::{Access, BufferId, Call, Cost, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording};

/// The kernel's metadata.
pub static CHOLESKY: Kernel = Kernel {
    name: "cholesky",
    access: &[Access::Read, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    stride: u32,
    ridge: f32,
    relative: u32,
    attempts: u32,
}

/// What is added to the diagonal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ridge {
    /// This much, as published.
    Absolute(f32),
    /// This share of the mean diagonal.
    Relative(f32),
}

/// Most attempts. Each has a ridge ten times that of the one before: 1e-7 of the mean diagonal grows to 1e4 of it,
/// which always factorizes.
const ATTEMPTS: u32 = 12;

/// 32-bit words of the status: the number of attempts, which is 1 if the first one succeeded, and two spare words.
pub const STATUS_WORDS: u32 = 4;

/// Records `factor` = U with UᵀU = G + ridge·I. U is upper triangular, row-major [K, K]. Below the diagonal is its
/// mirror image, so that rows and columns can both be read in order. A feature without coefficients (G_kk = 0) gets a
/// unit diagonal. On failure the work starts again with a ridge ten times as large.
pub fn cholesky(recording: &mut Recording, gram: Matrix, factor: Matrix, status: BufferId, ridge: Ridge) {
    let (ridge, relative) = match ridge {
        Ridge::Absolute(ridge) => (ridge, 0),
        Ridge::Relative(ridge) => (ridge, 1),
    };
    let rank = u64::from(gram.rows);
    recording.dispatch(
        &CHOLESKY,
        ElementType::F32,
        &Params { rank: gram.rows, stride: gram.stride, ridge, relative, attempts: ATTEMPTS },
        &[gram.resource, factor.resource, status.into()],
        [1, 1, 1],
        Cost {
            moved: vec![gram.read(), factor.written(), Moved::written(u64::from(STATUS_WORDS) * 4)],
            flops: rank * rank * rank / 3,
        },
    );
}

/// Rank up to which one thread is faster than several.
const SMALL: usize = 200;

/// Replaces a symmetric matrix by its lower Cholesky factor. What is above the diagonal becomes arbitrary. Returns
/// `false` if the matrix is not positive definite.
fn factorize(matrix: MatMut<'_, f64>) -> bool {
    let rank = matrix.nrows();
    let threads = if rank <= SMALL { Par::Seq } else { Par::rayon(0) };
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(rank, threads, Default::default()));
    let stack = MemStack::new(&mut memory);
    cholesky_in_place(matrix, Default::default(), threads, stack, Default::default()).is_ok()
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, factor, status] = bindings else { unreachable!() };
    let (rank, stride) = (p.rank as usize, p.stride as usize);
    let gram = gram.read::<f32>();
    let diagonal = |k: usize| f64::from(gram[k * (stride + 1)]);
    let mean = (0..rank).map(diagonal).sum::<f64>() / rank as f64;
    let mut ridge = f64::from(p.ridge) * if p.relative != 0 { mean } else { 1.0 };
    let factor = factor.write::<f32>();
    let status = status.write::<u32>();
    status[1] = 0;
    for attempt in 1..=p.attempts {
        status[0] = attempt;
        let mut matrix = Mat::from_fn(rank, rank, |i, j| match f64::from(gram[i * stride + j]) {
            value if i == j => {
                if value > 0.0 {
                    value + ridge
                } else {
                    1.0
                }
            }
            value => value,
        });
        if factorize(matrix.as_mut()) {
            let lower = &matrix;
            if (0..rank).all(|k| lower[(k, k)].is_finite() && lower[(k, k)] > 0.0) {
                for p in 0..rank {
                    for i in 0..rank {
                        factor[p * stride + i] = lower[(i.max(p), i.min(p))] as f32;
                    }
                }
                status[1] = 1;
                return;
            }
        }
        ridge *= 10.0;
    }
}
