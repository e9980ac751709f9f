//! The buffers of one workspace.

use std::sync::Arc;

use unmix_kernels::{BufferId, BufferSpec, Recording, Workspace};

use super::device::Gpu;
use super::prepared::GpuPrepared;
use super::readback::Readback;
use super::upload::Upload;
use crate::activations::DevicePanel;
use crate::{Error, Pending, Prepared, Session};

pub(super) const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Buffers of a workspace. They go back to the pool when neither the session nor a prepared recording needs them.
pub(super) struct Buffers {
    gpu: Arc<Gpu>,
    specs: Vec<BufferSpec>,
    buffers: Vec<wgpu::Buffer>,
}

impl Buffers {
    fn allocate(gpu: &Arc<Gpu>, workspace: &Workspace) -> Result<Self, Error> {
        let limit = gpu.limits.max_binding_bytes;
        if let Some(spec) = workspace.buffers.iter().find(|spec| spec.bytes > limit) {
            return Err(gpu.over_limit(format!("buffer `{}` (bytes)", spec.name), spec.bytes, limit));
        }
        gpu.pool.opening();
        let mut all = Buffers { gpu: Arc::clone(gpu), specs: workspace.buffers.clone(), buffers: Vec::new() };
        let mut reused = Vec::new();
        for spec in &workspace.buffers {
            let buffer = match gpu.pool.take(spec.bytes, USAGE) {
                Some(buffer) => {
                    reused.push(buffer.clone());
                    buffer
                }
                // A new buffer is zero: wgpu clears what is used before it is written.
                None => gpu.allocate(&format!("buffer `{}`", spec.name), spec.bytes, USAGE)?,
            };
            all.buffers.push(buffer);
        }
        if !reused.is_empty() {
            gpu.submit("clearing buffers", |encoder| {
                for buffer in &reused {
                    encoder.clear_buffer(buffer, 0, None);
                }
            })?;
        }
        Ok(all)
    }

    /// A buffer and what to call it in messages.
    pub fn get(&self, id: BufferId) -> Result<(&wgpu::Buffer, &str), Error> {
        match (self.buffers.get(id.0 as usize), self.specs.get(id.0 as usize)) {
            (Some(buffer), Some(spec)) => Ok((buffer, &spec.name)),
            _ => Err(self.gpu.refused("a command", format!("the workspace has no buffer {}", id.0))),
        }
    }

    /// A buffer of which `bytes` bytes from `offset` on are to be moved.
    fn part(&self, id: BufferId, offset: u64, bytes: u64) -> Result<(&wgpu::Buffer, &str), Error> {
        let (buffer, name) = self.get(id)?;
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= buffer.size());
        if !inside || !offset.is_multiple_of(4) || !bytes.is_multiple_of(4) {
            let reason = format!("{bytes} bytes from {offset} are not 4-byte words within its {} bytes", buffer.size());
            return Err(self.gpu.refused(format!("a transfer of buffer `{name}`"), reason));
        }
        Ok((buffer, name))
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        for buffer in self.buffers.drain(..) {
            self.gpu.pool.put(buffer);
        }
    }
}

/// A session on a wgpu device.
pub(super) struct GpuSession {
    gpu: Arc<Gpu>,
    buffers: Arc<Buffers>,
    panels: Arc<Vec<DevicePanel>>,
}

impl GpuSession {
    pub fn open(gpu: &Arc<Gpu>, workspace: &Workspace, panels: &Arc<Vec<DevicePanel>>) -> Result<Self, Error> {
        let buffers = Arc::new(Buffers::allocate(gpu, workspace)?);
        Ok(GpuSession { gpu: Arc::clone(gpu), buffers, panels: Arc::clone(panels) })
    }
}

impl Session for GpuSession {
    fn write(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let (buffer, name) = self.buffers.part(buffer, offset, bytes.len() as u64)?;
        Upload::new(&self.gpu).write(&format!("writing buffer `{name}`"), buffer, offset, bytes)
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Pending<Vec<u8>> {
        let started = self
            .buffers
            .part(buffer, offset, bytes)
            .and_then(|(buffer, name)| Readback::start(&self.gpu, name, buffer, offset, bytes));
        match started {
            Ok(readback) => Box::pin(readback),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn prepare(&self, recording: Recording) -> Result<Box<dyn Prepared>, Error> {
        Ok(Box::new(GpuPrepared::new(&self.gpu, &self.buffers, &self.panels, recording)?))
    }
}
