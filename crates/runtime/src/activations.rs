//! Activations as an engine reads them: in row panels of bounded size, resident or streamed.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use unmix_kernels::{ElementType, Matrix, Resource};

use crate::Error;
use crate::stream::Stream;

/// Where activations come from: memory, a mapped file, a caller's own type.
pub trait ActivationSource: Sync {
    /// Number of rows.
    fn tokens(&self) -> u64;

    /// Number of columns.
    fn neurons(&self) -> u64;

    /// Storage type of [`read_rows`](Self::read_rows)'s bytes.
    fn element(&self) -> ElementType;

    /// Writes the little-endian elements of `rows` to `out`, row after row without padding. A session over streamed activations
    /// calls it from a thread of its own, one call at a time, for the panels in the order in which they are visited.
    ///
    /// # Errors
    /// If there are no such rows, `out` is of another size, or they cannot be read.
    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()>;

    /// Refuses rows that there are not, and an `out` of another size than theirs: what [`read_rows`](Self::read_rows) must do
    /// first.
    ///
    /// # Errors
    /// If they are refused.
    fn check_rows(&self, rows: &Range<u64>, out: &[u8]) -> std::io::Result<()> {
        let refused = |problem: String| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, problem));
        if rows.start > rows.end || rows.end > self.tokens() {
            return refused(format!("rows {rows:?} of a matrix of {} rows", self.tokens()));
        }
        let bytes = u128::from(rows.end - rows.start) * u128::from(self.neurons()) * self.element().bytes() as u128;
        if out.len() as u128 != bytes {
            return refused(format!("rows {rows:?} take {bytes} bytes, not {}", out.len()));
        }
        Ok(())
    }

    /// The bytes that [`read_rows`](Self::read_rows) would write, without a copy, where they lie in memory like that. They may be
    /// kept as long as the caller likes. `None` for rows that there are not.
    fn shared_rows(&self, _rows: Range<u64>) -> Option<Bytes> {
        None
    }
}

/// How a matrix of activations is cut into panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelLayout {
    /// Rows of the whole matrix.
    pub tokens: u64,
    /// Columns.
    pub neurons: u32,
    /// Storage type.
    pub element: ElementType,
    /// Rows of every panel but the last.
    pub panel_rows: u32,
    /// Elements from one row to the next.
    pub stride: u32,
}

impl PanelLayout {
    /// Cuts `tokens` × `neurons` into panels of at most `panel_bytes` (at least one row, at most 1,048,512).
    pub fn new(tokens: u64, neurons: u32, element: ElementType, padded_rows: bool, panel_bytes: u64) -> Self {
        let stride = if padded_rows { neurons.next_multiple_of(element.per_vector()) } else { neurons };
        let row_bytes = u64::from(stride) * element.bytes() as u64;
        // 2^20 rows less a tile: in workgroups of 16 rows they stay below 65,536.
        let most = (panel_bytes / row_bytes.max(1)).clamp(1, (1 << 20) - 64).min(tokens.max(1));
        // Equal panels: a short last one wastes a launch. 64 rows are a tile of every kernel.
        let count = tokens.max(1).div_ceil(most);
        let even = tokens.max(1).div_ceil(count);
        let rows = if even >= 64 && even.next_multiple_of(64) <= most { even.next_multiple_of(64) } else { even };
        PanelLayout { tokens, neurons, element, panel_rows: rows as u32, stride }
    }

    /// Number of panels.
    pub fn panels(&self) -> u32 {
        self.tokens.div_ceil(u64::from(self.panel_rows)) as u32
    }

    /// Rows of panel `panel`.
    pub fn rows(&self, panel: u32) -> Range<u64> {
        let first = u64::from(panel) * u64::from(self.panel_rows);
        first..(first + u64::from(self.panel_rows)).min(self.tokens)
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

/// Checks a source's shape before anything is read.
pub(crate) fn checked_shape(source: &dyn ActivationSource) -> Result<(u64, u32), Error> {
    let (tokens, neurons) = (source.tokens(), source.neurons());
    let problem = |problem: &str| Error::Activations { tokens, neurons, problem: problem.to_owned() };
    if tokens == 0 || neurons == 0 {
        return Err(problem("empty; at least one token and one neuron are needed"));
    }
    if neurons > 1 << 24 {
        return Err(problem("more than 2^24 neurons; is the matrix transposed?"));
    }
    Ok((tokens, neurons as u32))
}
