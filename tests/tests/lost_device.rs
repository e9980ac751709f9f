//! Devices that fail without an error: a fit must not take what they return for a result.

use std::future::ready;
use std::sync::Mutex;

use unmix::{
    ActivationSource, Activations, CpuEngine, DenseMatrix, ElementType, Engine, EngineKind, EngineLimits, Error,
    PanelLayout, RuntimeError, SemiNmf, Solver,
};
use unmix_kernels::{BufferId, Recording, Workspace};
use unmix_runtime::{Pending, Prepared, Session, block_on};
use unmix_tests::{Dense, planted};

/// What the device returns in place of a report.
#[derive(Clone, Copy, Debug)]
enum Returned {
    Zeros,
    TheReportBefore,
    /// The report itself, without the status of the factorization.
    NoFactorization,
}

/// The CPU engine, but from the report after `good` ones on, it returns something else.
#[derive(Debug)]
struct Failing {
    engine: CpuEngine,
    returned: Returned,
    good: usize,
}

struct FailingSession {
    session: Box<dyn Session>,
    report: Option<BufferId>,
    returned: Returned,
    good: usize,
    reports: Mutex<Vec<Vec<u8>>>,
}

impl Engine for Failing {
    fn kind(&self) -> EngineKind {
        self.engine.kind()
    }

    fn adapter(&self) -> &str {
        "a failing device"
    }

    fn limits(&self) -> &EngineLimits {
        self.engine.limits()
    }

    fn layout(&self, source: &dyn ActivationSource) -> Result<PanelLayout, RuntimeError> {
        self.engine.layout(source)
    }

    fn load(&self, source: &dyn ActivationSource) -> Result<Activations, RuntimeError> {
        self.engine.load(source)
    }

    fn open(&self, workspace: &Workspace, activations: &Activations) -> Result<Box<dyn Session>, RuntimeError> {
        let report = workspace.buffers.iter().position(|spec| spec.name == "report");
        Ok(Box::new(FailingSession {
            session: self.engine.open(workspace, activations)?,
            report: report.map(|at| BufferId(at as u32)),
            returned: self.returned,
            good: self.good,
            reports: Mutex::default(),
        }))
    }
}

impl Session for FailingSession {
    fn write(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<(), RuntimeError> {
        self.session.write(buffer, offset, bytes)
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Pending<Vec<u8>> {
        let read = self.session.read(buffer, offset, bytes);
        if self.report != Some(buffer) {
            return read;
        }
        let mut reports = self.reports.lock().expect("a lock");
        let mut report = block_on(read).expect("a report");
        reports.push(report.clone());
        if reports.len() > self.good {
            match self.returned {
                Returned::Zeros => report.fill(0),
                Returned::TheReportBefore => report.clone_from(&reports[self.good - 1]),
                Returned::NoFactorization => report[12..16].fill(0),
            }
        }
        Box::pin(ready(Ok(report)))
    }

    fn prepare(&self, recording: Recording) -> Result<Box<dyn Prepared>, RuntimeError> {
        self.session.prepare(recording)
    }
}

fn fit(returned: Returned, good: usize, solver: Solver) -> Result<u32, Error> {
    let engine = Failing { engine: CpuEngine::new(), returned, good };
    let x = planted(90, 120, 40, 4, ElementType::F32);
    let start = DenseMatrix { rows: 120, columns: 4, values: Dense::random_coefficients(91, 120, 4).to_f32() };
    let activations = engine.load(&x.to_activations(ElementType::F32))?;
    let settings = SemiNmf::new(4).sparsity(0.2).solver(solver).init_coefficients(start).max_iterations(6);
    Ok(settings.tolerance(0.0).fit(&engine, &activations)?.summary.iterations)
}

#[test]
fn a_report_that_the_device_did_not_write_is_a_lost_device() {
    for solver in Solver::ALL {
        assert_eq!(fit(Returned::Zeros, 100, solver).expect("nothing fails"), 6);
        for (returned, good) in [(Returned::Zeros, 0), (Returned::Zeros, 3), (Returned::TheReportBefore, 3)] {
            let error = fit(returned, good, solver).expect_err("the device is lost");
            let Error::Runtime(RuntimeError::DeviceLost { reason, .. }) = &error else { panic!("{error}") };
            assert!(reason.contains(&format!("iteration {}", good + 1)), "{reason}");
            assert!(error.to_string().contains("a failing device"), "{error}");
        }
    }
}

#[test]
fn least_squares_without_a_factorization_are_a_lost_device() {
    for (solver, lost) in [(Solver::ProjectedLs, true), (Solver::Paper, true), (Solver::Hals, false)] {
        let found = fit(Returned::NoFactorization, 2, solver);
        assert_eq!(matches!(found, Err(Error::Runtime(RuntimeError::DeviceLost { .. }))), lost, "{}", solver.name());
    }
}
