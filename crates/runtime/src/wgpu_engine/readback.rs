//! Results on their way back to the host.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::device::Gpu;
use super::marks;
use crate::Error;
use crate::lock::lock;

/// Staging buffers up to this size are kept for the next read of the same size: losses are read every iteration.
const KEPT: u64 = 1 << 20;

const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::MAP_READ.union(wgpu::BufferUsages::COPY_DST);

/// A copy that has been submitted and whose bytes arrive later.
pub(super) struct Readback {
    gpu: Arc<Gpu>,
    what: String,
    /// None once the bytes were handed out, or where there are none to read.
    pending: Option<Copy>,
    arrival: Arc<Mutex<Arrival>>,
}

struct Copy {
    /// The bytes, and after them the marks of the submissions so far.
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    number: u64,
}

#[derive(Default)]
struct Arrival {
    mapped: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

impl Readback {
    /// Submits the copy now, so that later work does not change what is read.
    pub fn start(gpu: &Arc<Gpu>, name: &str, from: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Self, Error> {
        let what = format!("reading buffer `{name}`");
        let arrival = Arc::new(Mutex::new(Arrival::default()));
        let mut readback = Readback { gpu: Arc::clone(gpu), what, pending: None, arrival };
        if bytes == 0 {
            return Ok(readback);
        }
        let size = bytes + marks::BYTES;
        let staging = match gpu.pool.take(size, USAGE) {
            Some(staging) => staging,
            None => gpu.allocate(&readback.what, size, USAGE)?,
        };
        let (submission, number) = gpu.submit_read(&readback.what, &staging, |encoder| {
            encoder.copy_buffer_to_buffer(from, offset, &staging, 0, bytes);
        })?;
        let arrival = Arc::clone(&readback.arrival);
        gpu.call(&readback.what, 0, || {
            staging.map_async(wgpu::MapMode::Read, .., move |result| {
                let mut arrival = lock(&arrival);
                arrival.mapped = Some(result);
                if let Some(waker) = arrival.waker.take() {
                    waker.wake();
                }
            });
        })?;
        readback.pending = Some(Copy { staging, submission, number });
        Ok(readback)
    }
}

impl Future for Readback {
    type Output = Result<Vec<u8>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(Copy { submission, .. }) = &this.pending else { return Poll::Ready(Ok(Vec::new())) };
        if lock(&this.arrival).mapped.is_none()
            && let Err(error) = this.gpu.wait(submission)
        {
            return Poll::Ready(Err(error));
        }
        let mut arrival = lock(&this.arrival);
        match &arrival.mapped {
            // Another thread's poll took our callback and is about to call it, or we are in a browser.
            None => {
                arrival.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            // No scope caught an error, and losses are what scopes do not catch.
            Some(Err(_)) => return Poll::Ready(Err(this.gpu.lost("a buffer could not be mapped"))),
            Some(Ok(())) => {}
        }
        drop(arrival);
        let Some(Copy { staging, number, .. }) = this.pending.take() else { return Poll::Ready(Ok(Vec::new())) };
        let (bytes, are_right) = match staging.get_mapped_range(..) {
            Ok(view) => {
                let (bytes, marks) = view.split_at(view.len() - marks::BYTES as usize);
                (bytes.to_vec(), this.gpu.marks.vouch(marks, number))
            }
            // It was mapped a moment ago, and nobody else has it: the device took it away.
            Err(error) => return Poll::Ready(Err(this.gpu.lost(&error.to_string()))),
        };
        if !are_right {
            return Poll::Ready(Err(this.gpu.lost("it skipped commands without an error")));
        }
        if staging.size() <= KEPT && this.gpu.call(&this.what, 0, || staging.unmap()).is_ok() {
            this.gpu.pool.put(staging);
        }
        Poll::Ready(Ok(bytes))
    }
}
