//! The engine on whatever adapter answers, with two small kernels of the tests' own.

use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Waker};

use unmix_kernels::{
    Access, BufferId, CROSS_PRODUCT, Call, Chain, Command, ComposeError, Cost, CpuTwin, Dispatch, ElementType, Kernel,
    Memory, PORTABLE, Precision, Promise, Recording, Resource, Variant, Workspace, compose,
};

use super::adapter::Opened;
use super::{AdapterChoice, WgpuEngine, adapter};
use crate::{ActivationSource, Activations, Engine, Error, Session, block_on};

fn no_twin(_: &Call<'_>, _: &mut [Memory<'_>]) {
    unreachable!("the tests run on a device");
}

/// `values *= factor`; parameters: factor.
static SCALE: Kernel = Kernel {
    name: "scale",
    access: &[Access::ReadWrite],
    params_size: 4,
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(no_twin),
};
/// `total[0] += sum of a panel`; parameters: vectors.
static SUM: Kernel = Kernel {
    name: "sum",
    access: &[Access::Read, Access::ReadWrite],
    params_size: 4,
    reads_elements: true,
    variants: PORTABLE,
    twin: CpuTwin::Alone(no_twin),
};
/// `to = from`, word by word; no parameters.
static TWO: Kernel = Kernel {
    name: "two",
    access: &[Access::Read, Access::ReadWrite],
    params_size: 0,
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(no_twin),
};
/// Does not compile.
static BROKEN: Kernel = Kernel {
    name: "broken",
    access: &[],
    params_size: 0,
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(no_twin),
};

fn wgsl(kernel: &Kernel, element: ElementType, _: &Variant, _: Precision) -> Result<String, ComposeError> {
    let text = match (kernel.name, element) {
        ("scale", _) => {
            "@group(0) @binding(0) var<storage, read_write> values: array<f32>;
            struct Params { factor: f32 }
            @group(0) @binding(1) var<uniform> params: Params;
            @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {
                values[id.x] *= params.factor;
            }"
        }
        ("sum", ElementType::F32) => {
            "@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
            @group(0) @binding(1) var<storage, read_write> total: array<f32>;
            struct Params { vectors: u32 }
            @group(0) @binding(2) var<uniform> params: Params;
            @compute @workgroup_size(1) fn main() {
                for (var i = 0u; i < params.vectors; i++) {
                    total[0] += dot(bitcast<vec4<f32>>(x[i]), vec4<f32>(1.0));
                }
            }"
        }
        ("two", _) => {
            "@group(0) @binding(0) var<storage, read> source: array<f32>;
            @group(0) @binding(1) var<storage, read_write> destination: array<f32>;
            @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {
                destination[id.x] = source[id.x];
            }"
        }
        _ => "this is not WGSL",
    };
    Ok(text.to_owned())
}

