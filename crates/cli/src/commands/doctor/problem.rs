//! The problem that devices are checked on.

use half::f16;

use super::reference::Matrix;

/// Number of tokens, neurons and features, and the share of the neurons that a feature keeps.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub tokens: usize,
    pub neurons: usize,
    pub rank: usize,
    pub sparsity: f64,
}

/// Activations made of sparse features and some noise, which f16 holds exactly, and coefficients near the true ones. The features stand out
/// so much that single precision never decides which neurons are kept.
pub fn problem(size: Size) -> (Matrix, Matrix) {
    let Size { tokens, neurons, rank, sparsity } = size;
    let mut random = Random(1);
    let kept = (sparsity * neurons as f64).ceil() as usize;
    let mut z = Matrix::zeros(rank, neurons);
    for k in 0..rank {
        for i in 0..kept {
            let sign = if random.next() < 0.5 { -1.0 } else { 1.0 };
            z[(k, (k * kept + 3 * i * (k + 1) + i) % neurons)] += sign * (1.0 + random.next());
        }
    }
    let mut y = Matrix::zeros(tokens, rank);
    y.values.iter_mut().for_each(|v| *v = (random.next() - 0.5).max(0.0) * 2.0);
    let mut x = y.times(&z);
    x.values.iter_mut().for_each(|v| *v = f16::from_f64(*v + 0.02 * (random.next() - 0.5)).to_f64());
    let mut start = y;
    start.values.iter_mut().for_each(|v| *v = f64::from((*v + 0.2 * random.next()) as f32));
    (x, start)
}

/// Random numbers in [0, 1) that are the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
