//! A recording as pipelines, bind groups and parameters, encoded anew at every run: wgpu's command buffers serve once.

use std::ops::Range;
use std::sync::Arc;

use unmix_kernels::{Access, Command, Cost, Dispatch, Recording, Resource, Variant};

use super::device::Gpu;
use super::pipelines::{Pipeline, params_bytes};
use super::session::Buffers;
use super::timing;
use crate::activations::DevicePanel;
use crate::{Error, Pending, Prepared};

/// Work that a GPU does in some tens of milliseconds at worst, in FLOPs. Longer submissions invite watchdogs and keep
/// the desktop waiting.
const GPU_SUBMISSION: u64 = 50_000_000_000;
/// The same for a software renderer.
const SOFTWARE_SUBMISSION: u64 = 2_000_000_000;
/// FLOPs in whose time a byte is moved, roughly.
const FLOPS_PER_BYTE: u64 = 3;

/// A recording ready to be run.
pub(super) struct GpuPrepared {
    gpu: Arc<Gpu>,
    recording: Recording,
    steps: Vec<Step>,
    /// Ranges of `steps`, each a submission.
    submissions: Vec<Range<usize>>,
    /// Keeps the bound buffers out of the pool while this can still run.
    _buffers: Arc<Buffers>,
}

/// How a dispatch runs on this device.
struct Choice {
    variant: &'static Variant,
    workgroups: [u32; 3],
}

impl Choice {
    fn new(gpu: &Gpu, dispatch: &Dispatch) -> Result<Self, Error> {
        let kernel = dispatch.kernel;
        let Some(variant) = gpu.variants.choose(kernel, dispatch.element, dispatch.extent) else {
            let what = format!("kernel `{}` on {} operands", kernel.name, dispatch.element);
            return Err(gpu.refused(what, "it has no variant that the device can run"));
        };
        Ok(Choice { variant, workgroups: variant.workgroups(dispatch.extent) })
    }
}

enum Step {
    Dispatch { pipeline: Arc<Pipeline>, bindings: wgpu::BindGroup, workgroups: [u32; 3] },
    Clear(wgpu::Buffer),
    Copy { from: wgpu::Buffer, to: wgpu::Buffer, bytes: u64 },
}

impl GpuPrepared {
    pub fn new(
        gpu: &Arc<Gpu>,
        buffers: &Arc<Buffers>,
        panels: &[DevicePanel],
        recording: Recording,
    ) -> Result<Self, Error> {
        // Everything is checked before anything is compiled or allocated.
        let mut choices = Vec::new();
        for dispatch in recording.dispatches() {
            let choice = Choice::new(gpu, dispatch)?;
            check_dispatch(gpu, buffers, panels, dispatch, choice.workgroups)?;
            choices.push(choice);
        }
        let params = Params::new(gpu, &recording)?;
        let mut steps = Vec::with_capacity(recording.commands.len());
        let mut effort = Vec::with_capacity(recording.commands.len());
        let mut places = choices.into_iter().zip(&params.offsets);
        for command in &recording.commands {
            let (step, work) = match command {
                Command::Dispatch(dispatch) => {
                    let Some((Choice { variant, workgroups }, offset)) = places.next() else { continue };
                    let pipeline = gpu.pipelines.get(gpu, dispatch.kernel, dispatch.element, variant)?;
                    let bindings = bind(gpu, buffers, panels, dispatch, &pipeline, &params, *offset)?;
                    (Step::Dispatch { pipeline, bindings, workgroups }, work(&dispatch.cost))
                }
                Command::Clear(id) => {
                    let (buffer, _) = buffers.get(*id)?;
                    (Step::Clear(buffer.clone()), FLOPS_PER_BYTE * buffer.size())
                }
                Command::Copy { from, to, bytes } => {
                    let ((from, from_name), (to, to_name)) = (buffers.get(*from)?, buffers.get(*to)?);
                    if from == to || !bytes.is_multiple_of(4) || *bytes > from.size().min(to.size()) {
                        let what = format!("a copy of {bytes} bytes from `{from_name}` to `{to_name}`");
                        return Err(gpu.refused(what, "it needs two buffers that both have so many 4-byte words"));
                    }
                    (Step::Copy { from: from.clone(), to: to.clone(), bytes: *bytes }, FLOPS_PER_BYTE * bytes)
                }
            };
            steps.push(step);
            effort.push(work);
        }
        let budget = if gpu.software { SOFTWARE_SUBMISSION } else { GPU_SUBMISSION };
        let submissions = cut(&effort, budget);
        Ok(GpuPrepared { gpu: Arc::clone(gpu), recording, steps, submissions, _buffers: Arc::clone(buffers) })
    }
}

impl Prepared for GpuPrepared {
    fn run(&self) -> Result<(), Error> {
        for range in &self.submissions {
            let steps = &self.steps[range.clone()];
            self.gpu.submit("a recording", |encoder| encode(encoder, steps))?;
        }
        Ok(())
    }

    fn time(&self) -> Pending<Option<Vec<f64>>> {
        let submissions = self.submissions.iter().map(|range| &self.steps[range.clone()]);
        timing::time(&self.gpu, submissions, |encoder, step| encode(encoder, std::slice::from_ref(step)))
    }

    fn recording(&self) -> &Recording {
        &self.recording
    }
}

