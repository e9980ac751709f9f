//! Whose memory a device computes in.

/// The memory in which an engine keeps buffers and resident activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMemory {
    /// That of the host: on the CPU engine, software renderers and integrated GPUs.
    OfHost,
    /// Memory of its own, in bytes, where the driver tells how much.
    Own(Option<u64>),
}
