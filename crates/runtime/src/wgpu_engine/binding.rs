//! What dispatches bind: checks, parameters and bind groups.

use unmix_kernels::{Access, Dispatch, Recording, Resource};

use super::buffers::Buffers;
use super::device::Gpu;
use super::panels::Panels;
use super::pipelines::{Pipeline, params_bytes};
use crate::Error;

/// The parameters of all dispatches, in one buffer.
pub(super) struct Params {
    /// None where no kernel has parameters.
    buffer: Option<wgpu::Buffer>,
    /// Where each dispatch's start.
    pub offsets: Vec<u64>,
}

impl Params {
    pub fn new(gpu: &Gpu, recording: &Recording) -> Result<Self, Error> {
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

/// What a dispatch binds, as the device wants it.
pub(super) fn bind(
    gpu: &Gpu,
    buffers: &Buffers,
    panels: &Panels,
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
                let panel = panels.place(*index);
                part(panel.buffer, panel.offset, panel.bytes)
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
pub(super) fn check_dispatch(
    gpu: &Gpu,
    buffers: &Buffers,
    panels: u32,
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
            Resource::Panel(panel) if *panel >= panels => {
                return refused(format!("it binds panel {panel} of {panels}"));
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
