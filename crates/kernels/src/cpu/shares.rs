//! A result with a row for each neuron, cut into shares that threads take.

use faer::{ColMut, MatMut};

/// Runs `work` on shares of the rows of `out`, its neurons, in parallel: at most `most` neurons each, in multiples of `strip`
/// but for the last. `work` gets a share's first neuron and its rows.
pub(crate) fn for_each_share(
    out: MatMut<'_, f32>,
    most: usize,
    strip: usize,
    work: &(impl Fn(usize, MatMut<'_, f32>) + Sync),
) {
    // A second share a thread, so that none waits long for the last one; more would be too narrow.
    let width = out.nrows().div_ceil(2 * rayon::current_num_threads()).next_multiple_of(strip).min(most);
    halve(0, out, width, work);
}

/// A column's values.
pub(crate) fn contiguous(column: ColMut<'_, f32>) -> &mut [f32] {
    column.try_as_col_major_mut().expect("columns are contiguous").as_slice_mut()
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
