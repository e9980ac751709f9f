//! Cuts a result with a row for each neuron into shares, which threads take.

use faer::{ColMut, MatMut};

/// A result with a row for each neuron, or several of them.
pub(crate) trait Neurons: Send + Sized {
    /// Number of neurons.
    fn count(&self) -> usize;
    /// The rows before a neuron, and those from it on.
    fn split(self, neuron: usize) -> (Self, Self);
}

impl Neurons for MatMut<'_, f32> {
    fn count(&self) -> usize {
        self.nrows()
    }

    fn split(self, neuron: usize) -> (Self, Self) {
        self.split_at_row_mut(neuron)
    }
}

/// Results with as many neurons, of which there is at least one.
impl<N: Neurons> Neurons for Vec<N> {
    fn count(&self) -> usize {
        self[0].count()
    }

    fn split(self, neuron: usize) -> (Self, Self) {
        self.into_iter().map(|result| result.split(neuron)).unzip()
    }
}

/// Runs `work` in parallel on shares of the rows of `out`, which are neurons. A share has at most `most` neurons, and a
/// multiple of `strip` except for the last one. `work` gets the first neuron of a share and its rows.
pub(crate) fn for_each_share<N: Neurons>(out: N, most: usize, strip: usize, work: &(impl Fn(usize, N) + Sync)) {
    // Two shares for each thread, so that no thread waits long for the last one. More shares would be too narrow.
    let width = out.count().div_ceil(2 * rayon::current_num_threads()).next_multiple_of(strip).min(most);
    halve(0, out, width, work);
}

/// The values of a column.
pub(crate) fn contiguous(column: ColMut<'_, f32>) -> &mut [f32] {
    column.try_as_col_major_mut().expect("columns are contiguous").as_slice_mut()
}

/// out (+)= the sums times one scale after the other.
pub(crate) fn add(out: &mut [f32], sums: &[f32], scales: [f32; 2], accumulate: bool) {
    for (out, sum) in out.iter_mut().zip(sums) {
        let sum = scales.iter().fold(*sum, |sum, scale| sum * scale);
        *out = if accumulate { *out + sum } else { sum };
    }
}

fn halve<N: Neurons>(neuron: usize, out: N, width: usize, work: &(impl Fn(usize, N) + Sync)) {
    let shares = out.count().div_ceil(width);
    if shares > 1 {
        let middle = shares / 2 * width;
        let (left, right) = out.split(middle);
        rayon::join(|| halve(neuron, left, width, work), || halve(neuron + middle, right, width, work));
    } else {
        work(neuron, out);
    }
}
