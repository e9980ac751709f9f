//! A device that takes every command, does nothing, and reports no error: Mesa's NVIDIA driver on a shim of the kernel. The tests
//! are not part of a plain `cargo test`; `cargo xtask test-devices noop` runs them.

use unmix::{AdapterChoice, RuntimeError, WgpuEngine};
use unmix_runtime::adapters;

#[test]
fn it_is_found_and_refused_when_it_is_opened() {
    let choice = AdapterChoice::default();
    let found = adapters(&choice);
    assert!(found.iter().any(|adapter| adapter.name.contains("NVK")), "{found:?}");
    let error = WgpuEngine::new(&choice).err().expect("a device that does nothing is refused");
    assert!(matches!(error, RuntimeError::DeviceLost { .. }), "{error}");
    assert!(error.to_string().contains("CPU engine"), "{error}");
}
