//! Reads the reports of iterations from the device, and checks that the device wrote them.

use unmix_kernels::{Report, report_words};
use unmix_runtime::{Error as RuntimeError, Pending};

use crate::Error;
use crate::fit::Fit;

/// Starts reading the report of the latest submitted iteration. The result are its words.
pub(crate) fn report_later(fit: &Fit<'_>) -> Pending<Vec<u32>> {
    fit.io.read_later(fit.buffers.report, 0, report_words(fit.options.rank).into())
}

/// Waits for the report of the latest submitted pass, of rank 0. `expected` is the number of losses before it, if that is known.
pub(crate) async fn latest_report(fit: &Fit<'_>, expected: Option<u32>) -> Result<Report, Error> {
    let words = fit.distribution.communicator().of_rank(0, report_later(fit).await?);
    parse(fit, &words, expected)
}

/// The report of iteration `number`, from 0, in these words.
pub(crate) fn iteration_report(fit: &Fit<'_>, words: &[u32], number: u32) -> Result<Report, Error> {
    let report = parse(fit, words, Some(number))?;
    // From the second iteration on, features of least squares come from a factorization.
    let factorizes = number > 0 && fit.options.solver.updates().features.solves_least_squares();
    if factorizes && report.factorization_attempts == 0 {
        let reason = format!("nothing was factorized in iteration {}, and it gave no error", number + 1);
        return Err(lost(fit, reason));
    }
    Ok(report)
}

/// The report in these words, which must be number `expected`, from 0. A device that fails without an error leaves zeros, or the report of
/// an iteration before.
fn parse(fit: &Fit<'_>, words: &[u32], expected: Option<u32>) -> Result<Report, Error> {
    let wanted = expected.map_or_else(String::new, |expected| format!(" of iteration {}", expected + 1));
    let Some(report) = Report::parse(words) else {
        return Err(lost(fit, format!("it returned zeros in place of the report{wanted}, without an error")));
    };
    if expected.is_some_and(|expected| expected != report.iteration) {
        let found = report.iteration + 1;
        let reason = format!("in place of the report{wanted} it returned that of iteration {found}, without an error");
        return Err(lost(fit, reason));
    }
    Ok(report)
}

fn lost(fit: &Fit<'_>, reason: String) -> Error {
    Error::Runtime(RuntimeError::DeviceLost { adapter: fit.engine.adapter().to_owned(), reason })
}
