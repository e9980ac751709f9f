//! How long single commands take, by the device's own clock.

use std::sync::Arc;

use super::device::Gpu;
use super::readback::Readback;
use crate::{Error, Pending};

/// What timing needs of a device.
pub(super) const FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);

/// Steps to a submission: one timestamp is taken before the first and one after each.
const MOST_STEPS: usize = wgpu::QUERY_SET_MAX_QUERIES as usize - 1;

/// Submits steps with a timestamp between any two, and gives the seconds of each; none if the device cannot.
pub(super) fn time<'a, Step: 'a>(
    gpu: &Arc<Gpu>,
    submissions: impl Iterator<Item = &'a [Step]>,
    encode: impl Fn(&mut wgpu::CommandEncoder, &Step),
) -> Pending<Option<Vec<f64>>> {
    if !gpu.device.features().contains(FEATURES) {
        return Box::pin(std::future::ready(Ok(None)));
    }
    let mut started = Vec::new();
    for steps in submissions {
        for steps in steps.chunks(MOST_STEPS) {
            started.push(submit(gpu, steps, &encode));
        }
    }
    let tick = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
    Box::pin(async move {
        let mut seconds = Vec::new();
        for readback in started {
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&readback?.await?);
            seconds.extend(ticks.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * tick));
        }
        Ok(Some(seconds))
    })
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
