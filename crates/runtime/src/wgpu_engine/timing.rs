//! How long single commands take, by the device's own clock.

use std::sync::Arc;

use super::adapter::TIMING_FEATURES;
use super::device::Gpu;
use super::readback::Readback;
use crate::Error;

/// Steps to a submission: one timestamp is taken before the first and one after each.
const MOST_STEPS: usize = wgpu::QUERY_SET_MAX_QUERIES as usize - 1;

/// Timestamps of a recording that are on their way.
pub(super) struct Timer {
    gpu: Arc<Gpu>,
    started: Vec<Readback>,
}

impl Timer {
    /// None if the device cannot tell commands apart.
    pub fn new(gpu: &Arc<Gpu>) -> Option<Self> {
        let able = gpu.device.features().contains(TIMING_FEATURES);
        able.then(|| Timer { gpu: Arc::clone(gpu), started: Vec::new() })
    }

    /// Submits steps with a timestamp between any two.
    pub fn submit<Step>(
        &mut self,
        steps: &[Step],
        encode: impl Fn(&mut wgpu::CommandEncoder, &Step),
    ) -> Result<(), Error> {
        for steps in steps.chunks(MOST_STEPS) {
            self.started.push(submit(&self.gpu, steps, &encode)?);
        }
        Ok(())
    }

    /// The seconds of each step.
    pub async fn seconds(self) -> Result<Vec<f64>, Error> {
        let tick = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        let mut seconds = Vec::new();
        for readback in self.started {
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&readback.await?);
            seconds.extend(ticks.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * tick));
        }
        Ok(seconds)
    }
}

fn submit<Step>(
    gpu: &Arc<Gpu>,
    steps: &[Step],
    encode: &impl Fn(&mut wgpu::CommandEncoder, &Step),
) -> Result<Readback, Error> {
    let count = steps.len() as u32 + 1;
    let bytes = u64::from(count) * u64::from(wgpu::QUERY_SIZE);
    let queries = gpu.call("timestamps", bytes, || {
        gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        })
    })?;
    let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
    let buffer = gpu.allocate("timestamps", bytes, usage)?;
    gpu.submit("a timed recording", |encoder| {
        encoder.write_timestamp(&queries, 0);
        for (step, query) in steps.iter().zip(1..) {
            encode(encoder, step);
            encoder.write_timestamp(&queries, query);
        }
        encoder.resolve_query_set(&queries, 0..count, &buffer, 0);
    })?;
    Readback::start(gpu, "timestamps", &buffer, 0, bytes)
}
