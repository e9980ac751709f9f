//! The buffers of one workspace on a device.

use std::sync::Arc;

use unmix_kernels::{BufferId, BufferSpec, Workspace};

use super::device::Gpu;
use crate::Error;

pub(super) const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Buffers of a workspace. They go back to the pool when neither the session nor a prepared recording needs them.
pub(super) struct Buffers {
    gpu: Arc<Gpu>,
    specs: Vec<BufferSpec>,
    buffers: Vec<wgpu::Buffer>,
}

impl Buffers {
    pub fn allocate(gpu: &Arc<Gpu>, workspace: &Workspace) -> Result<Self, Error> {
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
    pub fn part(&self, id: BufferId, offset: u64, bytes: u64) -> Result<(&wgpu::Buffer, &str), Error> {
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
