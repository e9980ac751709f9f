//! Times and panels in words.

use unmix::PanelLayout;

use crate::output::{duration, thousands};

/// `12.3 ms`.
pub fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// `12.3 µs`, `4.5 ms`, and from 100 ms on as other durations.
pub fn short(seconds: f64) -> String {
    match seconds {
        s if s < 0.9995e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 0.0995 => format!("{:.2} ms", s * 1e3),
        s => duration(s),
    }
}

/// How the activations are cut, in words.
pub fn panels(layout: &PanelLayout) -> String {
    match layout.panels() {
        1 => "one panel".to_owned(),
        panels => format!("{panels} panels of {} tokens", thousands(layout.panel_rows.into())),
    }
}
