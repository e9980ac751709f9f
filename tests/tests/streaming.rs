//! Streamed activations give the same bits as resident ones, and are read no more often than necessary.

use std::io::{Error as IoError, ErrorKind};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use unmix::{
    ActivationSource, Activations, Batch, CpuEngine, ElementType, Encoder, Engine, EngineKind, Error, HostActivations,
    Init, RuntimeError, SemiNmf, Solver, Stage, StreamOptions,
};
use unmix_kernels::{BufferId, Recording, Workspace, gather_rows, squared_norm};
use unmix_runtime::{Prepared, Session, block_on};
use unmix_tests::{Dense, assert_same, engines_with_panels, gpu_engines};

/// Activations that record which rows were read. Some rows may be unreadable.
struct Watched {
    inner: HostActivations,
    reads: Mutex<Vec<Range<u64>>>,
    /// From this row on, reads fail in this way.
    fault: Option<(u64, Fault)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Like a file that was cut short.
    EndOfFile,
    Panic,
}

impl Watched {
    fn new(x: &Dense, element: ElementType) -> Arc<Self> {
        Self::faulty(x, element, None)
    }

    fn faulty(x: &Dense, element: ElementType, fault: Option<(u64, Fault)>) -> Arc<Self> {
        Arc::new(Watched { inner: x.to_activations(element), reads: Mutex::default(), fault })
    }

    /// Number of rows read. A row that was read twice counts twice.
    fn rows_read(&self) -> u64 {
        self.reads.lock().unwrap().iter().map(|rows| rows.end - rows.start).sum()
    }
}

impl ActivationSource for Watched {
    fn tokens(&self) -> u64 {
        self.inner.tokens()
    }

    fn neurons(&self) -> u64 {
        self.inner.neurons()
    }

    fn element(&self) -> ElementType {
        self.inner.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        match self.fault {
            Some((first, Fault::EndOfFile)) if rows.end > first => {
                return Err(IoError::new(ErrorKind::UnexpectedEof, format!("x.npy ends before row {first}")));
            }
            Some((first, Fault::Panic)) if rows.end > first => panic!("row {first} is cursed"),
            _ => {}
        }
        self.reads.lock().unwrap().push(rows.clone());
        self.inner.read_rows(rows, out)
    }
}

fn streamed(engine: &dyn Engine, source: &Arc<Watched>, slots: u32) -> Activations {
    let source: Arc<dyn ActivationSource + Send> = Arc::clone(source) as _;
    let activations = engine.stream(source, &StreamOptions { slots }).expect("a stream");
    assert!(activations.is_streamed());
    activations
}

fn resident(engine: &dyn Engine, source: &Watched) -> Activations {
    let activations = engine.load(&source.inner).expect("loading");
    assert!(!activations.is_streamed());
    activations
}

#[test]
fn a_streamed_fit_equals_a_resident_one_to_the_bit_with_every_solver_and_type() {
    // There are 11 panels, and the last one is shorter. The length of a row is no multiple of any alignment.
    let (tokens, neurons) = (1_003, 261);
    for engine in engines_with_panels(100_000) {
        for (number, (solver, slots)) in Solver::ALL.into_iter().zip([1, 2, 3, 4].into_iter().cycle()).enumerate() {
            // How elements are read has nothing to do with the solver. So one type is enough for each but the default.
            let types = if solver == Solver::default() { 0..3 } else { number % 3..number % 3 + 1 };
            for &element in &ElementType::ALL[types] {
                let source = Watched::new(&Dense::random(7, tokens, neurons, element), element);
                let (resident, streamed) =
                    (resident(engine.as_ref(), &source), streamed(engine.as_ref(), &source, slots));
                assert!(resident.layout() == streamed.layout() && resident.layout().panels() > 5);
                let settings = SemiNmf::new(7).sparsity(0.3).solver(solver).max_iterations(6).tolerance(0.0);
                let fit = |activations| settings.fit(engine.as_ref(), activations).expect("a fit");
                let what = format!("{solver:?}, {element}, {slots} slots, {}", engine.adapter());
                assert_same(&what, &fit(&resident), &fit(&streamed));
            }
        }
    }
}

