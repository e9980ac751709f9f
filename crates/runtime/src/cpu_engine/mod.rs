//! The CPU engine: runs recordings with the kernels' twins on all cores.

mod panels;
mod phases;
mod session;
mod strands;

use std::ops::Range;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use unmix_kernels::{VECTORS_VARIABLE, Vectors, Workspace, product_instructions};

use self::panels::Panels;
use self::session::CpuSession;
use crate::activation_source::checked_shape;
use crate::activations::Storage;
use crate::host_memory::HostMemory;
use crate::{ActivationSource, Activations, Engine, EngineKind, EngineLimits, Error, PanelLayout, Session};

/// Least and most bytes of a panel. Of the last-level cache it takes an eighth between them: the [K, d] accumulators that it adds
/// to should stay there as well, and the cache is often shared with others.
const PANEL_BYTES: [u64; 2] = [16 << 20, 64 << 20];
/// Fewest rows in a panel. The accumulators are read and written once for each panel, and this must not cost more than the product.
const PANEL_ROWS: u64 = 512;
/// Fits of a batch that run at the same time. The steps of a fit that keep one thread busy are then hidden behind the work of the others, the
/// threads of few cores need not wait for one another in every command, and activations are decoded once for all of them. The ten runs of a
/// consensus that are in memory go in two turns. More fits at a time would need more memory.
const FITS_SIDE_BY_SIDE: usize = 5;

/// The name of the adapter: the processor, what is special about its use, and the number of threads.
fn adapter() -> String {
    let vectors = Vectors::of_environment().unwrap_or_else(|value| {
        log::warn!("{VECTORS_VARIABLE}={value} changes nothing: it can be scalar or avx2");
        Vectors::Widest
    });
    let used = match vectors {
        Vectors::Scalar => " without vectors".into(),
        Vectors::Avx2 => " with AVX2 at most".into(),
        Vectors::Widest => product_instructions().map_or_else(String::new, |used| format!(" with {}", used.name())),
    };
    format!("{} CPU{used}, {} threads", std::env::consts::ARCH, rayon::current_num_threads())
}

/// Runs recordings on the CPU, in the calling thread and rayon's global pool.
#[derive(Debug)]
pub struct CpuEngine {
    adapter: String,
    limits: EngineLimits,
    /// Fewest rows to a panel.
    panel_rows: u64,
}

impl Default for CpuEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuEngine {
    /// An engine on all cores of rayon's global pool.
    pub fn new() -> Self {
        CpuEngine {
            adapter: adapter(),
            limits: EngineLimits {
                max_binding_bytes: u64::MAX,
                max_workgroups: u32::MAX,
                product_splits: 1,
                summation_rows: u32::MAX,
                lookahead: 0,
                dispatch_rows: u32::MAX,
                dispatch_flops: u64::MAX,
                panel_bytes: (Self::last_level_cache().unwrap_or(0) / 8).clamp(PANEL_BYTES[0], PANEL_BYTES[1]),
                padded_rows: false,
                side_by_side: FITS_SIDE_BY_SIDE,
            },
            panel_rows: PANEL_ROWS,
        }
    }

    /// Sets the largest size of a panel in bytes. A panel always has at least one row. Sums are taken panel by panel, so the last digits of
    /// results depend on this size. The default depends on the processor's cache.
    pub fn panel_bytes(mut self, bytes: u64) -> Self {
        self.limits.panel_bytes = bytes;
        self.panel_rows = 1;
        self
    }

    /// Size of the processor's last-level cache in bytes. `None` if the processor does not tell it. Only x86 processors do.
    pub fn last_level_cache() -> Option<u64> {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            let caches = raw_cpuid::CpuId::new().get_cache_parameters()?;
            let bytes = |cache: raw_cpuid::CacheParameter| {
                let lines = cache.associativity() * cache.physical_line_partitions() * cache.coherency_line_size();
                lines as u64 * cache.sets() as u64
            };
            caches.map(bytes).max()
        }
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        None
    }
}

