//! Reads the report of an iteration from the device.

use unmix_kernels::{Report, report_words};
use unmix_runtime::Pending;

use crate::Error;
use crate::fit::Fit;

/// Starts reading the report of the latest submitted iteration. The result are its words.
pub(crate) fn report_later(fit: &Fit<'_>) -> Pending<Vec<u32>> {
    fit.io.read_later(fit.buffers.report, report_words(fit.options.rank).into())
}

/// Waits for the report of the latest submitted iteration, of rank 0.
pub(crate) async fn latest_report(fit: &Fit<'_>) -> Result<Report, Error> {
    let words = report_later(fit).await?;
    Ok(Report::parse(&fit.distribution.communicator().of_rank(0, words)))
}
