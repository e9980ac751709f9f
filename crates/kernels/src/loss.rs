//! The loss from the Gram identity, ‖X − YZ‖² = ‖X‖² − 2⟨Y, P⟩ + ⟨YᵀY, ZZᵀ⟩, and whether it is the least so far.

use crate::cholesky::attempts_of;
use crate::inner_product::{PARTIAL_WORDS, sum_partials};
use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording,
    STATUS_WORDS,
};

/// The kernel's metadata.
pub static LOSS: Kernel = Kernel {
    name: "loss",
    access: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::ReadWrite,
        Access::ReadWrite,
    ],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    gram_stride: u32,
    squared_norm: f32,
    zero: u32,
}

/// How far a loss from the Gram identity may be off, as a share of the energies involved. This is a few roundings of an
/// f32.
const ROUNDING: f64 = 1.0 / (1 << 21) as f64;

/// 32-bit words of the state: iteration, least bound of a loss (f32 bits), whether this iteration is the best, the best
/// iteration.
pub const STATE_WORDS: u32 = 4;
const HEADER_WORDS: usize = 4;

/// 32-bit words of a report for `rank` features.
pub const fn report_words(rank: u32) -> u32 {
    HEADER_WORDS as u32 + 2 * PARTIAL_WORDS + rank
}

/// What the device reports about an iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Iterations before this one.
    pub iteration: u32,
    /// Whether the device kept this iterate as the best.
    pub is_best: bool,
    /// Attempts of the last Cholesky factorization before the report; 0 if there was none.
    pub factorization_attempts: u32,
    /// How far the loss may be off: 2⁻²¹ (‖X‖² + Σₖ ‖yₖ‖²‖zₖ‖²). This is large if features nearly cancel one another.
    pub uncertainty: f64,
    /// ⟨Y, P⟩.
    pub inner: f64,
    /// ⟨YᵀY, ZZᵀ⟩.
    pub gram: f64,
    /// Squared norms of the columns of the coefficients. A zero means a dead feature.
    pub column_energy: Vec<f32>,
}

impl Report {
    /// Reads a report of [`report_words`] words. `None` if the device has not written it: a lost device may leave zeros.
    pub fn parse(words: &[u32]) -> Option<Self> {
        let (header, rest) = words.split_at(HEADER_WORDS);
        let (inner, rest) = rest.split_at(PARTIAL_WORDS as usize);
        let (gram, energy) = rest.split_at(PARTIAL_WORDS as usize);
        Some(Report {
            iteration: header[0].checked_sub(1)?,
            factorization_attempts: header[3],
            is_best: header[1] != 0,
            uncertainty: f64::from(f32::from_bits(header[2])),
            inner: sum_partials(bytemuck::cast_slice(inner)),
            gram: sum_partials(bytemuck::cast_slice(gram)),
            column_energy: bytemuck::cast_slice(energy).to_vec(),
        })
    }

    /// ‖X − YZ‖² in units of the scaled activations, given their ‖X‖². If the loss is smaller than its uncertainty, the
    /// uncertainty is returned, because no less can be claimed. NaN if the iterate is not finite.
    pub fn loss(&self, squared_norm: f64) -> f64 {
        let loss = squared_norm - 2.0 * self.inner + self.gram;
        if loss < self.uncertainty { self.uncertainty } else { loss }
    }
}

/// Where the terms of a loss are.
#[derive(Clone, Copy, Debug)]
pub struct LossTerms {
    /// ⟨Y, P⟩, from [`inner_product`](crate::inner_product()).
    pub inner: BufferId,
    /// ⟨YᵀY, ZZᵀ⟩, also from [`inner_product`](crate::inner_product()).
    pub gram_terms: BufferId,
    /// YᵀY [K, K].
    pub coefficient_gram: Matrix,
    /// ZZᵀ [K, K].
    pub feature_gram: Matrix,
    /// Status of the last factorization, from [`cholesky`](crate::cholesky()), which the report repeats.
    pub factorization: BufferId,
}

/// Records the loss of the iterate with these `terms`, updates `state` and writes a [`Report`]. The best iterate is the
/// one with the least loss plus uncertainty. A loss that is not finite is never the best.
pub fn loss(recording: &mut Recording, terms: LossTerms, state: BufferId, report: BufferId, squared_norm: f32) {
    let LossTerms { inner, gram_terms, coefficient_gram, feature_gram, factorization } = terms;
    assert_eq!(
        (coefficient_gram.rows, coefficient_gram.stride),
        (feature_gram.rows, feature_gram.stride),
        "loss: Gram matrices"
    );
    let words = |words: u32| u64::from(words) * 4;
    recording.dispatch(
        &LOSS,
        ElementType::F32,
        &Params { rank: coefficient_gram.rows, gram_stride: coefficient_gram.stride, squared_norm, zero: 0 },
        &[
            inner.into(),
            gram_terms.into(),
            coefficient_gram.resource,
            feature_gram.resource,
            factorization.into(),
            state.into(),
            report.into(),
        ],
        [1, 1, 1],
        Cost {
            moved: vec![
                Moved::read(words(PARTIAL_WORDS)),
                Moved::read(words(PARTIAL_WORDS)),
                Moved::read(words(coefficient_gram.rows)),
                Moved::read(words(coefficient_gram.rows)),
                Moved::read(words(STATUS_WORDS)),
                Moved::updated(words(STATE_WORDS)),
                Moved::written(words(report_words(coefficient_gram.rows))),
            ],
            flops: u64::from(PARTIAL_WORDS) * 2,
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [inner, gram_terms, gram, feature_gram, factorization, state, report] = bindings else { unreachable!() };
    let inner = &inner.read::<u32>()[..PARTIAL_WORDS as usize];
    let gram_terms = &gram_terms.read::<u32>()[..PARTIAL_WORDS as usize];
    let sum = |words: &[u32]| sum_partials(bytemuck::cast_slice(words));
    let diagonal = |k: usize| k * (p.gram_stride as usize + 1);
    let (gram, feature_gram) = (gram.read::<f32>(), feature_gram.read::<f32>());
    let energies = (0..p.rank as usize).map(|k| f64::from(gram[diagonal(k)]) * f64::from(feature_gram[diagonal(k)]));
    let uncertainty = ROUNDING * (f64::from(p.squared_norm) + energies.sum::<f64>());
    let loss = f64::from(p.squared_norm) - 2.0 * sum(inner) + sum(gram_terms);
    // Rounding may also make a loss negative.
    let bound = (loss.max(0.0) + uncertainty) as f32;
    let state = state.write::<u32>();
    let best = f32::from_bits(state[1]);
    let is_best = loss.is_finite() && bound.is_finite() && (state[0] == 0 || !best.is_finite() || bound < best);
    let attempts = attempts_of(factorization.read());
    let header = [state[0] + 1, is_best.into(), (uncertainty as f32).to_bits(), attempts];
    if is_best {
        state[1] = bound.to_bits();
        state[3] = state[0];
    } else if state[0] == 0 {
        state[1] = f32::INFINITY.to_bits();
    }
    state[2] = is_best.into();
    state[0] += 1;
    let energy = (0..p.rank as usize).map(|k| gram[diagonal(k)].to_bits());
    let words = header.into_iter().chain(inner.iter().copied()).chain(gram_terms.iter().copied()).chain(energy);
    report.write::<u32>().iter_mut().zip(words).for_each(|(out, word)| *out = word);
}
