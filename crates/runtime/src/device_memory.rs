//! Whose memory a device computes in.

/// The memory in which an engine keeps buffers and resident activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMemory {
    /// The memory of the host. This is the case for the CPU engine, software renderers and integrated GPUs.
    OfHost,
    /// Memory of the device itself, with its size in bytes. `None` if the driver does not tell the size.
    Own(Option<u64>),
}
