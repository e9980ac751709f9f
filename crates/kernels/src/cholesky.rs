//! Cholesky factorization with a ridge of the coefficient Gram matrix: the first half of projected least squares.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::{Mat, MatMut, Par};

use crate::cholesky_step::cholesky_steps;
use crate::{
    Access, BufferId, Call, Chain, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, Needs, Recording,
    Resource, Variant, Workspace,
};

/// The kernel's metadata.
pub static CHOLESKY: Kernel = Kernel {
    name: "cholesky",
    access: &[Access::Read, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: &[
        Variant {
            name: "sixteen_loads",
            features: &["sixteen_loads"],
            needs: Needs { many_registers: true, ..Needs::PORTABLE },
            ..Variant::PORTABLE
        },
        Variant { name: "eight_loads", ..Variant::PORTABLE },
    ],
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    stride: u32,
    ridge: f32,
    relative: u32,
}

/// What is added to the diagonal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ridge {
    /// This much, as published.
    Absolute(f32),
    /// This share of the mean diagonal.
    Relative(f32),
}

impl Ridge {
    /// The number, and 1 if it is a share of the mean diagonal.
    pub(crate) fn params(self) -> (f32, u32) {
        match self {
            Ridge::Absolute(ridge) => (ridge, 0),
            Ridge::Relative(ridge) => (ridge, 1),
        }
    }
}

/// Attempts of a factorization in one dispatch. Each has a ridge ten times that of the one before: 1e-7 of the mean
/// diagonal grows to 1e4 of it, which always factorizes.
const ATTEMPTS: u32 = 12;
const GROWTH: f64 = 10.0;

/// Rank up to which the factorization is one dispatch, with a workgroup for each attempt.
const ONE_DISPATCH: u32 = 512;

/// 32-bit words of the status, one for each attempt. They end with that of the first attempt that succeeded.
pub const STATUS_WORDS: u32 = ATTEMPTS;

/// An attempt failed.
pub(crate) const FAILED: u32 = 1;
/// An attempt succeeded.
pub(crate) const SUCCEEDED: u32 = 2;

/// How many attempts a factorization with this status took, or 0 if there was none.
pub(crate) fn attempts_of(status: &[u32]) -> u32 {
    let status = &status[..STATUS_WORDS as usize];
    let failed = status.iter().take_while(|&&word| word == FAILED).count();
    (failed + usize::from(status.get(failed) == Some(&SUCCEEDED))) as u32
}

/// A place for the Cholesky factor of a Gram matrix, which only [`cholesky`] and
/// [`triangular_solve`](crate::triangular_solve()) need to understand.
#[derive(Clone, Copy, Debug)]
pub struct CholeskyFactor {
    /// Up to a rank of 512 a factor [K, K] for each attempt, above that a single one, and a further row for work.
    pub(crate) factors: Matrix,
    /// How the attempts ended: [`STATUS_WORDS`] words.
    pub status: BufferId,
}

impl CholeskyFactor {
    /// A factor for `rank` features, in new buffers.
    pub fn in_workspace(workspace: &mut Workspace, rank: u32) -> Self {
        let rows = if rank <= ONE_DISPATCH { rank * ATTEMPTS } else { rank + 1 };
        CholeskyFactor {
            factors: workspace.matrix("Cholesky factor", rows, rank),
            status: workspace.words("Cholesky status", STATUS_WORDS.into()),
        }
    }

    /// K.
    pub fn rank(&self) -> u32 {
        self.factors.columns
    }

    /// The first of the factors [K, K]. If the first attempt succeeded, it is the one.
    pub fn first(&self) -> Matrix {
        self.factors.first_rows(self.rank())
    }

    /// How many factors there are.
    pub(crate) fn count(&self) -> u32 {
        self.factors.rows / self.rank()
    }

    /// What a kernel is given.
    pub(crate) fn resources(&self) -> [Resource; 2] {
        [self.factors.resource, self.status.into()]
    }
}

