//! The device: every call to it goes through here, so that each error becomes one of ours and none a panic.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::adapter::{Opened, check_portable, is_software};
use super::heap::device_memory;
use super::marks::Marks;
use super::pool::Pool;
use crate::lock::lock;
use crate::{DeviceMemory, EngineLimits, Error};

/// A device and its memory, shared by the engine, its sessions and their prepared recordings.
pub(super) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub name: String,
    pub software: bool,
    pub memory: DeviceMemory,
    pub checked: bool,
    /// The device's own limits.
    pub raw_limits: wgpu::Limits,
    pub limits: EngineLimits,
    pub pool: Pool,
    pub marks: Marks,
    health: Arc<Health>,
}

/// What went wrong on the device outside of a call that could have returned it.
#[derive(Default)]
struct Health {
    /// Why the device was lost, once it was.
    lost: OnceLock<String>,
    /// An error that no scope caught, kept for the next call.
    refused: Mutex<Option<String>>,
}

impl Gpu {
    pub fn new(opened: &Opened, checked: bool) -> Result<Self, Error> {
        let (device, queue) = (opened.device.clone(), opened.queue.clone());
        let (info, raw_limits) = (device.adapter_info(), device.limits());
        check_portable(&info.name, &raw_limits)?;
        let software = is_software(&info);
        Ok(Gpu {
            limits: engine_limits(&raw_limits, info.device_type),
            memory: device_memory(&device, &info),
            marks: Marks::new(&device),
            device,
            queue,
            // Some drivers end it with a blank.
            name: info.name.trim().to_owned(),
            software,
            checked,
            raw_limits,
            pool: Pool::default(),
            health: Arc::default(),
        })
    }

    /// Hears of losses and stray errors. Only for a device that is ours: it replaces the device's handlers.
    pub fn listen(&self) {
        let health = Arc::clone(&self.health);
        self.device.set_device_lost_callback(move |reason, message| {
            log::error!("device lost ({reason:?}): {message}");
            let _ = health.lost.set(if message.is_empty() { format!("{reason:?}") } else { message });
        });
        let health = Arc::clone(&self.health);
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("uncaptured device error: {error}");
            lock(&health.refused).get_or_insert_with(|| error.to_string());
        }));
    }

    /// What an earlier call left behind: a lost device or an error that nothing caught.
    pub fn check(&self) -> Result<(), Error> {
        if let Some(reason) = self.health.lost.get() {
            return Err(Error::DeviceLost { adapter: self.name.clone(), reason: reason.clone() });
        }
        match lock(&self.health.refused).take() {
            Some(reason) => Err(self.refused("an earlier command", reason)),
            None => Ok(()),
        }
    }

    /// Calls the device and returns the error that the call raised, if any. `bytes` is what it allocates.
    pub fn call<T>(&self, what: &str, bytes: u64, work: impl FnOnce() -> T) -> Result<T, Error> {
        self.check()?;
        // Scopes belong to the thread, so `work` must not await anything.
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let value = work();
        let (memory, validation) = (at_once(memory.pop()), at_once(validation.pop()));
        let internal = at_once(internal.pop());
        if memory.is_some() {
            return Err(Error::OutOfMemory { what: what.to_owned(), needed: bytes, adapter: self.name.clone() });
        }
        if let Some(error) = validation.or(internal) {
            self.check()?;
            // On a lost device everything is invalid, which is not the call's fault.
            let lost = !self.answers();
            return Err(if lost { self.lost("it does not answer") } else { self.refused(what, error.to_string()) });
        }
        self.check()?;
        Ok(value)
    }

    /// Whether the device still makes a buffer that is valid. wgpu has no other question to ask.
    fn answers(&self) -> bool {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let probe = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        // Creating it on a lost device raises nothing; using it does.
        probe.map_async(wgpu::MapMode::Read, .., |_| {});
        at_once(scope.pop()).is_none()
    }

    /// A zeroed buffer. When memory runs out, what the pool keeps is freed and the allocation tried once more.
    pub fn allocate(&self, what: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, Error> {
        if bytes > self.raw_limits.max_buffer_size {
            return Err(self.over_limit(format!("{what} (bytes)"), bytes, self.raw_limits.max_buffer_size));
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size: bytes, usage, mapped_at_creation: false };
        let create = || self.call(what, bytes, || self.device.create_buffer(&descriptor));
        match create() {
            Err(Error::OutOfMemory { .. }) if self.pool.clear() => {
                // Freed buffers leave the device when it is polled next.
                self.poll(wgpu::PollType::Poll)?;
                create()
            }
            result => result,
        }
    }

    /// Submits what `encode` records.
    pub fn submit(
        &self,
        what: &str,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::SubmissionIndex, Error> {
        self.marks.number(|number| self.submit_marked(what, number, encode, |_| ()))
    }

    /// Submits copies to a buffer that will be read, whose last [`marks::BYTES`](super::marks::BYTES) are for the marks. Returns the number
    /// of the submission as well, for which [`Marks::vouch`] is asked when the buffer is there.
    pub fn submit_read(
        &self,
        what: &str,
        to: &wgpu::Buffer,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<(wgpu::SubmissionIndex, u64), Error> {
        self.marks.number(|number| {
            let submission = self.submit_marked(what, number, encode, |encoder| self.marks.bring(encoder, to))?;
            Ok((submission, number))
        })
    }

    fn submit_marked(
        &self,
        what: &str,
        number: u64,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
        after_mark: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::SubmissionIndex, Error> {
        self.call(what, 0, || {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(what) });
            encode(&mut encoder);
            self.marks.encode(&mut encoder, number);
            after_mark(&mut encoder);
            self.queue.submit([encoder.finish()])
        })
    }

    /// Waits for one submission, not for those after it. In a browser, where nothing may block, it returns at once.
    pub fn wait(&self, submission: &wgpu::SubmissionIndex) -> Result<(), Error> {
        self.check()?;
        self.poll(wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None })
    }

    /// Maps a buffer that no submission uses any more, so that the host can write it.
    pub fn map_for_writing(&self, what: &str, buffer: &wgpu::Buffer) -> Result<(), Error> {
        let (send, mapped) = mpsc::channel();
        self.call(what, 0, || {
            buffer.map_async(wgpu::MapMode::Write, .., move |result| {
                // Nobody listens any more if polling failed.
                let _ = send.send(result);
            });
        })?;
        loop {
            self.poll(wgpu::PollType::Poll)?;
            // Another thread's poll may have got hold of the callback and be about to call it.
            match mapped.recv_timeout(Duration::from_millis(1)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(self.lost("a buffer could not be mapped"));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn poll(&self, how: wgpu::PollType) -> Result<(), Error> {
        // wgpu 30 panics when the driver reports a loss while it waits; no lock is held there.
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(how))) {
            Ok(Ok(_)) => self.check(),
            // The submission was never accepted, and not for a reason that a scope had reported.
            Ok(Err(error)) => Err(self.lost(&error.to_string())),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map_or("waiting for it failed", String::as_str);
                Err(self.lost(words))
            }
        }
    }

    /// Notes that the device is lost. wgpu reports losses nowhere but in the callback, which an embedder's device does
    /// not give us: there, a call that fails without an error is how we hear of one.
    pub fn lost(&self, reason: &str) -> Error {
        let reason = self.health.lost.get_or_init(|| reason.to_owned()).clone();
        Error::DeviceLost { adapter: self.name.clone(), reason }
    }

    pub fn refused(&self, what: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Refused { adapter: self.name.clone(), what: what.into(), reason: reason.into() }
    }

    pub fn over_limit(&self, what: String, needed: u64, allowed: u64) -> Error {
        Error::OverLimit { what, needed, allowed, adapter: self.name.clone() }
    }
}

