//! The engine on a wgpu device: Vulkan, Metal, Direct3D 12.

mod adapter;
mod binding;
mod borrowed;
mod buffers;
mod device;
mod direct3d;
mod heap;
mod kernels;
mod marks;
mod panels;
mod pipelines;
mod pool;
mod prepared;
mod readback;
mod session;
mod staging;
#[cfg(test)]
mod tests;
mod timing;
mod trial;
mod upload;
mod variants;

use std::fmt;
use std::sync::Arc;

use unmix_kernels::{ElementType, Kernel, Precision, Variant, Workspace, compose};

use self::adapter::Opened;
use self::borrowed::BorrowedRows;
use self::device::Gpu;
use self::kernels::Kernels;
use self::panels::Panels;
use self::pipelines::Compose;
use self::readback::Readback;
use self::session::GpuSession;
use crate::activations::Storage;
use crate::{
    ActivationSource, Activations, DeviceMemory, Engine, EngineKind, EngineLimits, Error, PanelLayout, Session,
    block_on,
};

pub use self::adapter::{AdapterChoice, AdapterSummary, adapters, missing_driver};
pub use self::variants::Preference;

/// Runs recordings as WGSL kernels on a GPU, or on a software renderer. Cheap to clone; clones share the device, its
/// pipelines and its spare buffers.
#[derive(Clone)]
pub struct WgpuEngine {
    gpu: Arc<Gpu>,
    kernels: Arc<Kernels>,
    limits: EngineLimits,
}

impl WgpuEngine {
    /// Opens the best adapter that fits, and waits for it.
    ///
    /// # Errors
    /// If no adapter fits, its device does not open, or it cannot run a variant that `choice` asks for.
    pub fn new(choice: &AdapterChoice) -> Result<Self, Error> {
        block_on(Self::request(choice))
    }

    /// Opens the best adapter that fits.
    ///
    /// # Errors
    /// If no adapter fits, its device does not open, or it cannot run a variant that `choice` asks for.
    pub async fn request(choice: &AdapterChoice) -> Result<Self, Error> {
        let variants = choice.wanted_variants()?;
        let engine = Self::over(&adapter::open(choice).await?, choice.checked, compose)?;
        engine.gpu.listen();
        engine.try_read().await?;
        variants.iter().try_for_each(|preference| engine.prefer(preference))?;
        Ok(engine)
    }

    /// Reads a few bytes. A device that drops what it is given is an error from here on, before anyone relies on it.
    async fn try_read(&self) -> Result<(), Error> {
        let name = "a first read";
        let buffer = self.gpu.allocate(name, 4, wgpu::BufferUsages::COPY_SRC)?;
        Readback::start(&self.gpu, name, &buffer, 0, 4)?.await.map(drop)
    }

