//! A source's rows as f32, a panel at a time.

use bytes::Bytes;
use unmix::ActivationSource;
use unmix_data::Error;

/// Values of a panel: in f32 it stays in a core's cache, and a product over it is large enough to be fast.
const PANEL_VALUES: usize = 1 << 18;

/// A source cut into panels of rows.
pub(crate) struct Panels<'a> {
    source: &'a dyn ActivationSource,
    shared: Option<Bytes>,
    rows: usize,
}

/// Memory for one panel, used again for the next.
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    values: Vec<f32>,
}

impl<'a> Panels<'a> {
    pub(crate) fn new(source: &'a dyn ActivationSource) -> Self {
        let rows = (PANEL_VALUES / (source.neurons() as usize).max(1)).max(1);
        Panels { source, shared: source.shared(), rows }
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        (self.source.tokens() as usize).div_ceil(self.rows)
    }

    /// Rows of every panel but the last.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row, at least 1 so that one can divide by it.
    pub(crate) fn neurons(&self) -> usize {
        (self.source.neurons() as usize).max(1)
    }

    pub(crate) fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    /// The values of panel `panel`, row after row; they may be changed.
    pub(crate) fn read<'s>(&self, panel: usize, scratch: &'s mut Scratch) -> Result<&'s mut [f32], Error> {
        let (neurons, element) = (self.source.neurons() as usize, self.source.element());
        let start = panel * self.rows;
        let end = (start + self.rows).min(self.source.tokens() as usize);
        let count = (end - start) * neurons;
        scratch.values.resize(count, 0.0);
        if let Some(shared) = &self.shared {
            let row = neurons * element.bytes();
            element.decode(&shared[start * row..end * row], &mut scratch.values);
        } else {
            scratch.bytes.resize(count * element.bytes(), 0);
            self.source
                .read_rows(start as u64..end as u64, &mut scratch.bytes)
                // What a file of unmix-data has to say came wrapped.
                .map_err(|error| error.downcast::<Error>().unwrap_or_else(Error::Read))?;
            element.decode(&scratch.bytes, &mut scratch.values);
        }
        Ok(&mut scratch.values)
    }
}
