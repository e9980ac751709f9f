//! A fit with the tokens of each prompt in the order in which the model read them.

use std::borrow::Cow;

use unmix::DenseMatrix;
use unmix_data::{FitRecord, TokenColumns, reading_order};

/// The fit with its tokens ordered by prompt and position, if the rows that were fitted had been shuffled. Coefficients and columns
/// are moved together, and the column `rows` says where each row was. Contexts need that; whatever goes with the activations row
/// by row needs the fit as it was read.
pub fn in_reading_order(fit: &FitRecord) -> Cow<'_, FitRecord> {
    let columns = &fit.columns;
    let order = match (&columns.prompt_ids, &columns.positions) {
        (Some(prompt_ids), Some(positions)) => reading_order(prompt_ids, positions),
        _ => None,
    };
    let Some(order) = order else { return Cow::Borrowed(fit) };
    let moved =
        |column: &Option<Vec<i64>>| column.as_ref().map(|column| order.iter().map(|&row| column[row]).collect());
    let columns = TokenColumns {
        token_ids: moved(&columns.token_ids),
        prompt_ids: moved(&columns.prompt_ids),
        positions: moved(&columns.positions),
        rows: moved(&columns.rows).or_else(|| Some(order.iter().map(|&row| row as i64).collect())),
    };
    let values = order.iter().flat_map(|&row| fit.coefficients.row(row)).copied().collect();
    let coefficients = DenseMatrix { rows: fit.coefficients.rows, columns: fit.coefficients.columns, values };
    Cow::Owned(FitRecord { features: fit.features.clone(), coefficients, columns, run: fit.run.clone() })
}
