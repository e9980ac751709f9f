//! The errors of the engines.

/// An error of an engine. Each says what was given, what was allowed and what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No GPU adapter fits the request.
    #[error(
        "no GPU adapter {wanted}; found: {found}. Use the CPU engine, or install a Vulkan driver \
         (Mesa's lavapipe is a software one)"
    )]
    NoAdapter {
        /// What was asked for, e.g. `named "Radeon"`.
        wanted: String,
        /// The adapters that answered, or "none".
        found: String,
    },
    /// The device lacks something that the engine needs.
    #[error("{adapter} lacks {feature}; choose another adapter or the CPU engine")]
    MissingFeature {
        /// The adapter's name.
        adapter: String,
        /// What it lacks.
        feature: String,
    },
    /// `UNMIX_VARIANTS` is not a list of variants.
    #[error(
        "UNMIX_VARIANTS={text}: `{part}` is not KERNEL=VARIANT or KERNEL/ELEMENT=VARIANT, with ELEMENT f32, f16 or bf16"
    )]
    Variants {
        /// The variable's value.
        text: String,
        /// The part that is wrong.
        part: String,
    },
    /// A buffer or a dispatch is larger than the device allows.
    #[error(
        "{what} needs {needed}, but {adapter} allows {allowed}; use fewer tokens or a smaller rank, or the CPU engine"
    )]
    OverLimit {
        /// Name of the buffer or the dimension, with its unit, for example "buffer `coefficients` (bytes)".
        what: String,
        /// How much is needed.
        needed: u64,
        /// How much is allowed.
        allowed: u64,
        /// The adapter's name.
        adapter: String,
    },
    /// Memory ran out on the device or the host.
    #[error(
        "out of memory on {adapter} while allocating {what} ({needed} bytes); use fewer tokens, a smaller rank, or f16 activations"
    )]
    OutOfMemory {
        /// Name of the buffer.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// The adapter's name.
        adapter: String,
    },
    /// The device stopped answering (driver reset, unplugged, watchdog).
    #[error(
        "the device {adapter} was lost: {reason}; the work since the last result is gone, start again or use the CPU engine"
    )]
    DeviceLost {
        /// The adapter's name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// The activations do not fit what the engine can take.
    #[error("activations of {tokens} tokens × {neurons} neurons: {problem}")]
    Activations {
        /// Rows.
        tokens: u64,
        /// Columns.
        neurons: u64,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Reading the activations failed.
    #[error("reading activations: {0}")]
    Read(String),
    /// A driver or the graphics library refused a command: a bug in unmix or in the driver.
    #[error("{adapter} refused {what}: {reason}; please report this with the output of `unmix doctor`")]
    Refused {
        /// The adapter's name.
        adapter: String,
        /// The operation that was refused.
        what: String,
        /// The driver's words.
        reason: String,
    },
}
