//! A workspace on a device, and work over it.

use std::sync::Arc;

use unmix_kernels::{BufferId, Recording, Workspace};

use super::buffers::Buffers;
use super::device::Gpu;
use super::kernels::Kernels;
use super::panels::Panels;
use super::prepared::GpuPrepared;
use super::readback::Readback;
use super::upload::Upload;
use crate::{Error, Pending, Prepared, Session};

/// A session on a wgpu device.
pub(super) struct GpuSession {
    gpu: Arc<Gpu>,
    kernels: Arc<Kernels>,
    buffers: Arc<Buffers>,
    panels: Arc<Panels>,
}

impl GpuSession {
    pub fn open(gpu: &Arc<Gpu>, kernels: &Arc<Kernels>, workspace: &Workspace, panels: Panels) -> Result<Self, Error> {
        let buffers = Arc::new(Buffers::allocate(gpu, workspace)?);
        let (gpu, kernels, panels) = (Arc::clone(gpu), Arc::clone(kernels), Arc::new(panels));
        Ok(GpuSession { gpu, kernels, buffers, panels })
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
        Ok(Box::new(GpuPrepared::new(&self.gpu, &self.kernels, &self.buffers, &self.panels, recording)?))
    }
}