fn engine_for(choice: &AdapterChoice) -> Option<WgpuEngine> {
    match block_on(adapter::open(choice)) {
        Ok(opened) => {
            let engine = WgpuEngine::over(&opened, choice.checked, wgsl).unwrap();
            engine.gpu.listen();
            Some(engine)
        }
        // Without any adapter there is nothing to test; the CPU engine has its own tests.
        Err(Error::NoAdapter { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The engine's device, as a caller would hand it over.
fn device_of(engine: &WgpuEngine) -> Opened {
    Opened { device: engine.device().clone(), queue: engine.queue().clone(), matrices: Vec::new() }
}

fn engine() -> Option<WgpuEngine> {
    engine_for(&AdapterChoice::default())
}

/// An f32 matrix in memory whose value at row i, column j is i + j.
struct Ramp {
    tokens: u64,
    neurons: u64,
}

impl ActivationSource for Ramp {
    fn tokens(&self) -> u64 {
        self.tokens
    }

    fn neurons(&self) -> u64 {
        self.neurons
    }

    fn element(&self) -> ElementType {
        ElementType::F32
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        let values = rows.flat_map(|i| (0..self.neurons).map(move |j| (i + j) as f32));
        for (bytes, value) in out.chunks_exact_mut(4).zip(values) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }
}

fn ramp_sum(tokens: u64, neurons: u64) -> f32 {
    (0..tokens).flat_map(|i| (0..neurons).map(move |j| (i + j) as f32)).sum()
}

fn small(engine: &WgpuEngine) -> Activations {
    engine.load(&Ramp { tokens: 3, neurons: 5 }).unwrap()
}

/// A session with one buffer of four words.
fn session(engine: &WgpuEngine) -> (Box<dyn Session>, BufferId) {
    let mut workspace = Workspace::default();
    let buffer = workspace.words("values", 4);
    (engine.open(&workspace, &small(engine)).unwrap(), buffer)
}

fn scale(buffer: BufferId, factor: f32) -> Recording {
    let mut recording = Recording::new();
    recording.dispatch(&SCALE, ElementType::F32, &factor, &[buffer.into()], [4, 1, 1], Cost::default());
    recording
}

fn sum_of_panels(engine: &WgpuEngine, activations: &Activations) -> f32 {
    let mut workspace = Workspace::default();
    let total = workspace.words("total", 4);
    let session = engine.open(&workspace, activations).unwrap();
    let mut recording = Recording::new();
    for index in 0..activations.layout().panels() {
        let panel = activations.layout().panel(index);
        let vectors = (panel.elements() / 4) as u32;
        let bindings = [panel.resource, total.into()];
        recording.dispatch(&SUM, panel.element, &vectors, &bindings, [1, 1, 1], Cost::default());
    }
    session.prepare(recording).unwrap().run().unwrap();
    floats(&block_on(session.read(total, 0, 4)).unwrap())[0]
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()
}

fn words(values: [f32; 4]) -> Vec<u8> {
    bytemuck::bytes_of(&values).to_vec()
}

#[test]
fn a_recording_computes_as_often_as_it_is_run() {
    for (portable_limits, checked) in [(false, false), (true, true)] {
        let choice = AdapterChoice { portable_limits, checked, ..Default::default() };
        let Some(engine) = engine_for(&choice) else { return };
        let (session, values) = session(&engine);
        session.write(values, 0, &words([1.0, 2.0, 3.0, 4.0])).unwrap();
        let mut recording = scale(values, 2.0);
        recording.commands.extend(scale(values, 5.0).commands);
        let prepared = session.prepare(recording).unwrap();
        prepared.run().unwrap();
        prepared.run().unwrap();
        assert_eq!(floats(&block_on(session.read(values, 4, 8)).unwrap()), [200.0, 300.0]);
    }
}

#[test]
fn a_read_keeps_what_was_there_when_it_was_asked_for() {
    let Some(engine) = engine() else { return };
    let (session, values) = session(&engine);
    session.write(values, 0, &words([1.0; 4])).unwrap();
    let double = session.prepare(scale(values, 2.0)).unwrap();
    double.run().unwrap();
    let first = session.read(values, 0, 16);
    double.run().unwrap();
    let second = session.read(values, 0, 16);
    session.write(values, 0, &words([7.0; 4])).unwrap();
    // In the other order, from another thread, and once without being awaited.
    drop(session.read(values, 0, 16));
    let second = std::thread::spawn(move || block_on(second)).join().unwrap();
    assert_eq!(floats(&second.unwrap()), [4.0; 4]);
    assert_eq!(floats(&block_on(first).unwrap()), [2.0; 4]);
    assert_eq!(floats(&block_on(session.read(values, 0, 16)).unwrap()), [7.0; 4]);
    assert!(block_on(session.read(values, 0, 0)).unwrap().is_empty());
}

#[test]
fn clears_and_copies_keep_their_place_between_kernels() {
    let Some(engine) = engine() else { return };
    let mut workspace = Workspace::default();
    let (a, b) = (workspace.words("a", 4), workspace.words("b", 8));
    let session = engine.open(&workspace, &small(&engine)).unwrap();
    session.write(a, 0, &words([1.0, 2.0, 3.0, 4.0])).unwrap();
    let mut recording = scale(a, 2.0);
    recording.copy(a, b, 12);
    recording.clear(a);
    recording.dispatch(&TWO, ElementType::F32, &(), &[b.into(), a.into()], [2, 1, 1], Cost::default());
    session.prepare(recording).unwrap().run().unwrap();
    assert_eq!(floats(&block_on(session.read(b, 0, 16)).unwrap()), [2.0, 4.0, 6.0, 0.0]);
    assert_eq!(floats(&block_on(session.read(a, 0, 16)).unwrap()), [2.0, 4.0, 0.0, 0.0]);
}

#[test]
fn long_recordings_are_submitted_in_order() {
    let Some(engine) = engine() else { return };
    let (session, values) = session(&engine);
    session.write(values, 0, &words([1.0; 4])).unwrap();
    let mut recording = Recording::new();
    for factor in [2.0f32, 3.0, 0.5, 7.0] {
        let cost = Cost { flops: u64::MAX / 8, ..Cost::default() };
        recording.dispatch(&SCALE, ElementType::F32, &factor, &[values.into()], [4, 1, 1], cost);
    }
    session.prepare(recording).unwrap().run().unwrap();
    assert_eq!(floats(&block_on(session.read(values, 0, 4)).unwrap()), [21.0]);
}

#[test]
fn a_submission_that_the_device_dropped_without_an_error_is_a_loss() {
    let Some(engine) = engine() else { return };
    let (session, values) = session(&engine);
    session.write(values, 0, &words([1.0; 4])).unwrap();
    let mut recording = Recording::new();
    recording.dispatch(&SCALE, ElementType::F32, &1.0f32, &[values.into()], [4, 1, 1], Cost::default());
    let prepared = session.prepare(recording).unwrap();
    // More submissions than a read can vouch for, and several reads.
    for _ in 0..3 {
        (0..400).for_each(|_| prepared.run().unwrap());
        assert_eq!(floats(&block_on(session.read(values, 0, 4)).unwrap()), [1.0]);
    }
    prepared.run().unwrap();
    // The reads are submissions as well.
    engine.gpu.marks.forget(&engine.gpu.queue, 3 * 401);
    let error = block_on(session.read(values, 0, 4)).unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    assert!(prepared.run().is_err());
}

#[test]
fn panels_hold_padded_rows() {
    let Some(engine) = engine() else { return };
    // Rows of 5 are padded to 8 and 32 bytes; 65 rows a panel.
    let engine = engine.panel_bytes(65 * 32);
    let activations = engine.load(&Ramp { tokens: 130, neurons: 5 }).unwrap();
    assert_eq!(activations.layout().panels(), 2);
    let activations = engine.load(&Ramp { tokens: 150, neurons: 5 }).unwrap();
    assert_eq!((activations.layout().panels(), activations.layout().stride), (3, 8));
    // The sum runs over the padding as well, so the padding is zero.
    assert_eq!(sum_of_panels(&engine, &activations), ramp_sum(150, 5));
}

#[test]
fn many_pieces_make_a_large_panel() {
    let Some(engine) = engine() else { return };
    // 40 MB in pieces of 16 MiB and panels of 16 MiB or one; unpadded rows.
    let (tokens, neurons) = (2_500u64, 4_000u64);
    let activations = engine.load(&Ramp { tokens, neurons }).unwrap();
    let crate::activations::Storage::Device(panels) = &activations.storage else { panic!() };
    let mut all = Vec::new();
    for panel in panels.iter() {
        let read = super::readback::Readback::start(&engine.gpu, "panel", &panel.buffer, panel.offset, panel.bytes);
        all.extend(block_on(read.unwrap()).unwrap());
    }
    let mut expected = vec![0; all.len()];
    Ramp { tokens, neurons }.read_rows(0..tokens, &mut expected).unwrap();
    assert!(all == expected);
}

#[test]
fn an_engine_computes_on_a_callers_device_and_buffer() {
    let Some(theirs) = engine() else { return };
    let (device, queue) = (theirs.device().clone(), theirs.queue().clone());
    let engine = WgpuEngine::over(&device_of(&theirs), true, wgsl).unwrap().panel_bytes(40 * 48);
    let alignment = u64::from(device.limits().min_storage_buffer_offset_alignment);

    // 100 rows of 12 elements, of which the first 8 are bound; the last row ends after them.
    let (tokens, neurons, stride) = (100u64, 8u32, 12u32);
    let mut bytes = vec![0u8; alignment as usize];
    Ramp { tokens, neurons: stride.into() }
        .read_rows(0..tokens, {
            let start = bytes.len();
            bytes.resize(start + tokens as usize * 48, 0);
            &mut bytes[start..]
        })
        .unwrap();
    bytes.truncate(bytes.len() - 16);
    let descriptor = |usage| wgpu::BufferDescriptor {
        label: None,
        size: bytes.len() as u64,
        usage: wgpu::BufferUsages::COPY_DST | usage,
        mapped_at_creation: false,
    };
    let buffer = device.create_buffer(&descriptor(wgpu::BufferUsages::STORAGE));
    queue.write_buffer(&buffer, 0, &bytes);
    let borrow = |buffer: &wgpu::Buffer, offset, tokens, neurons, stride| {
        engine.activations_from_buffer(buffer.clone(), offset, tokens, neurons, ElementType::F32, stride)
    };
    let activations = borrow(&buffer, alignment, tokens, neurons, stride).unwrap();
    let layout = activations.layout();
    assert!(layout.panels() > 1 && layout.neurons == neurons && layout.stride == stride);
    assert_eq!(u64::from(layout.panel_rows) * layout.row_bytes() % alignment, 0);

    // The kernel sums everything bound, so bind whole rows of a buffer that holds them: all but the last.
    let whole = borrow(&buffer, alignment, tokens - 1, stride, stride).unwrap();
    assert_eq!(sum_of_panels(&engine, &whole), ramp_sum(tokens - 1, stride.into()));

    let unusable = device.create_buffer(&descriptor(wgpu::BufferUsages::COPY_SRC));
    for (result, word) in [
        (borrow(&buffer, alignment, tokens, 12, stride), "too few"),
        (borrow(&buffer, alignment, tokens, 5, 5), "multiple of 16"),
        (borrow(&buffer, alignment, tokens, 13, stride), "overlap"),
        (borrow(&buffer, 4, tokens, 8, stride), "offset 4"),
        (borrow(&buffer, alignment, 0, 8, stride), "empty"),
        (borrow(&buffer, alignment, u64::MAX / 2, 8, stride), "too few"),
        (borrow(&unusable, alignment, tokens, 8, stride), "STORAGE"),
    ] {
        let Err(Error::Activations { problem, .. }) = result else { panic!("{word}: {result:?}") };
        assert!(problem.contains(word), "{problem}");
    }
}

#[test]
fn a_buffer_over_the_limit_is_named_before_anything_is_allocated() {
    let Some(engine) = engine() else { return };
    let activations = small(&engine);
    let mut workspace = Workspace::default();
    // More than any machine has, so allocating it first would fail in another way.
    workspace.words("fits", 1 << 20);
    workspace.words("does not fit", 1 << 45);
    let Err(Error::OverLimit { what, needed, .. }) = engine.open(&workspace, &activations).map(drop) else { panic!() };
    assert!(what.contains("does not fit") && needed == 1 << 47, "{what}");
}

#[test]
fn buffers_come_back_from_the_pool_zeroed() {
    let Some(engine) = engine() else { return };
    let (first, values) = session(&engine);
    let prepared = first.prepare(scale(values, 2.0)).unwrap();
    first.write(values, 0, &words([3.0; 4])).unwrap();
    drop(first);
    // A prepared recording can still run, so its buffers aren't anyone else's yet.
    let usage = super::buffers::USAGE;
    assert!(engine.gpu.pool.take(16, usage).is_none());
    prepared.run().unwrap();
    drop(prepared);
    let kept = engine.gpu.pool.take(16, usage).expect("a buffer in the pool");
    engine.gpu.pool.put(kept);
    let (second, values) = session(&engine);
    assert!(engine.gpu.pool.take(16, usage).is_none());
    assert_eq!(floats(&block_on(second.read(values, 0, 16)).unwrap()), [0.0; 4]);
}

#[test]
fn every_command_is_timed_where_the_device_can() {
    for portable_limits in [false, true] {
        let Some(engine) = engine_for(&AdapterChoice { portable_limits, ..Default::default() }) else { return };
        let (session, values) = session(&engine);
        session.write(values, 0, &words([1.0, 2.0, 3.0, 4.0])).unwrap();
        let mut recording = scale(values, 2.0);
        // More than one set of timestamps holds.
        let commands = scale(values, 1.0).commands;
        recording.commands.extend((0..5000).flat_map(|_| commands.clone()));
        let prepared = session.prepare(recording).unwrap();
        let able = engine.device().features().contains(adapter::TIMING_FEATURES);
        assert!(!(able && portable_limits));
        let seconds = block_on(prepared.time()).unwrap();
        assert_eq!(seconds.as_ref().map(Vec::len), able.then_some(5001));
        assert!(seconds.into_iter().flatten().all(|seconds| (0.0..10.0).contains(&seconds)));
        // What is timed has run, once.
        let factor = if able { 2.0 } else { 1.0 };
        let expected = words([1.0, 2.0, 3.0, 4.0].map(|value| value * factor));
        assert_eq!(block_on(session.read(values, 0, 16)).unwrap(), expected);
    }
}

#[test]
fn mistakes_are_refused_in_words() {
    let Some(engine) = engine() else { return };
    let (session, values) = session(&engine);
    let refused = |recording: Recording, word: &str| match session.prepare(recording) {
        Err(Error::Refused { what, reason, .. }) => {
            assert!(reason.contains(word) || what.contains(word), "{what}: {reason}");
        }
        other => panic!("{word}: {:?}", other.err()),
    };
    // Built by hand, for `Recording::dispatch` panics at some of these.
    let one = |kernel, bindings: &[Resource]| Recording {
        commands: vec![Command::Dispatch(Dispatch {
            kernel,
            element: ElementType::F32,
            promise: Promise::default(),
            params: Vec::new(),
            bindings: bindings.to_vec(),
            extent: [1, 1, 1],
            cost: Cost::default(),
            chain: Chain::default(),
            scattered: 0,
            unevenness: 1.0,
            prepared: Vec::new(),
        })],
    };
    refused(one(&TWO, &[values.into(), values.into()]), "twice");
    refused(one(&TWO, &[Resource::Panel(1), values.into()]), "panel 1 of 1");
    refused(one(&TWO, &[values.into(), Resource::Panel(0)]), "read-only");
    refused(one(&TWO, &[values.into(), BufferId(9).into()]), "no buffer 9");
    refused(one(&BROKEN, &[]), "broken");
    let copy = Recording { commands: vec![Command::Copy { from: values, to: values, bytes: 4 }] };
    refused(copy, "two buffers");
    assert!(matches!(session.write(values, 8, &[0; 12]), Err(Error::Refused { .. })));
    assert!(matches!(block_on(session.read(values, 2, 4)), Err(Error::Refused { .. })));

    let mut wide = scale(values, 1.0);
    if let Some(Command::Dispatch(dispatch)) = wide.commands.first_mut() {
        dispatch.extent = [1, 65_536, 1];
    }
    assert!(matches!(session.prepare(wide), Err(Error::OverLimit { needed: 65_536, .. })));

    // None of this has broken the session.
    session.prepare(scale(values, 1.0)).unwrap().run().unwrap();
}

#[test]
fn a_stray_error_is_returned_by_the_next_call() {
    let Some(engine) = engine() else { return };
    let (session, values) = session(&engine);
    let _ = engine.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    assert!(matches!(session.write(values, 0, &[0; 4]), Err(Error::Refused { .. })));
    assert!(session.write(values, 0, &[0; 4]).is_ok());
}

#[test]
fn a_lost_device_is_an_error() {
    // Seen by an engine that listens, and by one on a caller's device, which does not.
    for listens in [true, false] {
        let Some(mut engine) = engine() else { return };
        if !listens {
            engine = WgpuEngine::over(&device_of(&engine), false, wgsl).unwrap();
        }
        let (session, values) = session(&engine);
        let prepared = session.prepare(scale(values, 2.0)).unwrap();
        let before = session.read(values, 0, 16);
        engine.device().destroy();
        // Whether a submission notices is up to the device; a result does.
        let _ = prepared.run();
        let after = session.read(values, 0, 16);
        assert!(matches!(block_on(before), Ok(_) | Err(Error::DeviceLost { .. })));
        let after = block_on(after);
        assert!(matches!(after, Err(Error::DeviceLost { .. })), "{after:?}");
        assert!(matches!(prepared.run(), Err(Error::DeviceLost { .. })));
        assert!(matches!(session.write(values, 0, &[0; 4]), Err(Error::DeviceLost { .. })));
    }
}

#[test]
fn a_read_does_not_wait_for_later_work() {
    let Some(engine) = engine() else { return };
    let (session, values) = session(&engine);
    let mut read = pin!(session.read(values, 0, 16));
    // One poll suffices: it waits for its own submission.
    assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

/// An engine whose cross product is composed from the real shader, changed.
fn engine_with(
    changed: fn(&Kernel, ElementType, &Variant, Precision) -> Result<String, ComposeError>,
) -> Option<WgpuEngine> {
    let opened = match block_on(adapter::open(&AdapterChoice::default())) {
        Ok(opened) => opened,
        Err(Error::NoAdapter { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    Some(WgpuEngine::over(&opened, false, changed).unwrap())
}

/// The outcome of the trial of the portable variant of the cross product.
fn trial(engine: &WgpuEngine, element: ElementType) -> Result<(), String> {
    let variant = CROSS_PRODUCT.variants.last().unwrap();
    engine.kernels.try_out(&engine.gpu, &CROSS_PRODUCT, element, variant)
}

#[test]
fn a_right_variant_passes_its_trial() {
    let Some(engine) = engine_with(compose) else { return };
    for element in ElementType::ALL {
        assert_eq!(trial(&engine, element), Ok(()), "{element}");
    }
}

#[test]
fn a_wrong_variant_fails_its_trial_and_the_engine_goes_on() {
    let scaled = |kernel: &Kernel, element, variant: &Variant, precision| {
        let text = compose(kernel, element, variant, precision)?;
        assert!(text.contains("params.scale * sums"));
        Ok(text.replace("params.scale * sums", "1.0001 * params.scale * sums"))
    };
    let without_a_stage = |kernel: &Kernel, element, variant: &Variant, precision| {
        let text = compose(kernel, element, variant, precision)?;
        assert!(text.contains("whole > 0u"));
        Ok(text.replace("whole > 0u", "whole > 1u"))
    };
    let refused = |_: &Kernel, _, _: &Variant, _| Ok("this is not WGSL".to_owned());
    for (changed, message) in
        [(scaled as fn(&_, _, &_, _) -> _, "off by 1.0e-4"), (without_a_stage, "off by"), (refused, "cross_product")]
    {
        let Some(engine) = engine_with(changed) else { return };
        let reason = trial(&engine, ElementType::F16).unwrap_err();
        assert!(reason.contains(message), "{reason}");
        assert!(small(&engine).layout().tokens == 3, "the engine still loads");
    }
}

#[test]
fn a_kernel_without_a_trial_is_not_trusted() {
    let Some(engine) = engine() else { return };
    let reason = engine.kernels.try_out(&engine.gpu, &SCALE, ElementType::F32, &PORTABLE[0]).unwrap_err();
    assert!(reason.contains("no trial"), "{reason}");
}
