//! Counts the bytes of activations that fits bind as they run, and that they read from memory according to the cache
//! model.

use std::sync::{Arc, Mutex};

use unmix::{
    ActivationSource, Activations, ElementType, Engine, EngineKind, EngineLimits, Init, PanelLayout, SemiNmf, Solver,
};
use unmix_kernels::{BufferId, CacheModel, LOSS, Recording, Resource, Traffic, Workspace};
use unmix_runtime::{Error, Pending, Prepared, Session};
use unmix_tests::{Dense, engines};

/// What ran, in order.
#[derive(Debug, Default)]
struct Log {
    workspaces: Vec<Workspace>,
    recordings: Vec<Recording>,
}

/// An engine that notes every recording when it runs.
#[derive(Debug)]
struct Counting {
    inner: Box<dyn Engine>,
    log: Arc<Mutex<Log>>,
}

struct CountingSession {
    inner: Box<dyn Session>,
    log: Arc<Mutex<Log>>,
}

struct CountingPrepared {
    inner: Box<dyn Prepared>,
    log: Arc<Mutex<Log>>,
}

impl Engine for Counting {
    fn kind(&self) -> EngineKind {
        self.inner.kind()
    }

    fn adapter(&self) -> &str {
        self.inner.adapter()
    }

    fn limits(&self) -> &EngineLimits {
        self.inner.limits()
    }

    fn layout(&self, source: &dyn ActivationSource) -> Result<PanelLayout, Error> {
        self.inner.layout(source)
    }

    fn load(&self, source: &dyn ActivationSource) -> Result<Activations, Error> {
        self.inner.load(source)
    }

    fn open(&self, workspace: &Workspace, activations: &Activations) -> Result<Box<dyn Session>, Error> {
        let inner = self.inner.open(workspace, activations)?;
        self.log.lock().unwrap().workspaces.push(workspace.clone());
        Ok(Box::new(CountingSession { inner, log: Arc::clone(&self.log) }))
    }
}

impl Session for CountingSession {
    fn write(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.inner.write(buffer, offset, bytes)
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Pending<Vec<u8>> {
        self.inner.read(buffer, offset, bytes)
    }

    fn prepare(&self, recording: Recording) -> Result<Box<dyn Prepared>, Error> {
        Ok(Box::new(CountingPrepared { inner: self.inner.prepare(recording)?, log: Arc::clone(&self.log) }))
    }
}

impl Prepared for CountingPrepared {
    fn run(&self) -> Result<(), Error> {
        self.inner.run()?;
        self.log.lock().unwrap().recordings.push(self.inner.recording().clone());
        Ok(())
    }

    fn time(&self) -> Pending<Option<Vec<f64>>> {
        self.inner.time()
    }

    fn recording(&self) -> &Recording {
        self.inner.recording()
    }
}

/// There are several panels on every engine, and sizes are multiples of nothing.
const TOKENS: usize = 1511;
const NEURONS: usize = 3001;
const ITERATIONS: u32 = 3;

#[test]
fn an_executed_iteration_reads_the_activations_once() {
    let x = Dense::random(3, TOKENS, NEURONS, ElementType::F32).to_activations(ElementType::F32);
    let size = (TOKENS * NEURONS * 4) as u64;
    for inner in engines() {
        let log = Arc::new(Mutex::new(Log::default()));
        let engine = Counting { inner, log: Arc::clone(&log) };
        let activations = engine.load(&x).unwrap();
        let layout = activations.layout();
        assert!(layout.panels() > 1, "{}", engine.adapter());
        let panels: Vec<u64> = (0..layout.panels()).map(|panel| layout.panel(panel).bytes()).collect();
        assert_eq!(panels.iter().sum::<u64>(), size);
        for solver in Solver::ALL {
            *log.lock().unwrap() = Log::default();
            let builder = SemiNmf::new(9).solver(solver).init(Init::Random).sparsity(0.12).revive(false);
            builder.max_iterations(ITERATIONS).tolerance(0.0).fit(&engine, &activations).unwrap();
            let log = std::mem::take(&mut *log.lock().unwrap());
            let name = format!("{} on {}", solver.name(), engine.adapter());
            let [workspace] = &log.workspaces[..] else { panic!("{name}: {} sessions", log.workspaces.len()) };

            // What runs before the first loss belongs partly to the start, so only later iterations are counted.
            let is_pass = |recording: &Recording| recording.dispatches().any(|dispatch| dispatch.kernel == &LOSS);
            let passes: Vec<usize> = (0..log.recordings.len()).filter(|&i| is_pass(&log.recordings[i])).collect();
            assert_eq!(passes.len() as u32, ITERATIONS, "{name}");
            let bound = |recording: &Recording| -> u64 {
                let resources = recording.dispatches().flat_map(|dispatch| dispatch.bindings.clone());
                resources.map(|r| if let Resource::Panel(panel) = r { panels[panel as usize] } else { 0 }).sum()
            };
            let first = passes[0] + 1;
            let last = passes[passes.len() - 1];
            let executed: u64 = log.recordings[first..=last].iter().map(bound).sum();
            assert_eq!(executed, 2 * size * u64::from(ITERATIONS - 1), "{name}: bound");

            // Room for a panel and for what is used between its two reads, but not for two panels.
            let cached = from_memory(&log.recordings, workspace, panels[0] / 2 * 3, first..=last);
            assert_eq!(cached, size * u64::from(ITERATIONS - 1), "{name}: cached panels");
            let uncached = from_memory(&log.recordings, workspace, panels[panels.len() - 1] / 2, first..=last);
            assert_eq!(uncached, 2 * size * u64::from(ITERATIONS - 1), "{name}: panels larger than the cache");
        }
    }
}

/// Bytes of activations that the recordings in `counted` read from memory, after the recordings before them have run.
fn from_memory(
    recordings: &[Recording],
    workspace: &Workspace,
    cache_bytes: u64,
    counted: std::ops::RangeInclusive<usize>,
) -> u64 {
    let mut model = CacheModel::new(cache_bytes);
    recordings.iter().for_each(|recording| model.run(recording, workspace));
    let traffic = model.finish();
    let mut start = 0;
    let mut sum = 0;
    for (index, recording) in recordings.iter().enumerate() {
        let end = start + recording.commands.len();
        if counted.contains(&index) {
            sum += traffic[start..end].iter().map(Traffic::activations_from_memory).sum::<u64>();
        }
        start = end;
    }
    sum
}