#[test]
fn slots_of_a_few_megabytes_give_the_same_bits_with_every_start() {
    // A panel has 2.8 MB, and on a GPU its rows are padded.
    let x = Dense::random(8, 5_117, 531, ElementType::F32);
    for engine in engines_with_panels(3_000_000) {
        let source = Watched::new(&x, ElementType::F32);
        let (resident, streamed) = (resident(engine.as_ref(), &source), streamed(engine.as_ref(), &source, 2));
        assert_eq!(streamed.layout().panels(), 4);
        for init in [Init::Kmeans, Init::Random, Init::Svd] {
            let settings = SemiNmf::new(12).init(init).max_iterations(2).tolerance(0.0).unshrink(true).debias(true);
            let what = format!("{init:?} on {}", engine.adapter());
            let fit = |settings: &SemiNmf, activations| settings.fit(engine.as_ref(), activations).expect("a fit");
            let wanted = fit(&settings, &resident);
            assert_same(&what, &wanted, &fit(&settings, &streamed));
            // Where there is no memory for samples, they are read from the panels.
            if init == Init::Kmeans {
                assert_same(&what, &wanted, &fit(&settings.copy_samples(false), &streamed));
            }
        }
    }
}

/// Some tokens are zero and others equal, so k-means does not find all its clusters at once.
#[test]
fn a_start_by_kmeans_is_the_same_where_tokens_are_zero_or_equal() {
    let mut x = Dense::random(17, 900, 70, ElementType::F32);
    for i in (0..900).filter(|i| i % 3 > 0) {
        let repeated = (0..70).map(|j| x.at(i % 9, j)).collect::<Vec<_>>();
        for (j, value) in repeated.into_iter().enumerate() {
            x.values[i * 70 + j] = if i % 3 == 1 { 0.0 } else { value };
        }
    }
    for engine in engines_with_panels(100 * 288) {
        let source = Watched::new(&x, ElementType::F32);
        let (resident, streamed) = (resident(engine.as_ref(), &source), streamed(engine.as_ref(), &source, 3));
        for solver in [Solver::ProjectedLs, Solver::Mu] {
            let settings = SemiNmf::new(11).sparsity(0.2).solver(solver).max_iterations(3).tolerance(0.0);
            let fit = |activations| settings.fit(engine.as_ref(), activations).expect("a fit");
            assert_same(&format!("{solver:?} on {}", engine.adapter()), &fit(&resident), &fit(&streamed));
        }
    }
}

#[test]
fn the_activations_are_read_once_before_the_first_iteration_and_once_in_each() {
    let (tokens, neurons) = (6_000u64, 60);
    let x = Dense::random(18, tokens as usize, neurons, ElementType::F32);
    for engine in engines_with_panels(300 * 240) {
        // The warm-up and k-means use samples of the tokens. The samples are copied while the activations are measured.
        let settings = SemiNmf::new(8).solver(Solver::ProjectedLs).sparsity(0.2).tolerance(0.0);
        let source = Watched::new(&x, ElementType::F32);
        let activations = streamed(engine.as_ref(), &source, 3);
        let ahead = 3 * u64::from(activations.layout().panel_rows);
        let mut read = Vec::new();
        let fit = settings.max_iterations(5).fit_with(engine.as_ref(), &activations, |progress| {
            read.push((progress.stage, source.rows_read()));
            ControlFlow::Continue(())
        });
        let fit = fit.expect("a fit");
        assert!(fit.summary.revived.is_empty() && activations.layout().panels() == 20);
        let begin = read.iter().find(|(stage, _)| *stage == Stage::Iterate).expect("iterations").1;
        assert!((tokens..=tokens + ahead).contains(&begin), "{begin} rows before the first of {tokens} tokens");
        let warm_up = read.iter().any(|(stage, _)| matches!(stage, Stage::WarmUp { .. }));
        assert!(warm_up, "{read:?}");
        let verify = read.iter().find(|(stage, _)| *stage == Stage::Verify).expect("the end").1;
        assert!((6 * tokens..=6 * tokens + ahead).contains(&verify), "{verify} rows in five iterations");
        // Two passes: one for the sums of the best iterate, and one for the verification. Sweeps come on top if the
        // best iterate is not the last one.
        let end = source.rows_read() - verify;
        let sweeps = if fit.summary.best_iteration == 5 { 0 } else { 32 };
        assert!(end + ahead >= 2 * tokens && end <= (2 + sweeps) * tokens + ahead, "{end} rows at the end");
    }
}

