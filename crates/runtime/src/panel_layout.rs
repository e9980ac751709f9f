//! How activations are cut into row panels.

use std::ops::Range;

use unmix_kernels::{ElementType, Matrix, Resource};

/// How a matrix of activations is cut into panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelLayout {
    /// Number of rows of the whole matrix.
    pub tokens: u64,
    /// Number of columns.
    pub neurons: u32,
    /// Storage type.
    pub element: ElementType,
    /// Number of rows in every panel except the last, which may have fewer.
    pub panel_rows: u32,
    /// Elements from one row to the next.
    pub stride: u32,
}

impl PanelLayout {
    /// Cuts `tokens` × `neurons` into panels of at most `panel_bytes` (at least one row, at most 1,048,512).
    pub fn new(tokens: u64, neurons: u32, element: ElementType, padded_rows: bool, panel_bytes: u64) -> Self {
        let stride = if padded_rows { neurons.next_multiple_of(element.per_vector()) } else { neurons };
        let row_bytes = u64::from(stride) * element.bytes() as u64;
        // 2^20 rows less one tile, so that places in a panel fit 32 bits. A fit may visit a panel in parts.
        let most = (panel_bytes / row_bytes.max(1)).clamp(1, (1 << 20) - 64).min(tokens.max(1));
        // Panels have about the same size, because a short last panel would waste a launch. Every kernel has tiles of 64 rows.
        let count = tokens.max(1).div_ceil(most);
        let even = tokens.max(1).div_ceil(count);
        let rows = if even >= 64 && even.next_multiple_of(64) <= most { even.next_multiple_of(64) } else { even };
        PanelLayout { tokens, neurons, element, panel_rows: rows as u32, stride }
    }

    /// The same with panels of `rows` rows, if a number is given.
    pub(crate) fn with_panel_rows(self, rows: Option<u32>) -> Self {
        PanelLayout { panel_rows: rows.unwrap_or(self.panel_rows).max(1), ..self }
    }

    /// Number of panels.
    pub fn panels(&self) -> u32 {
        self.tokens.div_ceil(u64::from(self.panel_rows)) as u32
    }

    /// The rows of the whole matrix that are in panel `panel`.
    pub fn rows(&self, panel: u32) -> Range<u64> {
        let first = u64::from(panel) * u64::from(self.panel_rows);
        first..(first + u64::from(self.panel_rows)).min(self.tokens)
    }

    /// All panels, in the order in which passes that follow one another visit them, beginning with panel `first`.
    pub(crate) fn panels_from(&self, first: u32) -> impl Iterator<Item = u32> + use<> {
        let count = self.panels();
        (0..count).map(move |after| (first + after) % count)
    }

    /// Panel `panel` as an operand of a recording.
    pub fn panel(&self, panel: u32) -> Matrix {
        let rows = self.rows(panel);
        Matrix {
            resource: Resource::Panel(panel),
            element: self.element,
            rows: (rows.end - rows.start) as u32,
            columns: self.neurons,
            stride: self.stride,
            first: 0,
        }
    }

    /// Bytes of panel `panel`, padding included.
    pub fn bytes(&self, panel: u32) -> u64 {
        let rows = self.rows(panel);
        (rows.end - rows.start) * self.row_bytes()
    }

    /// Bytes of one padded row.
    pub fn row_bytes(&self) -> u64 {
        u64::from(self.stride) * self.element.bytes() as u64
    }
}
