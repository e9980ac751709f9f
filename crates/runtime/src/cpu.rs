//! The CPU engine: runs recordings with the kernels' twins on all cores.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use bytes::Bytes;
use unmix_kernels::{
    Access, BufferId, Call, Command, Dispatch, Memory, Recording, Resource, VECTORS_VARIABLE, Vectors, Workspace,
    uses_amx,
};

use crate::activations::{Storage, checked_shape};
use crate::host_memory::HostMemory;
use crate::{
    ActivationSource, Activations, Engine, EngineKind, EngineLimits, Error, PanelLayout, Pending, Prepared, Session,
};

/// Least and most bytes of a panel. Of the last-level cache it takes an eighth between them: the [K, d] accumulators that it adds
/// to should stay there as well, and the cache is often shared with others.
const PANEL_BYTES: [u64; 2] = [16 << 20, 64 << 20];
/// Fewest rows to a panel: the accumulators are read and written once a panel, which must not cost more than the product.
const PANEL_ROWS: u64 = 512;

/// The processor, what is special about how it is used, and its threads.
fn adapter() -> String {
    let vectors = Vectors::of_environment().unwrap_or_else(|value| {
        log::warn!("{VECTORS_VARIABLE}={value} changes nothing: it can be scalar or avx2");
        Vectors::Widest
    });
    let used = match vectors {
        Vectors::Scalar => " without vectors",
        Vectors::Avx2 => " with AVX2 at most",
        Vectors::Widest if uses_amx() => " with AMX",
        Vectors::Widest => "",
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
                panel_bytes: (Self::last_level_cache().unwrap_or(0) / 8).clamp(PANEL_BYTES[0], PANEL_BYTES[1]),
                padded_rows: false,
            },
            panel_rows: PANEL_ROWS,
        }
    }

    /// With panels of at most so many bytes, at least a row. Sums are taken panel by panel, so that results depend on it in their
    /// last digits; the default depends on the processor's cache.
    pub fn panel_bytes(mut self, bytes: u64) -> Self {
        self.limits.panel_bytes = bytes;
        self.panel_rows = 1;
        self
    }

    /// Bytes of the processor's last-level cache, where it tells: on x86.
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

    fn load(&self, source: &dyn ActivationSource) -> Result<Activations, Error> {
        let (tokens, neurons) = checked_shape(source)?;
        let row_bytes = u64::from(neurons) * source.element().bytes() as u64;
        let panel_bytes = self.limits.panel_bytes.max(self.panel_rows * row_bytes);
        let layout = PanelLayout::new(tokens, neurons, source.element(), false, panel_bytes);
        let panels =
            (0..layout.panels()).map(|panel| self.load_rows(source, layout.rows(panel))).collect::<Result<_, _>>()?;
        Ok(Activations { layout, storage: Storage::Host(panels) })
    }

    fn open(&self, workspace: &Workspace, activations: &Activations) -> Result<Box<dyn Session>, Error> {
        let Storage::Host(panels) = &activations.storage else {
            return Err(Error::Activations {
                tokens: activations.layout.tokens,
                neurons: activations.layout.neurons.into(),
                problem: "resident on another engine; load them with the CPU engine".to_owned(),
            });
        };
        let buffers = workspace
            .buffers
            .iter()
            .map(|spec| Ok(RwLock::new(self.allocate(&spec.name, Some(spec.bytes))?)))
            .collect::<Result<_, Error>>()?;
        Ok(Box::new(CpuSession(Arc::new(State { panels: Arc::clone(panels), buffers, running: Mutex::new(()) }))))
    }
}

impl CpuEngine {
    /// Rows as the source has them in memory, or else a copy.
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

    /// Zeroed memory, as an error rather than an abort where there is none.
    fn allocate(&self, what: &str, bytes: Option<u64>) -> Result<HostMemory, Error> {
        let words = bytes.and_then(|bytes| usize::try_from(bytes.div_ceil(4)).ok());
        words.and_then(HostMemory::zeroed).ok_or_else(|| Error::OutOfMemory {
            what: what.to_owned(),
            needed: bytes.unwrap_or(u64::MAX),
            adapter: self.adapter.clone(),
        })
    }
}

