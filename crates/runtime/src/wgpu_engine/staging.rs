//! Host memory from which the device copies panels.

use super::device::Gpu;
use crate::stream::Stream;
use crate::{Error, PanelLayout};

/// Number of bytes that are read at once if rows must be moved to their padded places. They stay in the cache of a core.
const PIECE: usize = 256 << 10;

/// How error messages call the work of this file.
const FILLING: &str = "filling staging memory";

/// A buffer that is mapped until this is dropped, if need be by a panic of a source.
struct Mapped<'a> {
    gpu: &'a Gpu,
    buffer: wgpu::Buffer,
}

impl Drop for Mapped<'_> {
    fn drop(&mut self) {
        // A buffer that stays mapped is an error of the submission that uses it.
        if let Err(error) = self.gpu.call(FILLING, 0, || self.buffer.unmap()) {
            log::warn!("{error}");
        }
    }
}

/// A buffer that the host fills and the device copies, again and again.
pub(super) struct Staging {
    buffer: wgpu::Buffer,
    /// The last copy. The host may write again when it is done.
    copy: Option<wgpu::SubmissionIndex>,
    /// Rows without padding.
    piece: Vec<u8>,
}

impl Staging {
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Self, Error> {
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let buffer = gpu.allocate("staging memory for streamed activations", bytes, usage)?;
        Ok(Staging { buffer, copy: None, piece: Vec::new() })
    }

    /// Reads a panel, once the last copy is done.
    pub fn fill(&mut self, gpu: &Gpu, stream: &Stream, layout: &PanelLayout, panel: u32) -> Result<(), Error> {
        if let Some(copy) = self.copy.take() {
            gpu.wait(&copy)?;
        }
        gpu.map_for_writing(FILLING, &self.buffer)?;
        let _mapped = Mapped { gpu, buffer: self.buffer.clone() };
        self.read(gpu, stream, layout, panel)
    }

    /// Reads a panel into the mapped buffer.
    fn read(&mut self, gpu: &Gpu, stream: &Stream, layout: &PanelLayout, panel: u32) -> Result<(), Error> {
        let mut view =
            self.buffer.get_mapped_range_mut(..layout.bytes(panel)).map_err(|error| gpu.lost(&error.to_string()))?;
        let rows = layout.rows(panel);
        let (tight, padded) = (layout.neurons as usize * layout.element.bytes(), layout.row_bytes() as usize);
        if tight == padded {
            let mut place = view.slice(..).as_raw_ptr();
            // SAFETY: the view owns that mapped range, wgpu has initialised it, and nothing else refers to it until the view is
            // dropped. A source writes plain bytes; that reading them back may be slow does not make it wrong.
            return stream.read(rows, unsafe { place.as_mut() });
        }
        let rows_at_once = (PIECE / tight).max(1);
        let starts = rows.clone().step_by(rows_at_once);
        for (start, place) in starts.zip((0..).step_by(rows_at_once * padded)) {
            let end = (start + rows_at_once as u64).min(rows.end);
            self.piece.resize((end - start) as usize * tight, 0);
            stream.read(start..end, &mut self.piece)?;
            for (row, place) in self.piece.chunks_exact(tight).zip((place..).step_by(padded)) {
                view.slice(place..place + tight).copy_from_slice(row);
                view.slice(place + tight..place + padded).fill(0);
            }
        }
        Ok(())
    }

    /// Submits the copy of what was read.
    pub fn copy_to(&mut self, gpu: &Gpu, buffer: &wgpu::Buffer, bytes: u64) -> Result<(), Error> {
        let copy = gpu.submit("a panel of activations", |encoder| {
            encoder.copy_buffer_to_buffer(&self.buffer, 0, buffer, 0, bytes);
        })?;
        self.copy = Some(copy);
        Ok(())
    }
}