/// Records `factor` = U with UᵀU = G + ridge·I. U is upper triangular, row-major [K, K]. Below the diagonal is its
/// mirror image, so that rows and columns can both be read in order. A feature without coefficients (G_kk = 0) gets a
/// unit diagonal. The smallest ridge is taken that makes G positive definite: the given one, or that times a power of
/// ten (of 100 if K is larger than 512).
pub fn cholesky(recording: &mut Recording, gram: Matrix, factor: CholeskyFactor, ridge: Ridge) {
    if gram.rows > ONE_DISPATCH {
        return cholesky_steps(recording, gram, factor, ridge);
    }
    let (ridge, relative) = ridge.params();
    let rank = u64::from(gram.rows);
    let [factors, status] = factor.resources();
    let recorded = recording.dispatch(
        &CHOLESKY,
        ElementType::F32,
        &Params { rank: gram.rows, stride: gram.stride, ridge, relative },
        &[gram.resource, factors, status],
        [ATTEMPTS, 1, 1],
        Cost {
            // The first attempt alone. The others run beside it.
            moved: vec![gram.read(), factor.first().written(), Moved::written(u64::from(STATUS_WORDS) * 4)],
            flops: rank * rank * rank / 3,
        },
    );
    recorded.chain = chain(rank);
}

/// What the shader does one after the other. A root and the quotients by it count as a barrier each.
fn chain(rank: u64) -> Chain {
    const BLOCK: u64 = 16;
    const CHUNK: u64 = 128;
    let tiles = rank.div_ceil(256);
    let mut chain = Chain::default();
    for first in (0..rank).step_by(BLOCK as usize) {
        let rest = rank.saturating_sub(first + BLOCK);
        let chunks = rest.div_ceil(CHUNK);
        // Below the block, a thread loads 16 rows of its column at a time.
        chain.barriers += 3 * BLOCK + 6 + 2 * chunks;
        chain.loads += 1 + tiles + chunks * (1 + tiles) + tiles * rest.div_ceil(BLOCK);
    }
    chain
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

/// A Gram matrix [K, K] with rows `stride` apart, and what is added to its diagonal.
pub(crate) struct Ridged<'a> {
    pub gram: &'a [f32],
    pub rank: usize,
    pub stride: usize,
    /// As in a kernel's parameters.
    pub ridge: (f32, u32),
}

impl Ridged<'_> {
    /// One attempt with `scale` times the ridge. It writes U and its mirror image. Returns `false` if it fails.
    pub fn attempt(&self, scale: f64, factor: &mut [f32]) -> bool {
        let &Ridged { gram, rank, stride, ridge: (ridge, relative) } = self;
        let diagonal = |k: usize| f64::from(gram[k * (stride + 1)]);
        let mean = (0..rank).map(diagonal).sum::<f64>() / rank as f64;
        let ridge = scale * f64::from(ridge) * if relative != 0 { mean } else { 1.0 };
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
        let lower = &mut matrix;
        if !factorize(lower.as_mut()) || !(0..rank).all(|k| lower[(k, k)].is_finite() && lower[(k, k)] > 0.0) {
            return false;
        }
        for p in 0..rank {
            for i in 0..rank {
                factor[p * stride + i] = lower[(i.max(p), i.min(p))] as f32;
            }
        }
        true
    }
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, factors, status] = bindings else { unreachable!() };
    let (rank, stride) = (p.rank as usize, p.stride as usize);
    let ridged = Ridged { gram: gram.read::<f32>(), rank, stride, ridge: (p.ridge, p.relative) };
    let (factors, status) = (factors.write::<f32>(), status.write::<u32>());
    for attempt in 0..ATTEMPTS as usize {
        let good = ridged.attempt(GROWTH.powi(attempt as i32), &mut factors[attempt * rank * stride..]);
        status[attempt] = if good { SUCCEEDED } else { FAILED };
        if good {
            return;
        }
    }
}
