//! Runs the checks of a device where neither a panic nor a driver that does not return can hurt.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use unmix::RuntimeError;

use super::check::{Examined, Findings, References};

/// Why there are no checks of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    /// Whether the time was over, so that nothing is known of its numbers.
    pub is_late: bool,
}

impl Trouble {
    fn new(reason: impl Into<String>) -> Self {
        Trouble { reason: reason.into(), is_late: false }
    }
}

/// Checks an engine for at most `limit`. A driver may make the graphics library panic, or compile for minutes: these are findings like any
/// other. A thread whose driver does not return ends with the process.
pub fn examine(
    references: &Arc<References>,
    limit: Duration,
    open: impl FnOnce() -> Result<Examined, RuntimeError> + Send + 'static,
) -> Result<Findings, Trouble> {
    let hook = take_hook();
    set_hook(Box::new(|info| log::error!("{info}")));
    let outcome = within(limit, {
        let references = Arc::clone(references);
        move || {
            let checked = catch_unwind(AssertUnwindSafe(|| {
                let examined = open().map_err(|error| Trouble::new(error.to_string()))?;
                references.check(&examined).map_err(|error| Trouble::new(error.to_string()))
            }));
            checked.unwrap_or_else(|_| Err(Trouble::new("the graphics library gave up (panicked)")))
        }
    });
    set_hook(hook);
    outcome
}

/// The result of `work`, if it comes within `limit`.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let (send, result) = mpsc::channel();
    let started = thread::Builder::new().name("checks".to_owned()).spawn(move || {
        // Nobody listens any more if the time was over.
        let _ = send.send(work());
    });
    if let Err(error) = started {
        return Err(Trouble::new(format!("no thread could be started: {error}")));
    }
    match result.recv_timeout(limit) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let reason = format!(
                "the checks did not end within {} s: the driver hangs, or its compiler is slow; give it longer with \
                 --time-limit, or compute with --engine cpu",
                limit.as_secs()
            );
            Err(Trouble { reason, is_late: true })
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(Trouble::new("the checks ended without a result")),
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
        let trouble = within(Duration::from_millis(20), hang).unwrap_err();
        assert!(trouble.is_late && trouble.reason.contains("--time-limit"), "{trouble:?}");
        assert_eq!(within(Duration::from_secs(60), || Ok(7)), Ok(7));
    }
}