    /// An engine on a caller's own device. The device's error and loss handlers stay the caller's: the engine catches
    /// its own errors in error scopes, and hears of a loss at the next result. It uses f16 and subgroups where the device
    /// was opened with them, but no cooperative matrices: only an adapter tells which ones there are.
    ///
    /// # Errors
    /// If the device was opened with less than WebGPU's default limits for compute.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self, Error> {
        Self::over(&Opened { device, queue, matrices: Vec::new() }, false, compose)
    }

    fn over(opened: &Opened, checked: bool, compose: Compose) -> Result<Self, Error> {
        let gpu = Gpu::new(opened, checked)?;
        let (kernels, limits) = (Kernels::new(opened, compose), gpu.limits.clone());
        Ok(WgpuEngine { gpu: Arc::new(gpu), kernels: Arc::new(kernels), limits })
    }

    /// Sets the largest size of a panel in bytes, for activations that this engine and its later clones load or stream. A panel always has
    /// at least one row. Sums are taken panel by panel, so the last digits of results depend on this size. The default is 256 MiB, and 16
    /// MiB on a software renderer.
    pub fn panel_bytes(mut self, bytes: u64) -> Self {
        self.limits.panel_bytes = bytes.min(self.limits.max_binding_bytes);
        self
    }

    /// Sets about the most FLOPs of one dispatch of a pass. Sums are taken dispatch by dispatch, so the last digits of results depend on it.
    /// The default depends on the kind of device.
    pub fn dispatch_flops(mut self, flops: u64) -> Self {
        self.limits.dispatch_flops = flops;
        self
    }

    /// Activations that already lie in a buffer of this engine's device, without a copy: `tokens` rows of `neurons`
    /// elements from byte `offset` on, each `stride` elements after the one before. What lies between the rows is never
    /// used. The contents must not change while they are in use.
    ///
    /// # Errors
    /// If the buffer lacks the usage `STORAGE` or is too small, rows are not a multiple of 16 bytes apart, or `offset`
    /// is not a multiple of the device's `min_storage_buffer_offset_alignment`.
    pub fn activations_from_buffer(
        &self,
        buffer: wgpu::Buffer,
        offset: u64,
        tokens: u64,
        neurons: u32,
        element: ElementType,
        stride: u32,
    ) -> Result<Activations, Error> {
        BorrowedRows { buffer, offset, tokens, neurons, element, stride }
            .activations(&self.gpu, self.limits.panel_bytes)
    }

    /// The device, for work of the caller's own beside the engine's.
    pub fn device(&self) -> &wgpu::Device {
        &self.gpu.device
    }

    /// The device's queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.gpu.queue
    }

    /// Whether the adapter is a renderer on the processor; the CPU engine is then faster.
    pub fn is_software(&self) -> bool {
        self.gpu.software
    }

    /// The variants of a kernel that the device can run on operands of type `element`, in the order in which the engine
    /// takes them where nothing else is [preferred](Self::prefer). For small operands it passes over large tiles.
    pub fn variants(&self, kernel: &Kernel, element: ElementType) -> Vec<&'static Variant> {
        self.kernels.variants.offered(kernel, element)
    }

    /// Has recordings that are prepared from now on, on this engine and its clones, use a variant of a kernel.
    ///
    /// # Errors
    /// If there is no such kernel or variant, or the device cannot run it; the message lists those that it can.
    pub fn prefer(&self, preference: &Preference) -> Result<(), Error> {
        self.kernels
            .variants
            .prefer(preference)
            .map_err(|feature| Error::MissingFeature { adapter: self.gpu.name.clone(), feature })
    }

    /// The variant that a dispatch of a kernel over this extent runs, on operands of type `element`, where products of this precision
    /// are allowed. A variant on cooperative matrices is tried before its first use, and passed over if its results are wrong.
    pub fn variant(
        &self,
        kernel: &Kernel,
        element: ElementType,
        precision: Precision,
        extent: [u32; 3],
    ) -> Option<&'static Variant> {
        self.kernels.variant(&self.gpu, kernel, element, precision, extent)
    }

    /// Frees the buffers that are kept for the next session.
    pub fn trim(&self) {
        self.gpu.pool.clear();
    }
}

impl fmt::Debug for WgpuEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WgpuEngine").field("adapter", &self.gpu.name).field("limits", &self.limits).finish()
    }
}

impl Engine for WgpuEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Gpu
    }

    fn adapter(&self) -> &str {
        &self.gpu.name
    }

    fn limits(&self) -> &EngineLimits {
        &self.limits
    }

    fn device_memory(&self) -> DeviceMemory {
        self.gpu.memory
    }

    fn layout(&self, source: &dyn ActivationSource) -> Result<PanelLayout, Error> {
        upload::layout(&self.gpu, self.limits.panel_bytes, source)
    }

    fn load(&self, source: &dyn ActivationSource) -> Result<Activations, Error> {
        upload::load(&self.gpu, self.layout(source)?, source)
    }

    fn open(&self, workspace: &Workspace, activations: &Activations) -> Result<Box<dyn Session>, Error> {
        let layout = &activations.layout;
        let panels = match &activations.storage {
            Storage::Device(panels) => Panels::Resident(Arc::clone(panels)),
            Storage::Streamed(stream) if layout.row_bytes().is_multiple_of(16) => {
                upload::check_panel(&self.gpu, layout)?;
                Panels::streamed(&self.gpu, stream, layout)?
            }
            Storage::Streamed(_) => {
                return Err(activations.unsuitable("streamed without padded rows; stream them with this engine"));
            }
            Storage::Host(_) => {
                return Err(activations.unsuitable("they are resident in host memory; load them with this engine"));
            }
        };
        Ok(Box::new(GpuSession::open(&self.gpu, &self.kernels, workspace, panels)?))
    }
}
