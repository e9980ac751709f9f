//! The buffers of one workspace in host memory, and recordings over them.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use unmix_kernels::{Access, BufferId, Call, Command, Dispatch, Memory, Recording, Resource};

use super::panels::{Panels, Visited};
use super::strands::{Strand, strands};
use crate::host_memory::HostMemory;
use crate::lock::lock;
use crate::schedule::{Schedule, Segment, TwoPanels, refuse_reductions};
use crate::{Error, Pending, Prepared, Session};

struct State {
    adapter: String,
    panels: Panels,
    buffers: Vec<RwLock<HostMemory>>,
    /// Locked while a recording runs, so that no other thread's run comes between its commands.
    running: Mutex<()>,
}

impl State {
    fn read(&self, id: BufferId) -> RwLockReadGuard<'_, HostMemory> {
        self.buffers[id.0 as usize].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, id: BufferId) -> RwLockWriteGuard<'_, HostMemory> {
        self.buffers[id.0 as usize].write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command. `visited` is the panel that it may bind where activations are streamed.
    fn run(&self, command: &Command, visited: Option<&[u8]>) {
        match command {
            Command::Clear(id) => self.write(*id).words_mut().fill(0),
            Command::Copy { from, to, bytes } => {
                let words = *bytes as usize / 4;
                self.write(*to).words_mut()[..words].copy_from_slice(&self.read(*from).words()[..words]);
            }
            Command::Dispatch(dispatch) => self.dispatch(dispatch, visited),
            // Such a recording is refused when it is prepared.
            Command::Reduce(_) => {}
        }
    }

    fn dispatch(&self, dispatch: &Dispatch, visited: Option<&[u8]>) {
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
                (Resource::Panel(panel), _) => Guard::Panel(self.panels.bytes(panel, visited)),
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

/// The buffers of a workspace in host memory.
pub(super) struct CpuSession(Arc<State>);

impl CpuSession {
    /// `adapter` is the engine's name, for messages.
    pub fn new(adapter: &str, panels: Panels, buffers: Vec<RwLock<HostMemory>>) -> Self {
        let adapter = adapter.to_owned();
        CpuSession(Arc::new(State { adapter, panels, buffers, running: Mutex::new(()) }))
    }
}

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
        refuse_reductions(&recording, &self.0.adapter)?;
        let schedule = self.0.panels.schedule(&recording).map_err(|TwoPanels(kernel)| Error::Refused {
            adapter: self.0.adapter.clone(),
            what: format!("kernel `{kernel}`"),
            reason: "it binds two panels of streamed activations, which are not there at once".to_owned(),
        })?;
        let visits = schedule.visits().collect();
        let commands = |segment: &Segment| segment.commands.clone().zip(&recording.commands[segment.commands.clone()]);
        let strands = schedule.segments.iter().map(|segment| strands(commands(segment))).collect();
        Ok(Box::new(CpuPrepared { state: Arc::clone(&self.0), recording, schedule, strands, visits }))
    }
}

struct CpuPrepared {
    state: Arc<State>,
    recording: Recording,
    schedule: Schedule,
    /// The strands of each segment.
    strands: Vec<Vec<Strand>>,
    /// The panels that are visited where activations are streamed.
    visits: Vec<u32>,
}

impl CpuPrepared {
    /// Runs the segments in order, with the panel of each at hand. `run` gets the strands of a segment.
    fn run_segments(&self, mut run: impl FnMut(&[Strand], Option<&[u8]>) + Send) -> Result<(), Error> {
        let _running = lock(&self.state.running);
        self.state.panels.announce(&self.visits);
        for (segment, strands) in self.schedule.segments.iter().zip(&self.strands) {
            // The panel is awaited outside the pool. A thread of the pool that waits could be one that the source needs for reading.
            let panel = segment.panel.map(|panel| self.state.panels.take(panel)).transpose()?;
            run(strands, panel.as_ref().map(Visited::bytes));
        }
        Ok(())
    }

    fn run_command(&self, number: usize, visited: Option<&[u8]>) {
        self.state.run(&self.recording.commands[number], visited);
    }
}

impl Prepared for CpuPrepared {
    fn run(&self) -> Result<(), Error> {
        self.run_segments(|strands, visited| {
            let run = |strand: &Strand| strand.iter().for_each(|&number| self.run_command(number, visited));
            // The thread pool is entered once, not for every command. Waking a thread takes as long as a small command.
            rayon::scope(|scope| {
                if let [strand] = strands {
                    run(strand);
                } else {
                    strands.iter().for_each(|strand| scope.spawn(move |_| run(strand)));
                }
            });
        })
    }

    fn time(&self) -> Pending<Option<Vec<f64>>> {
        let mut seconds = vec![0.0; self.recording.commands.len()];
        // One strand after the other, so that each command has all threads.
        let timed = self.run_segments(|strands, visited| {
            rayon::scope(|_| {
                for &number in strands.iter().flatten() {
                    let started = Instant::now();
                    self.run_command(number, visited);
                    seconds[number] = started.elapsed().as_secs_f64();
                }
            });
        });
        Box::pin(std::future::ready(timed.map(|()| Some(seconds))))
    }

    fn recording(&self) -> &Recording {
        &self.recording
    }
}
