//! What an engine is: something that takes activations, opens sessions over a workspace and runs recordings.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use unmix_kernels::{BufferId, Recording, Workspace};

use crate::activations::Storage;
use crate::stream::Stream;
use crate::{ActivationSource, Activations, DeviceMemory, Error, PanelLayout, StreamOptions};

/// A result that arrives later. The work that produces it has been submitted when this is returned.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Kernels' CPU twins on all cores.
    Cpu,
    /// WGSL kernels on a wgpu device.
    Gpu,
}

impl EngineKind {
    /// `cpu` or `gpu`.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Cpu => "cpu",
            EngineKind::Gpu => "gpu",
        }
    }
}

/// What an engine allows and how it likes its work cut.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineLimits {
    /// Largest storage binding in bytes.
    pub max_binding_bytes: u64,
    /// Largest number of workgroups in one dimension.
    pub max_workgroups: u32,
    /// Parts into which a tall product is split so that every core of the device has work; 1 where a kernel splits its
    /// work itself.
    pub product_splits: u32,
    /// Rows over which one f32 sum may run where the loss depends on it; `u32::MAX` where sums are blocked anyway.
    pub summation_rows: u32,
    /// Iterations that may be submitted before the first one's loss is awaited; 0 where running is synchronous.
    pub lookahead: u32,
    /// Most tokens of one dispatch of a pass. Shaders that loop over tokens then stay far below 65,535 iterations, after which Mesa's
    /// software renderer ends all loops without an error; and one workgroup for each token stays within WebGPU's limit of 65,535.
    pub dispatch_rows: u32,
    /// About the most FLOPs of one dispatch of a pass, so that none runs for more than about 100 ms. A driver may reset a device that is
    /// busy for longer.
    pub dispatch_flops: u64,
    /// Most bytes of a panel of activations: what suits the caches of a CPU, or the memory of a GPU. A panel has at least one row,
    /// and never more than `max_binding_bytes`.
    pub panel_bytes: u64,
    /// Whether rows must be padded to 16 bytes, as the shaders' wide loads require.
    pub padded_rows: bool,
    /// Fits of a batch that may run at the same time, with memory for intermediate results of their own; 1 where commands run one after
    /// the other.
    pub side_by_side: usize,
}

/// Most bytes of a panel on a GPU in hardware. The panels in flight of a stream should fit the memory of a small GPU.
const GPU_PANEL_BYTES: u64 = 256 << 20;
/// Most tokens of a dispatch on a GPU: the last multiple of a tile of 64 tokens up to 65,535.
const GPU_DISPATCH_ROWS: u32 = 65_535 / 64 * 64;
/// What a GPU with memory of its own computes in 100 ms, if it is slow.
const GPU_DISPATCH_FLOPS: u64 = 250_000_000_000;

impl EngineLimits {
    /// How the wgpu engine likes its work cut on a GPU that has memory of its own, and binds up to `max_binding_bytes` bytes.
    pub fn of_gpu(max_binding_bytes: u64) -> Self {
        EngineLimits {
            max_binding_bytes: max_binding_bytes & !15,
            max_workgroups: 65_535,
            product_splits: 32,
            summation_rows: 256,
            lookahead: 2,
            dispatch_rows: GPU_DISPATCH_ROWS,
            dispatch_flops: GPU_DISPATCH_FLOPS,
            panel_bytes: max_binding_bytes.min(GPU_PANEL_BYTES) & !15,
            padded_rows: true,
            side_by_side: 1,
        }
    }
}

/// Something that runs recordings.
pub trait Engine: Send + Sync + Debug {
    /// Which engine.
    fn kind(&self) -> EngineKind;

    /// Name of the adapter or processor, for people.
    fn adapter(&self) -> &str;

    /// What it allows.
    fn limits(&self) -> &EngineLimits;

    /// Whose memory it computes in.
    fn device_memory(&self) -> DeviceMemory {
        DeviceMemory::OfHost
    }

    /// How it cuts activations into panels, whether they are then resident or streamed. Nothing is read.
    ///
    /// # Errors
    /// If there are no activations, or a panel does not fit a binding.
    fn layout(&self, source: &dyn ActivationSource) -> Result<PanelLayout, Error>;

    /// Makes activations resident in row panels.
    ///
    /// # Errors
    /// If they cannot be read or do not fit in memory.
    fn load(&self, source: &dyn ActivationSource) -> Result<Activations, Error>;

    /// Cuts activations into the same panels as [`load`](Self::load), but leaves them where they are. Each session reads them
    /// panel by panel, in every recording that visits them, into a few slots of its own; a thread reads ahead. Results are the
    /// same to the bit. The source must not change as long as it is in use.
    ///
    /// # Errors
    /// If there are no activations, or a panel does not fit a binding.
    fn stream(&self, source: Arc<dyn ActivationSource + Send>, options: &StreamOptions) -> Result<Activations, Error> {
        let layout = self.layout(&*source)?;
        Ok(Activations { layout, storage: Storage::Streamed(Stream::new(source, options)?) })
    }

    /// Allocates every buffer of `workspace`, zeroed, after checking all of them against the limits. Panels of
    /// `activations` can be bound by the session's recordings.
    ///
    /// # Errors
    /// If a buffer is over a limit or memory runs out.
    fn open(&self, workspace: &Workspace, activations: &Activations) -> Result<Box<dyn Session>, Error>;
}

/// Allocated buffers of one workspace.
pub trait Session: Send + Sync {
    /// Writes bytes into a buffer, after everything that was run before. `offset` and length are multiples of 4.
    ///
    /// # Errors
    /// If the device is lost.
    fn write(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Starts reading `bytes` bytes of a buffer as everything run so far leaves it; later runs do not change what
    /// arrives. `offset` and length are multiples of 4.
    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Pending<Vec<u8>>;

    /// Says that nobody needs a buffer's content any more, so that its memory can be given back; the buffer stays, with arbitrary
    /// content. An engine may leave it as it is.
    fn release(&self, _buffer: BufferId) {}

    /// Makes a recording ready to be run many times (pipelines, bind groups, parameters).
    ///
    /// # Errors
    /// If the device refuses a pipeline or memory runs out.
    fn prepare(&self, recording: Recording) -> Result<Box<dyn Prepared>, Error>;
}

/// A recording made ready by [`Session::prepare`].
pub trait Prepared: Send + Sync {
    /// Runs it; on a GPU, submits it and returns. Where activations are streamed, it waits for panels that are still being read.
    ///
    /// # Errors
    /// If the device is lost or refuses the work, or activations that are streamed cannot be read. After that, some commands
    /// may have run and others not; the session stays usable.
    fn run(&self) -> Result<(), Error>;

    /// Runs it with a timestamp after each command, and gives the seconds that each took; none where the engine cannot tell
    /// them apart, and nothing ran. Slower than [`run`](Self::run), since no command overlaps another. The time to read activations
    /// that are streamed, and to bring them to the device, counts for no command.
    fn time(&self) -> Pending<Option<Vec<f64>>>;

    /// The recording.
    fn recording(&self) -> &Recording;
}

/// Waits for a [`Pending`] result or another future. The synchronous calls wait for their results here.
pub fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}
