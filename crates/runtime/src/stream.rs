//! Activations that are read again in every pass.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::{ActivationSource, Error, PanelLayout};

/// How [`Engine::stream`](crate::Engine::stream) keeps activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Panels that are in memory at once, at least 1. The default is 3: one is computed with while the next ones are read. On a
    /// GPU so many panels are in device memory, and as many in host memory on their way to the device.
    pub slots: u32,
}

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions { slots: 3 }
    }
}

/// A source whose panels are read when a recording visits them.
#[derive(Clone)]
pub(crate) struct Stream {
    source: Arc<dyn ActivationSource + Send>,
    /// Panels in memory at once.
    slots: u32,
}

impl Stream {
    pub fn new(source: Arc<dyn ActivationSource + Send>, options: &StreamOptions) -> Result<Self, Error> {
        if options.slots == 0 {
            let (tokens, neurons) = (source.tokens(), source.neurons());
            let problem = "streaming with 0 slots; at least 1 is needed, 3 are usual".to_owned();
            return Err(Error::Activations { tokens, neurons, problem });
        }
        Ok(Stream { source, slots: options.slots })
    }

    /// Panels in memory at once: no more than there are.
    pub fn slots(&self, layout: &PanelLayout) -> usize {
        self.slots.min(layout.panels()) as usize
    }

    /// Reads rows, without padding, into `out`.
    pub fn read(&self, rows: Range<u64>, out: &mut [u8]) -> Result<(), Error> {
        self.source.read_rows(rows, out).map_err(|error| Error::Read(error.to_string()))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("slots", &self.slots).finish_non_exhaustive()
    }
}
