//! A recording as pipelines, bind groups and parameters, encoded anew at every run: wgpu's command buffers serve once.

use std::ops::Range;
use std::sync::Arc;

use unmix_kernels::{Command, Cost, Recording};

use super::binding::{Params, bind, check_dispatch};
use super::buffers::Buffers;
use super::device::Gpu;
use super::kernels::Kernels;
use super::panels::Panels;
use super::pipelines::Pipeline;
use super::timing::Timer;
use crate::schedule::refuse_reductions;
use crate::{Error, Pending, Prepared};

/// About how many FLOPs take as long as moving one byte.
const FLOPS_PER_BYTE: u64 = 3;

/// A recording ready to be run.
pub(super) struct GpuPrepared {
    gpu: Arc<Gpu>,
    recording: Recording,
    steps: Vec<Step>,
    submissions: Vec<Submission>,
    /// The panels that are visited where activations are streamed.
    visits: Vec<u32>,
    panels: Arc<Panels>,
    /// Keeps the bound buffers out of the pool while this can still run.
    _buffers: Arc<Buffers>,
}

enum Step {
    Dispatch { pipeline: Arc<Pipeline>, bindings: wgpu::BindGroup, workgroups: [u32; 3] },
    Clear(wgpu::Buffer),
    Copy { from: wgpu::Buffer, to: wgpu::Buffer, bytes: u64 },
}

/// Steps that are submitted at once.
struct Submission {
    /// The panel that must be in its slot before the steps run. `None` if they need no streamed panel.
    panel: Option<u32>,
    steps: Range<usize>,
}

impl GpuPrepared {
    pub fn new(
        gpu: &Arc<Gpu>,
        kernels: &Kernels,
        buffers: &Arc<Buffers>,
        panels: &Arc<Panels>,
        recording: Recording,
    ) -> Result<Self, Error> {
        // Everything is checked before anything is compiled or allocated.
        refuse_reductions(&recording, &gpu.name)?;
        let schedule = panels.schedule(gpu, &recording)?;
        let mut choices = Vec::new();
        for dispatch in recording.dispatches() {
            let choice = kernels.choose(gpu, dispatch)?;
            check_dispatch(gpu, buffers, panels.count(), dispatch, choice.workgroups)?;
            choices.push(choice);
        }
        let params = Params::new(gpu, &recording)?;
        let pipelines = kernels.pipelines(gpu, &choices)?;
        let mut steps = Vec::with_capacity(recording.commands.len());
        let mut effort = Vec::with_capacity(recording.commands.len());
        let mut places = choices.into_iter().zip(pipelines).zip(&params.offsets);
        for command in &recording.commands {
            let (step, work) = match command {
                Command::Dispatch(dispatch) => {
                    let Some(((choice, pipeline), offset)) = places.next() else { continue };
                    let bindings = bind(gpu, buffers, panels, dispatch, &pipeline, &params, *offset)?;
                    let workgroups = choice.workgroups;
                    (Step::Dispatch { pipeline, bindings, workgroups }, work(&dispatch.cost))
                }
                // Such a recording was refused already.
                Command::Reduce(_) => continue,
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
        // Longer submissions invite watchdogs and keep the desktop waiting.
        let budget = gpu.limits.dispatch_flops;
        let submissions = schedule.segments.iter().flat_map(|segment| {
            let (panel, first) = (segment.panel, segment.commands.start);
            let ranges = cut(&effort[segment.commands.clone()], budget).into_iter();
            ranges.map(move |range| Submission { panel, steps: first + range.start..first + range.end })
        });
        let submissions = submissions.collect();
        let visits = schedule.visits().collect();
        let (gpu, buffers, panels) = (Arc::clone(gpu), Arc::clone(buffers), Arc::clone(panels));
        Ok(GpuPrepared { gpu, recording, steps, submissions, visits, panels, _buffers: buffers })
    }

    /// Calls `submit` for the steps of each submission, in order, after its panel is in place.
    fn run_each(&self, mut submit: impl FnMut(&[Step]) -> Result<(), Error>) -> Result<(), Error> {
        let mut pass = self.panels.begin(&self.visits);
        for Submission { panel, steps } in &self.submissions {
            if let (Some(pass), Some(panel)) = (&mut pass, panel) {
                pass.bring(&self.gpu, *panel)?;
            }
            submit(&self.steps[steps.clone()])?;
        }
        Ok(())
    }
}

impl Prepared for GpuPrepared {
    fn run(&self) -> Result<(), Error> {
        self.run_each(|steps| self.gpu.submit("a recording", |encoder| encode(encoder, steps)).map(drop))
    }

    fn time(&self) -> Pending<Option<Vec<f64>>> {
        let Some(mut timer) = Timer::new(&self.gpu) else { return Box::pin(std::future::ready(Ok(None))) };
        let one = |encoder: &mut wgpu::CommandEncoder, step: &Step| encode(encoder, std::slice::from_ref(step));
        match self.run_each(|steps| timer.submit(steps, one)) {
            Ok(()) => Box::pin(async move { timer.seconds().await.map(Some) }),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
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

/// How much a dispatch has to do, in FLOPs.
fn work(cost: &Cost) -> u64 {
    cost.flops.saturating_add(FLOPS_PER_BYTE * cost.bytes())
}

/// Cuts steps into ranges whose effort is at most `budget`. A single step with more effort is a range of its own.
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
