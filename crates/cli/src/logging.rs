//! The log, on stderr.

use std::io::Write;
use std::panic;

use log::LevelFilter;

use crate::progress;
use crate::shared_args::SharedArgs;
use crate::terminal::{self, Marks};

/// Starts the log: warnings by default, errors with `--quiet`, more with `-v`, or what `RUST_LOG` says.
pub fn start(shared: &SharedArgs, json: bool) {
    let (level, graphics) = match (shared.quiet, shared.verbose) {
        (true, _) => (LevelFilter::Error, LevelFilter::Off),
        // Drivers and loaders warn of many things that do not concern the user.
        (_, 0) => (LevelFilter::Warn, LevelFilter::Error),
        (_, 1) => (LevelFilter::Info, LevelFilter::Warn),
        _ => (LevelFilter::Debug, LevelFilter::Info),
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    for module in ["wgpu_hal", "wgpu_core", "wgpu", "naga"] {
        builder.filter_module(module, graphics);
    }
    builder.parse_default_env();
    if json {
        builder.format(|out, record| {
            let level = record.level().as_str().to_lowercase();
            let line = serde_json::json!({"event": "log", "level": level, "target": record.target(), "message": record.args().to_string()});
            writeln!(out, "{}", terminal::json(&line.to_string()))
        });
    } else {
        builder.format(|out, record| {
            let (level, text) = (record.level().as_str().to_lowercase(), record.args().to_string());
            // Drivers write several lines. Our own messages have no line breaks, so one in them comes from a name.
            let own = record.target().starts_with("unmix");
            let text = if own { terminal::line(&text, Marks::Escaped) } else { terminal::lines(&text, Marks::Escaped) };
            writeln!(out, "{level}: {text}")
        });
    }
    builder.target(env_logger::Target::Pipe(Box::new(AroundBar)));
    // A second start changes nothing. Only tests could cause one.
    if builder.try_init().is_ok() {
        log_panics_of_wgpu();
    }
}

/// wgpu panics when a driver reports a loss while it waits. The engine makes an error of it, so a line in the log is enough.
fn log_panics_of_wgpu() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| match info.location() {
        Some(at) if at.file().contains("wgpu-") => {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
            log::warn!("the graphics library gave up: {}", text.unwrap_or("no message"));
        }
        _ => others(info),
    }));
}

/// Stderr, with the progress bar out of the way while something is written.
struct AroundBar;

impl Write for AroundBar {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        progress::around_bar(|| std::io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
