//! Long computations: without the interpreter's lock, in whichever process, and without panics that reach Python.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use rayon::ThreadPool;

/// The threads of a process that was forked after its parent had computed. The threads of the parent do not exist there.
static FORKED: Mutex<Option<&'static Threads>> = Mutex::new(None);

/// Threads and the process that started them.
struct Threads {
    process: u32,
    /// None for rayon's own, which start by themselves.
    pool: Option<ThreadPool>,
}

/// Computes while other threads of Python run.
///
/// # Errors
/// What `compute` returns, and an error in place of a panic.
pub fn computing<T: Send>(py: Python<'_>, compute: impl FnOnce() -> PyResult<T> + Send) -> PyResult<T> {
    py.detach(|| {
        let threads = threads()?;
        let caught = catch_unwind(AssertUnwindSafe(|| match &threads.pool {
            Some(pool) => pool.install(compute),
            None => compute(),
        }));
        caught.unwrap_or_else(|panic| {
            Err(PyRuntimeError::new_err(format!(
                "unmix failed where it should not ({}); please report this with what you did",
                message(&*panic)
            )))
        })
    })
}

/// The threads of this process.
fn threads() -> PyResult<&'static Threads> {
    let process = std::process::id();
    let mut known = FORKED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match *known {
        Some(threads) if threads.process == process => Ok(threads),
        earlier => {
            let pool = match earlier {
                None => None,
                Some(_) => Some(rayon::ThreadPoolBuilder::new().build().map_err(|error| {
                    PyMemoryError::new_err(format!("the threads of a forked process cannot be started: {error}"))
                })?),
            };
            // A process has one of them, until it ends.
            let threads: &'static Threads = Box::leak(Box::new(Threads { process, pool }));
            *known = Some(threads);
            Ok(threads)
        }
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