/// What a GPU without memory of its own computes in 100 ms, if it is slow.
const INTEGRATED_DISPATCH_FLOPS: u64 = 50_000_000_000;
/// The same for a software renderer.
const SOFTWARE_DISPATCH_FLOPS: u64 = 2_000_000_000;

/// How the engine likes its work cut on a device of this kind with these limits.
fn engine_limits(limits: &wgpu::Limits, kind: wgpu::DeviceType) -> EngineLimits {
    let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let hardware = EngineLimits {
        max_workgroups: limits.max_compute_workgroups_per_dimension.min(65_535),
        ..EngineLimits::of_gpu(binding)
    };
    match kind {
        wgpu::DeviceType::DiscreteGpu => hardware,
        // A software renderer shares the processor's caches, and its dispatches should end soon enough to be watched.
        wgpu::DeviceType::Cpu => EngineLimits {
            product_splits: 1,
            dispatch_flops: SOFTWARE_DISPATCH_FLOPS,
            panel_bytes: hardware.panel_bytes.min(16 << 20),
            ..hardware
        },
        // A virtual GPU may be a share of one, and of others nothing is known.
        _ => EngineLimits { dispatch_flops: INTEGRATED_DISPATCH_FLOPS, ..hardware },
    }
}

/// The result of a popped error scope. Outside a browser it is there at once; in a browser it comes later, and waiting
/// for it would stall every call, so there an error shows in the read that follows.
fn at_once(future: impl Future<Output = Option<wgpu::Error>>) -> Option<wgpu::Error> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(error) => error,
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_stay_within_bindings() {
        let mut limits = wgpu::Limits::default();
        use wgpu::DeviceType::{Cpu, DiscreteGpu};
        assert_eq!(engine_limits(&limits, DiscreteGpu).panel_bytes, 128 << 20);
        assert_eq!(engine_limits(&limits, Cpu).panel_bytes, 16 << 20);
        limits.max_storage_buffer_binding_size = (1 << 31) - 1;
        limits.max_buffer_size = 1 << 40;
        let engine = engine_limits(&limits, DiscreteGpu);
        assert_eq!((engine.panel_bytes, engine.max_binding_bytes), (256 << 20, (1 << 31) - 16));
    }

    #[test]
    fn a_slower_kind_of_device_gets_shorter_dispatches() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
        let flops = |kind| engine_limits(&wgpu::Limits::default(), kind).dispatch_flops;
        assert!(flops(Cpu) < flops(IntegratedGpu) && flops(IntegratedGpu) < flops(DiscreteGpu));
        assert_eq!([VirtualGpu, Other].map(flops), [flops(IntegratedGpu); 2]);
        assert!(engine_limits(&wgpu::Limits::default(), Cpu).dispatch_rows < 65_535);
    }
}
