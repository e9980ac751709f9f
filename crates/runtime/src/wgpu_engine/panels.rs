//! How the device gets the panels of activations.

use std::sync::{Arc, Mutex, MutexGuard};

use unmix_kernels::Recording;

use super::device::Gpu;
use super::staging::Staging;
use crate::activations::DevicePanel;
use crate::lock::lock;
use crate::read_ahead::ReadAhead;
use crate::schedule::{Schedule, TwoPanels};
use crate::stream::Stream;
use crate::{Error, PanelLayout};

/// The panels of a session.
pub(super) enum Panels {
    /// All panels are in device memory.
    Resident(Arc<Vec<DevicePanel>>),
    /// Panels are read when they are visited, and copied to slots on the device.
    Streamed(Slots),
}

/// A part of a buffer that holds a panel, or will when the panel is visited.
pub(super) struct Place<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

/// Slots in device memory, through which the panels of streamed activations pass. Panel p goes to slot p modulo the number of slots. So a
/// recording needs only one bind group for each dispatch, however often it runs.
pub(super) struct Slots {
    layout: PanelLayout,
    buffers: Vec<wgpu::Buffer>,
    /// The panel that each slot has after all submitted work is done. It is locked while a recording is submitted, so that no other thread
    /// brings other panels.
    held: Mutex<Vec<Option<u32>>>,
    ahead: ReadAhead<Staging>,
}

impl Panels {
    /// Panels of `stream` in slots, none of which is filled yet.
    pub fn streamed(gpu: &Arc<Gpu>, stream: &Stream, layout: &PanelLayout) -> Result<Self, Error> {
        let count = stream.slots(layout);
        let bytes = u64::from(layout.panel_rows) * layout.row_bytes();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let slot = |_| gpu.allocate("a panel of streamed activations", bytes, usage);
        let buffers = (0..count).map(slot).collect::<Result<_, _>>()?;
        let staging = (0..count).map(|_| Staging::new(gpu, bytes)).collect::<Result<_, _>>()?;
        let (of_reader, stream, reading_gpu) = (layout.clone(), stream.clone(), Arc::clone(gpu));
        let ahead = ReadAhead::start(staging, move |panel, staging: &mut Staging| {
            staging.fill(&reading_gpu, &stream, &of_reader, panel)
        })?;
        let held = Mutex::new(vec![None; count]);
        Ok(Panels::Streamed(Slots { layout: layout.clone(), buffers, held, ahead }))
    }

    /// Number of panels.
    pub fn count(&self) -> u32 {
        match self {
            Panels::Resident(panels) => panels.len() as u32,
            Panels::Streamed(slots) => slots.layout.panels(),
        }
    }

    /// Where a panel is bound.
    pub fn place(&self, panel: u32) -> Place<'_> {
        match self {
            Panels::Resident(panels) => {
                let DevicePanel { buffer, offset, bytes } = &panels[panel as usize];
                Place { buffer, offset: *offset, bytes: *bytes }
            }
            Panels::Streamed(slots) => {
                let buffer = &slots.buffers[slots.slot(panel)];
                Place { buffer, offset: 0, bytes: slots.layout.bytes(panel) }
            }
        }
    }

    /// How a recording is run over them.
    pub fn schedule(&self, gpu: &Gpu, recording: &Recording) -> Result<Schedule, Error> {
        match self {
            Panels::Resident(_) => Ok(Schedule::undivided(recording)),
            Panels::Streamed(_) => Schedule::new(recording).map_err(|TwoPanels(kernel)| {
                let reason = "it binds two panels of streamed activations, which are not there at once";
                gpu.refused(format!("kernel `{kernel}`"), reason)
            }),
        }
    }

    /// Begins a run that visits these panels, in this order. `None` if no panels must be copied to slots.
    pub fn begin(&self, visits: &[u32]) -> Option<Pass<'_>> {
        let Panels::Streamed(slots) = self else { return None };
        let last = visits.last()?;
        let held = lock(&slots.held);
        let mut later = held.clone();
        let now = slots.missing(visits.iter().copied(), &mut later);
        let next = slots.missing(slots.layout.panels_from(*last), &mut later);
        slots.ahead.announce(now, next);
        Some(Pass { slots, held })
    }
}

impl Slots {
    fn slot(&self, panel: u32) -> usize {
        panel as usize % self.buffers.len()
    }

    /// The visited panels that must be copied to slots. `held` has the panels that are in the slots before the run, and afterwards those
    /// after it.
    fn missing(&self, visits: impl Iterator<Item = u32>, held: &mut [Option<u32>]) -> Vec<u32> {
        visits.filter(|&panel| held[self.slot(panel)].replace(panel) != Some(panel)).collect()
    }
}

/// A recording that is being submitted.
pub(super) struct Pass<'a> {
    slots: &'a Slots,
    held: MutexGuard<'a, Vec<Option<u32>>>,
}

impl Pass<'_> {
    /// Waits until a panel has been read, and submits its copy to its slot, unless it is there already.
    pub fn bring(&mut self, gpu: &Gpu, panel: u32) -> Result<(), Error> {
        let slot = self.slots.slot(panel);
        if self.held[slot] == Some(panel) {
            return Ok(());
        }
        let mut staging = self.slots.ahead.take(panel)?;
        // The copy is a submission of its own. So the staging memory is free again before the computation with the panel ends.
        staging.copy_to(gpu, &self.slots.buffers[slot], self.slots.layout.bytes(panel))?;
        self.held[slot] = Some(panel);
        staging.spend();
        Ok(())
    }
}
