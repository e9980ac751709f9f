//! The tokens that two fits have in common.

use std::borrow::Cow;
use std::collections::HashMap;

use unmix::DenseMatrix;
use unmix_data::FitRecord;

/// The coefficients of two fits at the tokens that both have, [n, A] and [n, B], in the order of the first fit.
///
/// If tokens were left out of one of them, their rows in the files tell which tokens both have. `None` if the fits are of
/// other tokens, or if they share less than half of those of the smaller fit.
pub fn common_coefficients<'a>(
    first: &'a FitRecord,
    second: &'a FitRecord,
) -> Option<(Cow<'a, DenseMatrix>, Cow<'a, DenseMatrix>)> {
    if same_tokens(first, second) {
        return Some((Cow::Borrowed(&first.coefficients), Cow::Borrowed(&second.coefficients)));
    }
    let pairs = common_rows(first, second)?;
    let of = |matrix: &DenseMatrix, row: fn(&(usize, usize)) -> usize| DenseMatrix {
        rows: pairs.len(),
        columns: matrix.columns,
        values: pairs.iter().flat_map(|pair| matrix.row(row(pair))).copied().collect(),
    };
    let (a, b) = (of(&first.coefficients, |pair| pair.0), of(&second.coefficients, |pair| pair.1));
    Some((Cow::Owned(a), Cow::Owned(b)))
}

/// Whether the fits have enough tokens in common to compare their coefficients, and know that these are the same.
pub(super) fn have_known_tokens_in_common(first: &FitRecord, second: &FitRecord) -> bool {
    let ids_are_known = first.columns.token_ids.is_some() && second.columns.token_ids.is_some();
    ids_are_known && (same_tokens(first, second) || common_rows(first, second).is_some())
}

/// Whether the rows of two fits are the same tokens, as far as their columns say.
fn same_tokens(first: &FitRecord, second: &FitRecord) -> bool {
    let is_same = |(a, b): &Columns<'_>| a.is_none() || b.is_none() || a == b;
    let (a, b) = (&first.columns, &second.columns);
    first.coefficients.rows == second.coefficients.rows
        && columns(first, second).iter().all(is_same)
        && is_same(&(&a.rows, &b.rows))
}

/// The rows of the tokens that both fits have, of fits of as many stored tokens.
fn common_rows(first: &FitRecord, second: &FitRecord) -> Option<Vec<(usize, usize)>> {
    let is_partial = first.columns.rows.is_some() || second.columns.rows.is_some();
    // Other tokens of the same activations are of the same neurons, which says more.
    let (a, b) = (&first.run.input, &second.run.input);
    let same_files = !a.paths.is_empty() && a.paths == b.paths && a.tensor == b.tensor;
    if !is_partial || same_files || a.stored_tokens != b.stored_tokens {
        return None;
    }
    let stored = |fit: &FitRecord, row: usize| fit.columns.rows.as_ref().map_or(row as i64, |rows| rows[row]);
    let places: HashMap<i64, usize> = (0..second.coefficients.rows).map(|row| (stored(second, row), row)).collect();
    let pairs: Vec<(usize, usize)> =
        (0..first.coefficients.rows).filter_map(|row| Some((row, *places.get(&stored(first, row))?))).collect();
    let agree = |(a, b): Columns<'_>| match (a, b) {
        (Some(a), Some(b)) => pairs.iter().all(|&(row, other)| a[row] == b[other]),
        _ => true,
    };
    let smaller = first.coefficients.rows.min(second.coefficients.rows);
    let is_enough = !pairs.is_empty() && 2 * pairs.len() >= smaller;
    (is_enough && columns(first, second).into_iter().all(agree)).then_some(pairs)
}

/// A column of both fits.
type Columns<'a> = (&'a Option<Vec<i64>>, &'a Option<Vec<i64>>);

/// What both fits say about their tokens.
fn columns<'a>(first: &'a FitRecord, second: &'a FitRecord) -> [Columns<'a>; 3] {
    let (a, b) = (&first.columns, &second.columns);
    [(&a.token_ids, &b.token_ids), (&a.prompt_ids, &b.prompt_ids), (&a.positions, &b.positions)]
}