#[test]
fn a_batch_reads_the_activations_once_in_an_iteration_of_all_its_fits() {
    let x = Dense::random(23, 1_003, 261, ElementType::F16);
    for engine in engines_with_panels(100_000) {
        let rows_read = |iterations: u32| {
            let source = Watched::new(&x, ElementType::F16);
            let activations = streamed(engine.as_ref(), &source, 3);
            let settings = SemiNmf::new(5).sparsity(0.2).solver(Solver::Hals).tolerance(0.0).revive(false);
            let settings = settings.max_iterations(iterations);
            let fits = (0..4).map(|seed| settings.clone().seed(seed)).collect();
            Batch::new(fits).fit(engine.as_ref(), &activations).expect("fits");
            source.rows_read()
        };
        // The start and the verification need the same however many iterations there are. Up to three panels stay in their slots, and as many
        // may have been read ahead in vain, which depends on the speed of the reading.
        let panels_in_slots =
            3 * u64::from(streamed(engine.as_ref(), &Watched::new(&x, ElementType::F16), 3).layout().panel_rows);
        let of_six_iterations = rows_read(8) - rows_read(2);
        assert!(
            of_six_iterations <= 6 * 1_003 + 2 * panels_in_slots && of_six_iterations >= 6 * (1_003 - panels_in_slots),
            "{of_six_iterations} rows in 6 iterations on {}",
            engine.adapter()
        );
    }
}

#[test]
fn streamed_activations_are_encoded_to_the_same_bits() {
    let x = Dense::random(9, 701, 83, ElementType::F16);
    for engine in engines_with_panels(20_000) {
        let source = Watched::new(&x, ElementType::F16);
        let (resident, streamed) = (resident(engine.as_ref(), &source), streamed(engine.as_ref(), &source, 3));
        let fit = SemiNmf::new(6).max_iterations(3).fit(engine.as_ref(), &resident).expect("a fit");
        let encoder = Encoder::new(fit.features);
        let encode = |activations| encoder.encode(engine.as_ref(), activations).expect("an encoding");
        assert_eq!(encode(&resident), encode(&streamed), "{}", engine.adapter());
    }
}

/// A session over panels of activations, with a buffer for the norms of each panel's tokens.
struct Norms {
    session: Box<dyn Session>,
    norms: Vec<BufferId>,
    activations: Activations,
}

impl Norms {
    fn new(engine: &dyn Engine, activations: Activations) -> Self {
        let mut workspace = Workspace::default();
        let rows = u64::from(activations.layout().panel_rows);
        let norms = (0..activations.layout().panels()).map(|_| workspace.words("norms", rows)).collect();
        let session = engine.open(&workspace, &activations).expect("a session");
        Norms { session, norms, activations }
    }

    /// A recording that computes the norms of the tokens of these panels, in this order.
    fn visit(&self, panels: &[u32]) -> Box<dyn Prepared> {
        let mut recording = Recording::new();
        for &panel in panels {
            squared_norm(&mut recording, self.activations.layout().panel(panel), self.norms[panel as usize], 1.0);
        }
        self.session.prepare(recording).expect("a recording")
    }

    /// The norms of a panel's tokens from the last visit.
    fn of(&self, panel: u32) -> Vec<f32> {
        let rows = u64::from(self.activations.layout().panel(panel).rows);
        let bytes = block_on(self.session.read(self.norms[panel as usize], 0, rows * 4)).expect("norms");
        bytemuck::pod_collect_to_vec(&bytes)
    }
}