impl Engine for CpuEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Cpu
    }

    fn adapter(&self) -> &str {
        &self.adapter
    }

    fn limits(&self) -> &EngineLimits {
        &self.limits
    }

    fn layout(&self, source: &dyn ActivationSource) -> Result<PanelLayout, Error> {
        let (tokens, neurons) = checked_shape(source)?;
        let row_bytes = u64::from(neurons) * source.element().bytes() as u64;
        let panel_bytes = self.limits.panel_bytes.max(self.panel_rows * row_bytes);
        Ok(PanelLayout::new(tokens, neurons, source.element(), false, panel_bytes).with_panel_rows(source.panel_rows()))
    }

    fn load(&self, source: &dyn ActivationSource) -> Result<Activations, Error> {
        let layout = self.layout(source)?;
        let panels =
            (0..layout.panels()).map(|panel| self.load_rows(source, layout.rows(panel))).collect::<Result<_, _>>()?;
        Ok(Activations { layout, storage: Storage::Host(panels) })
    }

    fn open(&self, workspace: &Workspace, activations: &Activations) -> Result<Box<dyn Session>, Error> {
        let layout = &activations.layout;
        let panels = match &activations.storage {
            Storage::Host(panels) => Panels::Resident(Arc::clone(panels)),
            Storage::Streamed(stream) if layout.stride == layout.neurons => {
                let bytes = u64::from(layout.panel_rows).checked_mul(layout.row_bytes());
                let slot = || self.allocate("a panel of streamed activations", bytes);
                let slots = (0..stream.slots(layout)).map(|_| slot()).collect::<Result<_, _>>()?;
                Panels::streamed(stream.clone(), layout.clone(), slots)?
            }
            Storage::Streamed(_) => {
                return Err(activations.unsuitable("streamed with padded rows; stream them with the CPU engine"));
            }
            Storage::Device(_) => {
                return Err(activations.unsuitable("resident on another engine; load them with the CPU engine"));
            }
        };
        let buffers = workspace
            .buffers
            .iter()
            .map(|spec| Ok(RwLock::new(self.allocate(&spec.name, Some(spec.bytes))?)))
            .collect::<Result<_, Error>>()?;
        Ok(Box::new(CpuSession::new(&self.adapter, panels, buffers)))
    }
}

impl CpuEngine {
    /// The rows where the source has them in memory, or a copy if it does not.
    fn load_rows(&self, source: &dyn ActivationSource, rows: Range<u64>) -> Result<Bytes, Error> {
        let (tokens, neurons) = (source.tokens(), source.neurons());
        let needed = (rows.end - rows.start).checked_mul(neurons * source.element().bytes() as u64);
        let bytes = match source.shared_rows(rows.clone()) {
            Some(bytes) => bytes,
            None => {
                let mut owned = self.allocate("activations", needed)?;
                let length = needed.unwrap_or_default() as usize;
                let bytes = &mut bytemuck::cast_slice_mut(owned.words_mut())[..length];
                source.read_rows(rows, bytes).map_err(|e| Error::Read(e.to_string()))?;
                Bytes::from_owner(owned).slice(..length)
            }
        };
        if Some(bytes.len() as u64) != needed {
            let problem = format!("the source gave {} bytes, not rows × columns × element size", bytes.len());
            return Err(Error::Activations { tokens, neurons, problem });
        }
        Ok(bytes)
    }

    /// Allocates zeroed memory. If there is not enough, the result is an error instead of an abort.
    fn allocate(&self, what: &str, bytes: Option<u64>) -> Result<HostMemory, Error> {
        let words = bytes.and_then(|bytes| usize::try_from(bytes.div_ceil(4)).ok());
        words.and_then(HostMemory::zeroed).ok_or_else(|| Error::OutOfMemory {
            what: what.to_owned(),
            needed: bytes.unwrap_or(u64::MAX),
            adapter: self.adapter.clone(),
        })
    }
}