struct State {
    panels: Arc<[Bytes]>,
    buffers: Vec<RwLock<HostMemory>>,
    /// Held while a recording runs: a second thread's run must not come between its commands.
    running: Mutex<()>,
}

impl State {
    fn read(&self, id: BufferId) -> RwLockReadGuard<'_, HostMemory> {
        self.buffers[id.0 as usize].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, id: BufferId) -> RwLockWriteGuard<'_, HostMemory> {
        self.buffers[id.0 as usize].write().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, command: &Command) {
        match command {
            Command::Clear(id) => self.write(*id).words_mut().fill(0),
            Command::Copy { from, to, bytes } => {
                let words = *bytes as usize / 4;
                self.write(*to).words_mut()[..words].copy_from_slice(&self.read(*from).words()[..words]);
            }
            Command::Dispatch(dispatch) => self.dispatch(dispatch),
        }
    }

    fn dispatch(&self, dispatch: &Dispatch) {
        enum Guard<'a> {
            Panel(&'a [u8]),
            Read(RwLockReadGuard<'a, HostMemory>),
            Write(RwLockWriteGuard<'a, HostMemory>),
        }
        let mut guards: Vec<Guard<'_>> = dispatch
            .bindings
            .iter()
            .zip(dispatch.kernel.access)
            .map(|(binding, access)| match (*binding, access) {
                (Resource::Panel(panel), _) => Guard::Panel(&self.panels[panel as usize]),
                (Resource::Buffer(id), Access::Read) => Guard::Read(self.read(id)),
                (Resource::Buffer(id), Access::ReadWrite) => Guard::Write(self.write(id)),
            })
            .collect();
        let mut bindings: Vec<Memory<'_>> = guards
            .iter_mut()
            .map(|guard| match guard {
                Guard::Panel(bytes) => Memory::Read(bytes),
                Guard::Read(memory) => Memory::Read((**memory).as_ref()),
                Guard::Write(memory) => Memory::Write(memory.words_mut()),
            })
            .collect();
        let call = Call { params: &dispatch.params, element: dispatch.element, promise: dispatch.promise };
        (dispatch.kernel.twin)(&call, &mut bindings);
    }
}

struct CpuSession(Arc<State>);

impl Session for CpuSession {
    fn write(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut memory = self.0.write(buffer);
        bytemuck::cast_slice_mut::<u32, u8>(memory.words_mut())[offset as usize..][..bytes.len()]
            .copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Pending<Vec<u8>> {
        let memory = self.0.read(buffer);
        let bytes = (*memory).as_ref()[offset as usize..][..bytes as usize].to_vec();
        Box::pin(std::future::ready(Ok(bytes)))
    }

    fn release(&self, buffer: BufferId) {
        let mut memory = self.0.write(buffer);
        // New pages take no memory until they are touched.
        if let Some(untouched) = HostMemory::zeroed(memory.words().len()) {
            *memory = untouched;
        }
    }

    fn prepare(&self, recording: Recording) -> Result<Box<dyn Prepared>, Error> {
        Ok(Box::new(CpuPrepared { state: Arc::clone(&self.0), recording }))
    }
}

struct CpuPrepared {
    state: Arc<State>,
    recording: Recording,
}

impl Prepared for CpuPrepared {
    fn run(&self) -> Result<(), Error> {
        let _running = self.state.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Once into the thread pool, rather than for every command: waking a thread takes as long as a small one.
        rayon::scope(|_| self.recording.commands.iter().for_each(|command| self.state.run(command)));
        Ok(())
    }

    fn time(&self) -> Pending<Option<Vec<f64>>> {
        let _running = self.state.running.lock().unwrap_or_else(PoisonError::into_inner);
        let time = |command| {
            let started = Instant::now();
            self.state.run(command);
            started.elapsed().as_secs_f64()
        };
        let timed = rayon::scope(|_| self.recording.commands.iter().map(time).collect());
        Box::pin(std::future::ready(Ok(Some(timed))))
    }

    fn recording(&self) -> &Recording {
        &self.recording
    }
}
