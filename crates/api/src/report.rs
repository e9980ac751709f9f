//! What the device says of an iteration, on its way to the host.

use unmix_kernels::{Report, report_words};
use unmix_runtime::Pending;

use crate::Error;
use crate::fit::Fit;

/// Starts reading the words of the report of what was submitted last.
pub(crate) fn report_later(fit: &Fit<'_>) -> Pending<Vec<u32>> {
    fit.io.read_later(fit.buffers.report, report_words(fit.options.rank).into())
}

/// The report of what was submitted last.
pub(crate) async fn latest_report(fit: &Fit<'_>) -> Result<Report, Error> {
    Ok(Report::parse(&report_later(fit).await?))
}
