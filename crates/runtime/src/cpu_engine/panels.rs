//! How the CPU engine gets the panels of activations.

use std::sync::Arc;

use bytes::Bytes;
use unmix_kernels::Recording;

use crate::host_memory::HostMemory;
use crate::read_ahead::{ReadAhead, Taken};
use crate::schedule::{Schedule, TwoPanels};
use crate::stream::Stream;
use crate::{Error, PanelLayout};

/// The panels of a session.
pub(super) enum Panels {
    /// All panels are in memory, which the engine or the source owns.
    Resident(Arc<[Bytes]>),
    /// Panels are read when they are visited.
    Streamed(ReadAhead<HostMemory>, PanelLayout),
}

impl Panels {
    /// Panels that a thread reads from `stream` into `slots`, each of which holds the largest.
    pub fn streamed(stream: Stream, layout: PanelLayout, slots: Vec<HostMemory>) -> Result<Self, Error> {
        let of_reader = layout.clone();
        let ahead = ReadAhead::start(slots, move |panel, slot: &mut HostMemory| {
            let length = of_reader.bytes(panel) as usize;
            stream.read(of_reader.rows(panel), &mut bytemuck::cast_slice_mut(slot.words_mut())[..length])
        })?;
        Ok(Panels::Streamed(ahead, layout))
    }

    /// How a recording is run over them.
    pub fn schedule(&self, recording: &Recording) -> Result<Schedule, TwoPanels> {
        match self {
            Panels::Resident(_) => Ok(Schedule::undivided(recording)),
            Panels::Streamed(..) => Schedule::new(recording),
        }
    }

    /// Announces a run that [takes](Self::take) these panels, in this order.
    pub fn announce(&self, visits: &[u32]) {
        if let (Panels::Streamed(ahead, layout), Some(last)) = (self, visits.last()) {
            ahead.announce(visits.to_vec(), layout.panels_from(*last));
        }
    }

    /// Waits for a panel of a [schedule](Self::schedule).
    pub fn take(&self, panel: u32) -> Result<Visited<'_>, Error> {
        match self {
            Panels::Resident(panels) => Ok(Visited::Resident(&panels[panel as usize])),
            Panels::Streamed(ahead, layout) => Ok(Visited::Slot(ahead.take(panel)?, layout.bytes(panel) as usize)),
        }
    }

    /// A panel's bytes, where `visited` are those of the panel that was taken.
    pub fn bytes<'a>(&'a self, panel: u32, visited: Option<&'a [u8]>) -> &'a [u8] {
        match self {
            Panels::Resident(panels) => &panels[panel as usize],
            Panels::Streamed(..) => visited.unwrap_or_default(),
        }
    }
}

/// A panel that stays where it is as long as this is kept.
pub(super) enum Visited<'a> {
    Resident(&'a [u8]),
    /// With the panel's length in bytes.
    Slot(Taken<'a, HostMemory>, usize),
}

impl Visited<'_> {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Visited::Resident(bytes) => bytes,
            Visited::Slot(slot, length) => &(**slot).as_ref()[..*length],
        }
    }
}
