//! Work as data. A [`Recording`] is a list of plain commands over named buffers. Solvers only record, and an engine
//! executes. The cost model takes bytes and FLOPs from the same list.

use std::ops::Range;

use crate::kernel::Kernel;
use crate::{ElementType, Promise, Reduction};

/// A buffer of a [`Workspace`], identified by its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub u32);

/// Name and size of one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferSpec {
    /// What it holds, for messages and for listings of recordings.
    pub name: String,
    /// Size in bytes, a multiple of 16.
    pub bytes: u64,
}

/// Every buffer that a piece of work needs, computed before anything is allocated.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The buffers; a [`BufferId`] is an index into this list.
    pub buffers: Vec<BufferSpec>,
}

impl Workspace {
    /// Adds a zero-initialised buffer of `words` 32-bit words.
    pub fn words(&mut self, name: impl Into<String>, words: u64) -> BufferId {
        let bytes = (words.max(1) * 4).next_multiple_of(16);
        self.buffers.push(BufferSpec { name: name.into(), bytes });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// Adds an f32 matrix of `rows` × `columns` whose rows are padded to 16 bytes.
    pub fn matrix(&mut self, name: impl Into<String>, rows: u32, columns: u32) -> Matrix {
        let stride = columns.next_multiple_of(4);
        let id = self.words(name, u64::from(rows) * u64::from(stride));
        Matrix { resource: Resource::Buffer(id), element: ElementType::F32, rows, columns, stride, first: 0 }
    }

    /// Adds a matrix of stored elements, rows `stride` elements apart: a copy of activations.
    pub fn elements(
        &mut self,
        name: impl Into<String>,
        element: ElementType,
        rows: u32,
        columns: u32,
        stride: u32,
    ) -> Matrix {
        let bytes = u64::from(rows) * u64::from(stride) * element.bytes() as u64;
        let id = self.words(name, bytes.div_ceil(4));
        Matrix { resource: Resource::Buffer(id), element, rows, columns, stride, first: 0 }
    }

    /// Total bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.bytes).sum()
    }
}

/// What a binding refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A buffer of the workspace.
    Buffer(BufferId),
    /// A panel of rows of the activations.
    Panel(u32),
}

impl From<BufferId> for Resource {
    fn from(id: BufferId) -> Self {
        Resource::Buffer(id)
    }
}

/// A row-major matrix somewhere in memory: activations panel, coefficients, features, Gram matrix, …
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matrix {
    /// Where it is.
    pub resource: Resource,
    /// Storage type. It is f32 for everything but panels of activations.
    pub element: ElementType,
    /// Number of rows.
    pub rows: u32,
    /// Number of columns in use.
    pub columns: u32,
    /// Elements from one row to the next. In buffers this is always a multiple of 16 bytes, and on a GPU in panels as
    /// well.
    pub stride: u32,
    /// Elements before the first row. It is 0, except for [parts](Matrix::part) and [samples](Matrix::sampled) of
    /// activations.
    pub first: u32,
}

impl Matrix {
    /// The first `rows` rows.
    ///
    /// If there are fewer rows.
    pub fn first_rows(self, rows: u32) -> Matrix {
        assert!(rows <= self.rows);
        Matrix { rows, ..self }
    }

