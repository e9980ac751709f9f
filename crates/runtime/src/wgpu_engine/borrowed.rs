//! Activations that already lie in a caller's buffer.

use unmix_kernels::ElementType;

use super::device::Gpu;
use super::upload::check_panel;
use crate::activations::{DevicePanel, Storage};
use crate::{Activations, Error, PanelLayout};

/// Rows of activations in a buffer that the caller owns.
pub(super) struct BorrowedRows {
    pub buffer: wgpu::Buffer,
    /// Bytes before the first row.
    pub offset: u64,
    pub tokens: u64,
    pub neurons: u32,
    pub element: ElementType,
    /// Elements from one row to the next.
    pub stride: u32,
}

impl BorrowedRows {
    /// Activations over these rows, without a copy. A panel has at most `panel_bytes` bytes.
    pub fn activations(self, gpu: &Gpu, panel_bytes: u64) -> Result<Activations, Error> {
        let BorrowedRows { buffer, offset, tokens, neurons, element, stride } = self;
        let problem = |problem: String| Error::Activations { tokens, neurons: neurons.into(), problem };
        if tokens == 0 || neurons == 0 {
            return Err(problem("empty; at least one token and one neuron are needed".into()));
        }
        if stride < neurons {
            return Err(problem(format!("rows {stride} elements apart overlap; the stride is at least the neurons")));
        }
        let row_bytes = u64::from(stride) * element.bytes() as u64;
        if !row_bytes.is_multiple_of(16) {
            return Err(problem(format!(
                "rows are {row_bytes} bytes apart, which is not a multiple of 16; pad them to {}",
                row_bytes.next_multiple_of(16)
            )));
        }
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(problem(format!("the buffer's usage is {:?}; create it with STORAGE", buffer.usage())));
        }
        let alignment = u64::from(gpu.raw_limits.min_storage_buffer_offset_alignment);
        if !offset.is_multiple_of(alignment) {
            return Err(problem(format!("offset {offset} is not a multiple of {alignment}, as {} requires", gpu.name)));
        }
        // The last row may end where its neurons end (rounded up to a wide load), as it does in a cut-out of columns.
        let row_used = (u64::from(neurons) * element.bytes() as u64).next_multiple_of(16);
        let end = (tokens - 1).checked_mul(row_bytes).and_then(|bytes| bytes.checked_add(row_used + offset));
        if end.is_none_or(|end| end > buffer.size()) {
            return Err(problem(format!(
                "the buffer has {} bytes, too few for these rows from {offset}",
                buffer.size()
            )));
        }

        let mut layout = PanelLayout::new(tokens, stride, element, true, panel_bytes);
        layout.neurons = neurons;
        if layout.panels() > 1 {
            // Every panel but the first starts where a binding may start.
            let step = (alignment / gcd(row_bytes, alignment)) as u32;
            let rounded = layout.panel_rows.next_multiple_of(step);
            let fits = u64::from(rounded) * row_bytes <= panel_bytes;
            layout.panel_rows = if fits { rounded } else { (layout.panel_rows / step * step).max(step) };
        }
        check_panel(gpu, &layout)?;
        let (size, count) = (buffer.size(), layout.panels());
        let panels: Vec<_> = (0..count)
            .zip(std::iter::repeat_n(buffer, count as usize))
            .map(|(index, buffer)| {
                let rows = layout.rows(index);
                let start = offset + rows.start * row_bytes;
                let bytes = layout.bytes(index).min((size - start) & !15);
                DevicePanel { buffer, offset: start, bytes }
            })
            .collect();
        Ok(Activations { layout, storage: Storage::Device(panels.into()) })
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