#[test]
fn a_pass_reads_each_panel_once_and_what_is_in_slots_not_again() {
    let x = Dense::random(10, 600, 50, ElementType::F32);
    for engine in engines_with_panels(64 * 208) {
        let source = Watched::new(&x, ElementType::F32);
        let rows = 600;
        let norms = Norms::new(engine.as_ref(), streamed(engine.as_ref(), &source, 3));
        let panels = norms.activations.layout().panels();
        assert_eq!(panels, 10);
        let all: Vec<u32> = (0..panels).collect();
        let pass = norms.visit(&all);
        for runs in 1..=4 {
            pass.run().expect("a pass");
            norms.of(9);
            // Each pass reads a panel once. After a pass, the first panels of the next one are read ahead if slots are
            // free.
            for panel in 0..panels {
                let rows = norms.activations.layout().rows(panel);
                let times = source.reads.lock().unwrap().iter().filter(|read| read.contains(&rows.start)).count();
                let most = runs + usize::from(panel < 3);
                assert!((1..=most).contains(&times), "panel {panel}: {times} reads in {runs} passes");
            }
        }
        drop((pass, norms));

        // If there are at least as many slots as panels, the panels stay in their slots.
        let source = Watched::new(&x, ElementType::F32);
        let norms = Norms::new(engine.as_ref(), streamed(engine.as_ref(), &source, 12));
        let (pass, back) = (norms.visit(&all), norms.visit(&[9, 4, 4, 5, 0]));
        for prepared in [&pass, &back, &pass] {
            prepared.run().expect("a pass");
        }
        assert_eq!(source.rows_read(), rows, "{}", engine.adapter());
        let order = source.reads.lock().unwrap().clone();
        assert!(order.is_sorted_by_key(|rows| rows.start), "in order: {order:?}");
    }
}

