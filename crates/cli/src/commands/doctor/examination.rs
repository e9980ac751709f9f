//! Runs the checks of a device where neither a panic nor a driver that does not return can hurt.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use unmix::RuntimeError;

use super::check::{Check, Examined, References};

/// Checks an engine for at most `limit`. A driver may make the graphics library panic, or compile for minutes: these are findings like any
/// other. A thread whose driver does not return ends with the process.
pub fn examine(
    references: &Arc<References>,
    limit: Duration,
    open: impl FnOnce() -> Result<Examined, RuntimeError> + Send + 'static,
) -> Result<Vec<Check>, String> {
    let hook = take_hook();
    set_hook(Box::new(|info| log::error!("{info}")));
    let outcome = within(limit, {
        let references = Arc::clone(references);
        move || {
            let checked = catch_unwind(AssertUnwindSafe(|| {
                let examined = open().map_err(|error| error.to_string())?;
                references.check(&examined).map_err(|error| error.to_string())
            }));
            checked.unwrap_or_else(|_| Err("the graphics library gave up (panicked)".to_owned()))
        }
    });
    set_hook(hook);
    outcome
}

/// The result of `work`, if it comes within `limit`.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (send, result) = mpsc::channel();
    let started = thread::Builder::new().name("checks".to_owned()).spawn(move || {
        // Nobody listens any more if the time was over.
        let _ = send.send(work());
    });
    if let Err(error) = started {
        return Err(format!("no thread could be started: {error}"));
    }
    match result.recv_timeout(limit) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!(
            "the checks did not end within {} s: the driver hangs, or its compiler is slow; give it longer with --time-limit, \
             or compute with --engine cpu",
            limit.as_secs()
        )),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("the checks ended without a result".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_does_not_end_is_a_finding() {
        let hang = || {
            thread::sleep(Duration::from_secs(3600));
            Ok(())
        };
        let error = within(Duration::from_millis(20), hang).unwrap_err();
        assert!(error.contains("did not end") && error.contains("--time-limit"), "{error}");
        assert_eq!(within(Duration::from_secs(60), || Ok(7)), Ok(7));
    }
}