    /// The `rows` rows from `first_row` on. Kernels that read activations can read a part of a panel.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub fn part(self, first_row: u32, rows: u32) -> Matrix {
        assert!(first_row + rows <= self.rows);
        Matrix { rows, first: self.first + first_row * self.stride, ..self }
    }

    /// A sample of the rows. The rows of this matrix are the rows `first_row`, `first_row` + 1, … of a larger matrix.
    /// The sample has those whose number in the larger matrix is a multiple of `step`, so it is the same however the
    /// larger matrix is cut. None if there is no such row. Kernels that project can read samples, and so can the cross
    /// product and the squared norms.
    ///
    /// # Panics
    /// If `step` is 0.
    pub fn sampled(self, first_row: u32, step: u32) -> Option<Matrix> {
        let before = first_row.next_multiple_of(step) - first_row;
        let rows = self.rows.checked_sub(before)?.div_ceil(step);
        // A single row has no next one, so the distance to it need not fit.
        let stride = if rows > 1 { self.stride * step } else { self.stride };
        (rows > 0).then(|| Matrix { rows, stride, first: self.first + before * self.stride, ..self })
    }

    /// The first `columns` columns.
    ///
    /// If there are fewer columns.
    pub fn first_columns(self, columns: u32) -> Matrix {
        assert!(columns <= self.columns);
        Matrix { columns, ..self }
    }

    /// The buffer that holds it.
    ///
    /// # Panics
    /// If it is a panel of activations.
    pub fn buffer(&self) -> BufferId {
        match self.resource {
            Resource::Buffer(id) => id,
            Resource::Panel(panel) => panic!("panel {panel} of the activations is not a buffer of the workspace"),
        }
    }

    /// Bytes of the elements in use.
    pub fn bytes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.columns) * self.element.bytes() as u64
    }

    /// Moves all of it by reading. A part of a panel lies where its rows are.
    pub fn read(&self) -> Moved {
        let before = u64::from(self.first / self.stride.max(1)) * u64::from(self.columns) * self.element.bytes() as u64;
        Moved { read: before..before + self.bytes(), written: 0..0 }
    }

    /// Moves all of it by writing.
    pub fn written(&self) -> Moved {
        Moved::written(self.bytes())
    }

    /// Moves all of it by reading and writing.
    pub fn updated(&self) -> Moved {
        Moved::updated(self.bytes())
    }

    /// Where the elements in use of `count` rows from `first` on are among all elements in use, in bytes.
    pub fn row_range(&self, first: u32, count: u32) -> Range<u64> {
        let row = u64::from(self.columns) * self.element.bytes() as u64;
        u64::from(first) * row..u64::from(first + count) * row
    }

    /// Elements from the first row to the last, including padding.
    pub fn elements(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.stride)
    }
}

/// What a dispatch moves of one binding: byte ranges within the operand, without padding. Each byte counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// What is read.
    pub read: Range<u64>,
    /// What is written.
    pub written: Range<u64>,
}

impl Moved {
    /// The first `bytes` bytes are read.
    pub fn read(bytes: u64) -> Self {
        Moved { read: 0..bytes, written: 0..0 }
    }

    /// The first `bytes` bytes are written.
    pub fn written(bytes: u64) -> Self {
        Moved { read: 0..0, written: 0..bytes }
    }

    /// The first `bytes` bytes are read and written.
    pub fn updated(bytes: u64) -> Self {
        Moved { read: 0..bytes, written: 0..bytes }
    }

    /// The first `bytes` bytes are written. If the result is added to what is there, they are read before that.
    pub fn summed(bytes: u64, accumulate: bool) -> Self {
        if accumulate { Self::updated(bytes) } else { Self::written(bytes) }
    }
}

/// What a dispatch moves and computes. This is the input of the roofline model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// What is moved of each binding, in the kernel's order. If it is empty, nothing is moved.
    pub moved: Vec<Moved>,
    /// Floating-point operations. A multiply-add counts as two.
    pub flops: u64,
}

impl Cost {
    /// Bytes read and written, if every operand comes from memory once and goes there once.
    pub fn bytes(&self) -> u64 {
        let length = |range: &Range<u64>| range.end - range.start;
        self.moved.iter().map(|moved| length(&moved.read) + length(&moved.written)).sum()
    }
}

/// What a workgroup does one after the other, however many threads and workgroups there are. This is an input of the model of cycles. A kernel
/// whose work is in one loop, or side by side, has none: the machine code of its loop tells how long it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Barriers, each with what is read from workgroup memory behind it.
    pub barriers: u64,
    /// Loads of what is in the cache, each of which waits for the one before.
    pub loads: u64,
    /// Cycles of short loops between them.
    pub cycles: u64,
}

impl Chain {
    /// This chain, and another one after it.
    pub fn then(self, next: Chain) -> Chain {
        Chain {
            barriers: self.barriers + next.barriers,
            loads: self.loads + next.loads,
            cycles: self.cycles + next.cycles,
        }
    }

    /// This chain so many times, one after the other.
    pub fn times(self, count: u64) -> Chain {
        Chain { barriers: self.barriers * count, loads: self.loads * count, cycles: self.cycles * count }
    }
}