#[test]
fn recordings_in_any_order_find_their_panels() {
    let x = Dense::random(11, 333, 20, ElementType::F32);
    let squares = |rows: Range<u64>| {
        rows.map(|i| (0..20).map(|j| x.at(i as usize, j).powi(2)).sum::<f64>()).collect::<Vec<f64>>()
    };
    for engine in engines_with_panels(40 * 80) {
        for slots in [1, 2, 3, 5] {
            let source = Watched::new(&x, ElementType::F32);
            let norms = Norms::new(engine.as_ref(), streamed(engine.as_ref(), &source, slots));
            assert_eq!(norms.activations.layout().panels(), 9);
            let orders = [vec![0, 1, 2], vec![8, 3, 8, 0], vec![], vec![5], (0..9).rev().collect(), (0..9).collect()];
            let recordings: Vec<_> = orders.iter().map(|order| norms.visit(order)).collect();
            for round in 0..3 {
                for (order, recording) in orders.iter().zip(&recordings) {
                    for id in &norms.norms {
                        norms.session.write(*id, 0, &[0; 16]).expect("writing");
                    }
                    recording.run().expect("a run");
                    for &panel in order {
                        let wanted = squares(norms.activations.layout().rows(panel));
                        let found = norms.of(panel);
                        assert!(
                            found.iter().zip(&wanted).all(|(&f, w)| (f64::from(f) - w).abs() < 1e-4 * w),
                            "panel {panel} of {order:?}, round {round}, {slots} slots, {}",
                            engine.adapter()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn commands_of_a_streamed_recording_are_timed_where_the_engine_can() {
    for engine in engines_with_panels(40 * 80) {
        let source = Watched::new(&Dense::random(12, 333, 20, ElementType::F32), ElementType::F32);
        let norms = Norms::new(engine.as_ref(), streamed(engine.as_ref(), &source, 2));
        let seconds = block_on(norms.visit(&[0, 1, 2, 3, 4]).time()).expect("timing");
        assert!(seconds.as_ref().is_none_or(|seconds| seconds.len() == 5), "{}", engine.adapter());
        if seconds.is_some() {
            assert!(norms.of(4).iter().all(|norm| *norm > 0.0), "what is timed has run");
        }
        assert!(engine.kind() == EngineKind::Gpu || seconds.is_some());
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_the_session_can_be_used_and_dropped() {
    let x = Dense::random(13, 333, 20, ElementType::F32);
    for engine in engines_with_panels(40 * 80) {
        for fault in [Fault::EndOfFile, Fault::Panic] {
            for (slots, first) in [(1, 0), (3, 130), (12, 332)] {
                let source = Watched::faulty(&x, ElementType::F32, Some((first, fault)));
                let norms = Norms::new(engine.as_ref(), streamed(engine.as_ref(), &source, slots));
                let bad = (0..9).find(|&panel| norms.activations.layout().rows(panel).end > first).expect("a panel");
                let (all, good) =
                    (norms.visit(&(0..9).collect::<Vec<_>>()), norms.visit(&(0..bad).collect::<Vec<_>>()));
                for _ in 0..2 {
                    let error = all.run().expect_err("panels that cannot be read");
                    let words = if fault == Fault::Panic { "is cursed" } else { "x.npy ends before row" };
                    assert!(
                        matches!(&error, RuntimeError::Read(text) if text.contains(words)),
                        "{error}, {fault:?} at {first}, {}",
                        engine.adapter()
                    );
                    good.run().expect("panels that can be read");
                }
                assert!(block_on(all.time()).is_err() || engine.kind() == EngineKind::Gpu);
            }
        }
    }
}

#[test]
fn a_fit_of_activations_that_end_early_fails_with_the_sources_words() {
    let x = Dense::random(14, 500, 40, ElementType::F16);
    for engine in engines_with_panels(50 * 80) {
        for fault in [Fault::EndOfFile, Fault::Panic] {
            let source = Watched::faulty(&x, ElementType::F16, Some((400, fault)));
            let activations = streamed(engine.as_ref(), &source, 3);
            let error = SemiNmf::new(4).fit(engine.as_ref(), &activations).expect_err("an unreadable panel");
            assert!(matches!(error, Error::Runtime(RuntimeError::Read(_))), "{error:?}");
        }
    }
}

#[test]
fn a_stream_needs_a_slot_and_the_engine_that_cut_it() {
    let x = Dense::random(15, 20, 3, ElementType::F32);
    let source = Watched::new(&x, ElementType::F32);
    let (cpu, gpus) = (CpuEngine::new(), gpu_engines());
    for engine in engines_with_panels(1 << 20) {
        let stream = engine.stream(Arc::clone(&source) as _, &StreamOptions { slots: 0 });
        assert!(matches!(stream, Err(RuntimeError::Activations { problem, .. }) if problem.contains("0 slots")));
    }
    let workspace = Workspace::default();
    for gpu in gpus {
        let of_gpu = gpu.open(&workspace, &streamed(&cpu, &source, 2)).map(drop).expect_err("no padding");
        let of_cpu = cpu.open(&workspace, &streamed(&gpu, &source, 2)).map(drop).expect_err("padding");
        assert!(of_gpu.to_string().contains("stream them with this engine"), "{of_gpu}");
        assert!(of_cpu.to_string().contains("stream them with the CPU engine"), "{of_cpu}");
    }
}

#[test]
fn panels_that_a_recording_does_not_visit_are_not_read() {
    // Single tokens are gathered. Only panels that have any of them are visited.
    let x = Dense::random(16, 200, 12, ElementType::F32);
    for engine in engines_with_panels(20 * 48) {
        let source = Watched::new(&x, ElementType::F32);
        let activations = streamed(engine.as_ref(), &source, 2);
        let layout = activations.layout().clone();
        let mut workspace = Workspace::default();
        let (indices, out) = (workspace.words("tokens", 2), workspace.matrix("rows", 2, 12));
        let session = engine.open(&workspace, &activations).expect("a session");
        session.write(indices, 0, bytemuck::cast_slice(&[3u32, 171])).expect("writing");
        let mut recording = Recording::new();
        for panel in [3, 171].map(|token| token / layout.panel_rows) {
            gather_rows(&mut recording, layout.panel(panel), panel * layout.panel_rows, indices, out, 1.0);
        }
        session.prepare(recording).expect("preparing").run().expect("running");
        let bytes = block_on(session.read(out.buffer(), 0, 2 * 48)).expect("rows");
        let wanted = [x.to_f32()[3 * 12..4 * 12].to_vec(), x.to_f32()[171 * 12..172 * 12].to_vec()].concat();
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes), wanted, "{}", engine.adapter());
        assert!(source.rows_read() <= 4 * u64::from(layout.panel_rows), "other panels are not read");
    }
}
