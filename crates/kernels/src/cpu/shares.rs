//! Cuts a result with a row for each neuron into shares, which threads take.

use faer::{ColMut, MatMut};

/// Runs `work` in parallel on shares of the rows of `out`, which are neurons. A share has at most `most` neurons, and a
/// multiple of `strip` except for the last one. `work` gets the first neuron of a share and its rows.
pub(crate) fn for_each_share(
    out: MatMut<'_, f32>,
    most: usize,
    strip: usize,
    work: &(impl Fn(usize, MatMut<'_, f32>) + Sync),
) {
    // Two shares for each thread, so that no thread waits long for the last one. More shares would be too narrow.
    let width = out.nrows().div_ceil(2 * rayon::current_num_threads()).next_multiple_of(strip).min(most);
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

fn halve(neuron: usize, out: MatMut<'_, f32>, width: usize, work: &(impl Fn(usize, MatMut<'_, f32>) + Sync)) {
    let shares = out.nrows().div_ceil(width);
    if shares > 1 {
        let middle = shares / 2 * width;
        let (left, right) = out.split_at_row_mut(middle);
        rayon::join(|| halve(neuron, left, width, work), || halve(neuron + middle, right, width, work));
    } else {
        work(neuron, out);
    }
}