/// One kernel over given operands.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Which kernel.
    pub kernel: &'static Kernel,
    /// Storage type of the operand at binding 0 if the kernel reads elements, or else f32.
    pub element: ElementType,
    /// What an engine may rely on or leave out.
    pub promise: Promise,
    /// The kernel's parameter struct as bytes.
    pub params: Vec<u8>,
    /// Storage bindings in the order of [`Kernel::access`].
    pub bindings: Vec<Resource>,
    /// How much there is to do in x, y and z. The engine divides it by the tile of the variant that it picks. For a
    /// kernel with only one variant, this is the number of workgroups.
    pub extent: [u32; 3],
    /// Cost for the roofline model.
    pub cost: Cost,
    /// What a workgroup does one after the other.
    pub chain: Chain,
    /// Elements that are read alone, far from what the same threads read besides. This is an input of the model of cycles.
    pub scattered: u64,
    /// FLOPs of the largest workgroup, as a multiple of the mean, for the same model.
    pub unevenness: f64,
    /// Operands that a twin prepares before it computes with them: decodes, or looks for their nonzeros. Dispatches of the kernel that have one
    /// of them in common can be computed [together](crate::CpuTwin::Together).
    pub prepared: Vec<Matrix>,
}

/// A command of a recording.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run a kernel.
    Dispatch(Dispatch),
    /// Fill a buffer with zeros.
    Clear(BufferId),
    /// Copy the first `bytes` of one buffer to another.
    Copy {
        /// Source.
        from: BufferId,
        /// Destination.
        to: BufferId,
        /// Number of bytes, a multiple of 4.
        bytes: u64,
    },
    /// Add sums over a segment of the tokens to those over the others, in all processes.
    Reduce(Reduction),
}

/// A list of commands, executed in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The commands.
    pub commands: Vec<Command>,
}

impl Recording {
    /// An empty recording.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a kernel that promises nothing, and returns the dispatch. The wrappers of the kernels use it, which know
    /// the operands' shapes.
    ///
    /// # Panics
    /// If the number of bindings or the size of the parameters is not the kernel's. If the cost is for another number
    /// of bindings. If something is bound twice and written, which neither a GPU nor a CPU twin can run.
    pub fn dispatch<P: bytemuck::NoUninit>(
        &mut self,
        kernel: &'static Kernel,
        element: ElementType,
        params: &P,
        bindings: &[Resource],
        extent: [u32; 3],
        cost: Cost,
    ) -> &mut Dispatch {
        assert_eq!(bindings.len(), kernel.access.len(), "{}: bindings", kernel.name);
        assert_eq!(size_of::<P>(), kernel.params_size, "{}: parameters", kernel.name);
        assert!([0, bindings.len()].contains(&cost.moved.len()), "{}: cost", kernel.name);
        for (i, (binding, access)) in bindings.iter().zip(kernel.access).enumerate() {
            let others = bindings.iter().enumerate().filter(|(j, other)| *j != i && *other == binding).count();
            assert!(
                *access == crate::Access::Read || others == 0,
                "{}: binding {i} is written and bound twice",
                kernel.name
            );
        }
        self.commands.push(Command::Dispatch(Dispatch {
            kernel,
            element,
            promise: Promise::default(),
            params: bytemuck::bytes_of(params).to_vec(),
            bindings: bindings.to_vec(),
            extent,
            cost,
            chain: Chain::default(),
            scattered: 0,
            unevenness: 1.0,
            prepared: Vec::new(),
        }));
        match self.commands.last_mut() {
            Some(Command::Dispatch(dispatch)) => dispatch,
            _ => unreachable!("a dispatch was pushed"),
        }
    }

    /// Records filling `buffer` with zeros.
    pub fn clear(&mut self, buffer: BufferId) {
        self.commands.push(Command::Clear(buffer));
    }

    /// Records a copy of the first `bytes` of `from` to the start of `to`. Records nothing if they are the same buffer.
    pub fn copy(&mut self, from: BufferId, to: BufferId, bytes: u64) {
        if from != to {
            self.commands.push(Command::Copy { from, to, bytes });
        }
    }

    /// Records the reduction of sums over the tokens of all processes.
    pub fn reduce(&mut self, reduction: Reduction) {
        self.commands.push(Command::Reduce(reduction));
    }

    /// The dispatches, in order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.commands.iter().filter_map(|command| match command {
            Command::Dispatch(dispatch) => Some(dispatch),
            _ => None,
        })
    }

    /// Adds the commands of `other` after its own.
    pub fn append(&mut self, mut other: Recording) {
        self.commands.append(&mut other.commands);
    }

    /// Floating-point operations of all dispatches.
    pub fn flops(&self) -> u64 {
        self.dispatches().map(|dispatch| dispatch.cost.flops).sum()
    }
}
