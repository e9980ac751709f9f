//! Runs a kernel's trial on the device with one variant.

use std::sync::Arc;

use unmix_kernels::{ElementType, Kernel, Trial, Variant};

use super::device::Gpu;
use super::kernels::Kernels;
use super::panels::Panels;
use super::session::GpuSession;
use crate::{Error, Session, block_on};

/// Whether `variant`, which is the only one that `kernels` has for its kernel, computes right on the device, for each precision for
/// which it is compiled.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn run(
    gpu: &Arc<Gpu>,
    kernels: &Arc<Kernels>,
    kernel: &Kernel,
    element: ElementType,
    variant: &Variant,
) -> Result<(), String> {
    variant.precisions().iter().try_for_each(|&precision| {
        let trial = Trial::of(kernel, element, precision).ok_or("there is no trial of it")?;
        let result = result(gpu, kernels, &trial).map_err(|error| error.to_string())?;
        trial.judge(&result)
    })
}

fn result(gpu: &Arc<Gpu>, kernels: &Arc<Kernels>, trial: &Trial) -> Result<Vec<u8>, Error> {
    let session = GpuSession::open(gpu, kernels, &trial.workspace, Panels::Resident(Arc::default()))?;
    for (buffer, bytes) in &trial.contents {
        session.write(*buffer, 0, bytes)?;
    }
    session.prepare(trial.recording.clone())?.run()?;
    block_on(session.read(trial.result, 0, trial.workspace.buffers[trial.result.0 as usize].bytes))
}