/// Encodes steps; dispatches that follow one another share a pass.
fn encode(encoder: &mut wgpu::CommandEncoder, steps: &[Step]) {
    let dispatch = |step: &Step| matches!(step, Step::Dispatch { .. });
    for group in steps.chunk_by(|a, b| dispatch(a) && dispatch(b)) {
        match group {
            [Step::Clear(buffer)] => encoder.clear_buffer(buffer, 0, None),
            [Step::Copy { from, to, bytes }] => encoder.copy_buffer_to_buffer(from, 0, to, 0, *bytes),
            dispatches => {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                for step in dispatches {
                    if let Step::Dispatch { pipeline, bindings, workgroups: [x, y, z] } = step {
                        pass.set_pipeline(&pipeline.pipeline);
                        pass.set_bind_group(0, bindings, &[]);
                        pass.dispatch_workgroups(*x, *y, *z);
                    }
                }
            }
        }
    }
}

/// The parameters of all dispatches, in one buffer.
struct Params {
    /// None where no kernel has parameters.
    buffer: Option<wgpu::Buffer>,
    /// Where each dispatch's start.
    offsets: Vec<u64>,
}

impl Params {
    fn new(gpu: &Gpu, recording: &Recording) -> Result<Self, Error> {
        let alignment = gpu.raw_limits.min_uniform_buffer_offset_alignment as usize;
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        for dispatch in recording.dispatches() {
            bytes.resize(bytes.len().next_multiple_of(alignment), 0);
            offsets.push(bytes.len() as u64);
            bytes.extend(&dispatch.params);
            bytes.resize(bytes.len().next_multiple_of(16), 0);
        }
        if bytes.is_empty() {
            return Ok(Params { buffer: None, offsets });
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.allocate("parameters", bytes.len() as u64, usage)?;
        gpu.call("writing parameters", 0, || gpu.queue.write_buffer(&buffer, 0, &bytes))?;
        Ok(Params { buffer: Some(buffer), offsets })
    }
}

fn bind(
    gpu: &Gpu,
    buffers: &Buffers,
    panels: &[DevicePanel],
    dispatch: &Dispatch,
    pipeline: &Pipeline,
    params: &Params,
    params_offset: u64,
) -> Result<wgpu::BindGroup, Error> {
    let part = |buffer, offset, bytes| {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size: std::num::NonZeroU64::new(bytes) })
    };
    let mut resources = Vec::with_capacity(dispatch.bindings.len() + 1);
    for resource in &dispatch.bindings {
        resources.push(match resource {
            Resource::Buffer(id) => buffers.get(*id)?.0.as_entire_binding(),
            Resource::Panel(index) => {
                let panel = &panels[*index as usize];
                part(&panel.buffer, panel.offset, panel.bytes)
            }
        });
    }
    let bytes = params_bytes(dispatch.kernel);
    if let Some(buffer) = params.buffer.as_ref().filter(|_| bytes > 0) {
        resources.push(part(buffer, params_offset, bytes));
    }
    let entries: Vec<_> =
        (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
    gpu.call(&format!("bindings of kernel `{}`", dispatch.kernel.name), 0, || {
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(dispatch.kernel.name),
            layout: &pipeline.layout,
            entries: &entries,
        })
    })
}

/// Finds mistakes of a recording that the device would report late or not at all.
fn check_dispatch(
    gpu: &Gpu,
    buffers: &Buffers,
    panels: &[DevicePanel],
    dispatch: &Dispatch,
    workgroups: [u32; 3],
) -> Result<(), Error> {
    let name = dispatch.kernel.name;
    let refused = |reason: String| Err(gpu.refused(format!("kernel `{name}`"), reason));
    for (axis, workgroups) in ["x", "y", "z"].iter().zip(workgroups) {
        if workgroups > gpu.limits.max_workgroups {
            let what = format!("kernel `{name}` (workgroups in {axis})");
            return Err(gpu.over_limit(what, workgroups.into(), gpu.limits.max_workgroups.into()));
        }
    }
    if dispatch.bindings.len() != dispatch.kernel.access.len() || dispatch.params.len() != dispatch.kernel.params_size {
        return refused("its bindings or parameters are not those of the kernel".into());
    }
    let bindings: Vec<_> = dispatch.bindings.iter().zip(dispatch.kernel.access).collect();
    for (index, (resource, access)) in bindings.iter().enumerate() {
        match resource {
            Resource::Panel(panel) if *panel as usize >= panels.len() => {
                return refused(format!("it binds panel {panel} of {}", panels.len()));
            }
            Resource::Panel(panel) if **access == Access::ReadWrite => {
                return refused(format!("it writes panel {panel}, but activations are read-only"));
            }
            Resource::Panel(_) => {}
            Resource::Buffer(id) => {
                let (_, buffer) = buffers.get(*id)?;
                let twice = bindings[..index]
                    .iter()
                    .any(|(other, held)| other == resource && [**held, **access].contains(&Access::ReadWrite));
                if twice {
                    return refused(format!(
                        "it binds buffer `{buffer}` twice and writes it; what a dispatch writes may be bound only once"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// How much a dispatch has to do, in FLOPs.
fn work(cost: &Cost) -> u64 {
    cost.flops.saturating_add(FLOPS_PER_BYTE * cost.bytes())
}

/// Cuts steps of given effort into ranges that stay within `budget` where a single step does.
fn cut(effort: &[u64], budget: u64) -> Vec<Range<usize>> {
    let (mut ranges, mut start, mut sum) = (Vec::new(), 0, 0u64);
    for (index, &step) in effort.iter().enumerate() {
        if index > start && sum.saturating_add(step) > budget {
            ranges.push(start..index);
            (start, sum) = (index, 0);
        }
        sum = sum.saturating_add(step);
    }
    if start < effort.len() {
        ranges.push(start..effort.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn submissions_stay_short() {
        assert_eq!(cut(&[], 10), []);
        assert_eq!(cut(&[4, 4, 4, 40, 1, u64::MAX], 10), [0..2, 2..3, 3..4, 4..5, 5..6]);
        assert_eq!(cut(&[1, 2, 3, 9], 10), [0..3, 3..4]);
    }
}
