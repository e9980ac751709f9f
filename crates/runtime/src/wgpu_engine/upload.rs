//! Activations into device memory, a piece at a time.

use unmix_kernels::ElementType;

use super::device::Gpu;
use crate::activation_source::checked_shape;
use crate::activations::{DevicePanel, Storage};
use crate::{ActivationSource, Activations, Error, PanelLayout};

/// Bytes of a piece. One being read, one being gathered and two on their way to the device make 64 MiB of host memory.
const PIECE: u64 = 16 << 20;

/// Writes, and lets at most two pieces be under way.
pub(super) struct Upload<'a> {
    gpu: &'a Gpu,
    /// Bytes written since the last submission; fewer than a piece travel with whatever is submitted next.
    waiting: usize,
    previous: Option<wgpu::SubmissionIndex>,
}

impl<'a> Upload<'a> {
    pub fn new(gpu: &'a Gpu) -> Self {
        Upload { gpu, waiting: 0, previous: None }
    }

    /// Writes bytes of any length, after everything submitted before.
    pub fn write(&mut self, what: &str, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        for (piece, start) in bytes.chunks(PIECE as usize).zip((offset..).step_by(PIECE as usize)) {
            self.gpu.call(what, 0, || self.gpu.queue.write_buffer(buffer, start, piece))?;
            self.waiting += piece.len();
            if self.waiting < PIECE as usize {
                continue;
            }
            self.waiting = 0;
            let submission = self.gpu.call(what, 0, || self.gpu.queue.submit([]))?;
            if let Some(previous) = self.previous.replace(submission) {
                self.gpu.wait(&previous)?;
            }
        }
        Ok(())
    }
}

/// Makes activations resident in panels.
pub(super) fn load(gpu: &Gpu, layout: PanelLayout, source: &dyn ActivationSource) -> Result<Activations, Error> {
    let neurons = layout.neurons;
    // Rows without padding can go to the device from where they lie.
    let is_tight = layout.stride == neurons;
    let row_bytes = layout.row_bytes();
    let piece_rows = (PIECE / row_bytes).max(1);
    let mut upload = Upload::new(gpu);
    let mut piece = Vec::new();
    let mut panels = Vec::with_capacity(layout.panels() as usize);
    for index in 0..layout.panels() {
        let (rows, bytes) = (layout.rows(index), layout.bytes(index));
        let what = format!("activations, panel {index}");
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer = gpu.allocate(&what, bytes, usage)?;
        if let Some(shared) = is_tight.then(|| source.shared_rows(rows.clone())).flatten() {
            upload.write(&what, &buffer, 0, &shared)?;
        } else {
            let mut first = rows.start;
            while first < rows.end {
                let last = (first + piece_rows).min(rows.end);
                read_padded(source, first..last, neurons, layout.element, row_bytes as usize, &mut piece)?;
                upload.write(&what, &buffer, (first - rows.start) * row_bytes, &piece)?;
                first = last;
            }
        }
        panels.push(DevicePanel { buffer, offset: 0, bytes });
    }
    Ok(Activations { layout, storage: Storage::Device(panels.into()) })
}

/// How activations are cut.
pub(super) fn layout(gpu: &Gpu, panel_bytes: u64, source: &dyn ActivationSource) -> Result<PanelLayout, Error> {
    let (tokens, neurons) = checked_shape(source)?;
    let layout = PanelLayout::new(tokens, neurons, source.element(), gpu.limits.padded_rows, panel_bytes);
    let layout = layout.with_panel_rows(source.panel_rows());
    check_panel(gpu, &layout)?;
    Ok(layout)
}

/// A panel must fit one binding.
pub(super) fn check_panel(gpu: &Gpu, layout: &PanelLayout) -> Result<(), Error> {
    let bytes = u64::from(layout.panel_rows) * layout.row_bytes();
    if bytes > gpu.limits.max_binding_bytes {
        return Err(gpu.over_limit("a panel of activations (bytes)".into(), bytes, gpu.limits.max_binding_bytes));
    }
    Ok(())
}

/// Reads rows and moves each to its padded place; the padding is zero.
fn read_padded(
    source: &dyn ActivationSource,
    rows: std::ops::Range<u64>,
    neurons: u32,
    element: ElementType,
    row_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let (count, tight) = ((rows.end - rows.start) as usize, neurons as usize * element.bytes());
    out.clear();
    out.resize(count * row_bytes, 0);
    source.read_rows(rows, &mut out[..count * tight]).map_err(|error| Error::Read(error.to_string()))?;
    if tight < row_bytes {
        // From the last row on, so that none is overwritten before it has moved.
        for row in (0..count).rev() {
            out.copy_within(row * tight..(row + 1) * tight, row * row_bytes);
            out[row * row_bytes + tight..(row + 1) * row_bytes].fill(0);
        }
    }
    Ok(())
}
