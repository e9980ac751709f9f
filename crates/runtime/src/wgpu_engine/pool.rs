//! Buffers kept for the next session: many fits in a row ask for the same ones.

use std::sync::Mutex;

use crate::lock::lock;

/// A buffer that no session asked for during this many openings is freed.
const PATIENCE: u64 = 4;

/// Buffers waiting to be used again. Their contents are left over from the last use.
#[derive(Default)]
pub(super) struct Pool {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    openings: u64,
    buffers: Vec<(u64, wgpu::Buffer)>,
}

impl Pool {
    /// Notes that a session opens, and frees buffers that no session has asked for in a while.
    pub fn opening(&self) {
        let mut kept = lock(&self.kept);
        kept.openings += 1;
        let now = kept.openings;
        kept.buffers.retain(|(since, _)| since + PATIENCE > now);
    }

    /// A kept buffer of exactly this size and usage.
    pub fn take(&self, bytes: u64, usage: wgpu::BufferUsages) -> Option<wgpu::Buffer> {
        let mut kept = lock(&self.kept);
        let found = kept.buffers.iter().position(|(_, buffer)| buffer.size() == bytes && buffer.usage() == usage)?;
        Some(kept.buffers.swap_remove(found).1)
    }

    /// Keeps a buffer.
    pub fn put(&self, buffer: wgpu::Buffer) {
        let mut kept = lock(&self.kept);
        let now = kept.openings;
        kept.buffers.push((now, buffer));
    }

    /// Frees all kept buffers. Returns whether there were any.
    pub fn clear(&self) -> bool {
        let buffers = std::mem::take(&mut lock(&self.kept).buffers);
        !buffers.is_empty()
    }
}
