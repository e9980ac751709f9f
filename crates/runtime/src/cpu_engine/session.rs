//! The buffers of one workspace in host memory, and recordings over them.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use unmix_kernels::{Access, BoundDispatch, BufferId, Call, Command, Dispatch, Memory, Recording, Resource};

use super::panels::{Panels, Visited};
use super::phases::{Phase, Unit, phases};
use super::strands::strands;
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
            Command::Dispatch(dispatch) => self.dispatch(&[dispatch], visited),
            // Such a recording is refused when it is prepared.
            Command::Reduce(_) => {}
        }
    }

    /// Runs dispatches of one kernel, none of which writes what another one uses.
    fn dispatch(&self, dispatches: &[&Dispatch], visited: Option<&[u8]>) {
        enum Guard<'a> {
            Panel(&'a [u8]),
            Read(RwLockReadGuard<'a, HostMemory>),
            Write(RwLockWriteGuard<'a, HostMemory>),
        }
        let guard = |(binding, access): (&Resource, &Access)| match (*binding, access) {
            (Resource::Panel(panel), _) => Guard::Panel(self.panels.bytes(panel, visited)),
            (Resource::Buffer(id), Access::Read) => Guard::Read(self.read(id)),
            (Resource::Buffer(id), Access::ReadWrite) => Guard::Write(self.write(id)),
        };
        let memory = |guard| match guard {
            &mut Guard::Panel(bytes) => Memory::Read(bytes),
            Guard::Read(memory) => Memory::Read((**memory).as_ref()),
            Guard::Write(memory) => Memory::Write(memory.words_mut()),
        };
        let of_dispatch = |dispatch: &&Dispatch| -> Vec<Guard<'_>> {
            dispatch.bindings.iter().zip(dispatch.kernel.access).map(guard).collect()
        };
        let mut guards: Vec<Vec<Guard<'_>>> = dispatches.iter().map(of_dispatch).collect();
        let bound = |(dispatch, guards)| {
            let Dispatch { params, element, promise, .. }: &Dispatch = dispatch;
            let call = Call { params, element: *element, promise: *promise };
            let guards: &mut Vec<Guard<'_>> = guards;
            BoundDispatch { call, bindings: guards.iter_mut().map(memory).collect() }
        };
        let mut bound: Vec<BoundDispatch<'_>> = dispatches.iter().copied().zip(&mut guards).map(bound).collect();
        if let Some(dispatch) = dispatches.first() {
            dispatch.kernel.twin.run(&mut bound);
        }
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
        let phases =
            schedule.segments.iter().map(|segment| phases(&recording.commands, &strands(commands(segment)))).collect();
        Ok(Box::new(CpuPrepared { state: Arc::clone(&self.0), recording, schedule, phases, visits }))
    }
}

struct CpuPrepared {
    state: Arc<State>,
    recording: Recording,
    schedule: Schedule,
    /// The phases of each segment.
    phases: Vec<Vec<Phase>>,
    /// The panels that are visited where activations are streamed.
    visits: Vec<u32>,
}

impl CpuPrepared {
    /// Runs the segments in order, with the panel of each at hand. `run` gets the phases of a segment.
    fn run_segments(&self, mut run: impl FnMut(&[Phase], &Segment, Option<&[u8]>) + Send) -> Result<(), Error> {
        let _running = lock(&self.state.running);
        self.state.panels.announce(&self.visits);
        for (segment, phases) in self.schedule.segments.iter().zip(&self.phases) {
            // The panel is awaited outside the pool. A thread of the pool that waits could be one that the source needs for reading.
            let panel = segment.panel.map(|panel| self.state.panels.take(panel)).transpose()?;
            run(phases, segment, panel.as_ref().map(Visited::bytes));
        }
        Ok(())
    }

    fn run_command(&self, number: usize, visited: Option<&[u8]>) {
        self.state.run(&self.recording.commands[number], visited);
    }

    fn run_phase(&self, phase: &Phase, visited: Option<&[u8]>) {
        let run = |units: &Vec<Unit>| units.iter().for_each(|unit| self.run_unit(unit, visited));
        match phase {
            Phase::Apart(strands) => match &strands[..] {
                [strand] => run(strand),
                strands => rayon::scope(|scope| strands.iter().for_each(|strand| scope.spawn(move |_| run(strand)))),
            },
            Phase::Together(unit) => self.run_unit(unit, visited),
        }
    }

    fn run_unit(&self, unit: &Unit, visited: Option<&[u8]>) {
        if let [number] = unit[..] {
            return self.run_command(number, visited);
        }
        let dispatch = |&number: &usize| match &self.recording.commands[number] {
            Command::Dispatch(dispatch) => Some(dispatch),
            _ => None,
        };
        let dispatches: Vec<&Dispatch> = unit.iter().filter_map(dispatch).collect();
        self.state.dispatch(&dispatches, visited);
    }
}

impl Prepared for CpuPrepared {
    fn run(&self) -> Result<(), Error> {
        self.run_segments(|phases, _, visited| {
            // The thread pool is entered once, not for every command. Waking a thread takes as long as a small command.
            rayon::scope(|_| phases.iter().for_each(|phase| self.run_phase(phase, visited)));
        })
    }

    fn time(&self) -> Pending<Option<Vec<f64>>> {
        let mut seconds = vec![0.0; self.recording.commands.len()];
        // One command after the other, so that each has all threads.
        let timed = self.run_segments(|_, segment, visited| {
            rayon::scope(|_| {
                for number in segment.commands.clone() {
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
