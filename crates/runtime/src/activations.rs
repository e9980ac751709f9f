//! Activations as an engine reads them: resident or streamed.

use std::sync::Arc;

use bytes::Bytes;

use crate::stream::Stream;
use crate::{Error, PanelLayout};

/// Activations that an engine can read, panel by panel. They are resident in memory ([`Engine::load`](crate::Engine::load)), or
/// read again in every pass ([`Engine::stream`](crate::Engine::stream)): the layout is the same, and so are the results. Cheap to
/// clone; the memory is freed with the last clone.
#[derive(Clone, Debug)]
pub struct Activations {
    pub(crate) layout: PanelLayout,
    pub(crate) storage: Storage,
}

#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Each panel in host memory, rows `stride` elements apart.
    Host(Arc<[Bytes]>),
    /// One slice of a device buffer a panel.
    Device(Arc<Vec<DevicePanel>>),
    /// Nothing: panels are read when they are visited, into memory of the session.
    Streamed(Stream),
}

/// A panel in device memory.
#[derive(Clone, Debug)]
pub(crate) struct DevicePanel {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

impl Activations {
    /// How the matrix is cut.
    pub fn layout(&self) -> &PanelLayout {
        &self.layout
    }

    /// Whether they are read again in every pass, rather than resident in memory.
    pub fn is_streamed(&self) -> bool {
        matches!(self.storage, Storage::Streamed(_))
    }

    /// An error that names their shape.
    pub(crate) fn unsuitable(&self, problem: &str) -> Error {
        let (tokens, neurons) = (self.layout.tokens, self.layout.neurons.into());
        Error::Activations { tokens, neurons, problem: problem.to_owned() }
    }
}
