//! What the engine has compiled and may compile for a device.

use std::sync::Arc;

use unmix_kernels::Dispatch;

use super::adapter::Opened;
use super::device::Gpu;
use super::pipelines::{Compose, Pipeline, Pipelines, Wanted};
use super::variants::{Offer, Variants};
use crate::Error;

/// The kernels on a device, shared by the engine, its clones and their sessions.
pub(super) struct Kernels {
    pub variants: Variants,
    pipelines: Pipelines,
}

/// How a dispatch runs on the device.
pub(super) struct Choice {
    pub wanted: Wanted,
    pub workgroups: [u32; 3],
}

impl Kernels {
    pub fn new(opened: &Opened, compose: Compose) -> Self {
        let Opened { device, matrices, .. } = opened;
        let offer = Offer::new(device.features(), &device.limits(), &device.adapter_info(), matrices);
        Kernels { variants: Variants::new(offer), pipelines: Pipelines::new(compose) }
    }

    /// The variant for a dispatch.
    pub fn choose(&self, gpu: &Gpu, dispatch: &Dispatch) -> Result<Choice, Error> {
        let kernel = dispatch.kernel;
        let Some(variant) = self.variants.choose(kernel, dispatch.element, dispatch.extent) else {
            let what = format!("kernel `{}` on {} operands", kernel.name, dispatch.element);
            return Err(gpu.refused(what, "it has no variant that the device can run"));
        };
        let wanted = Wanted { kernel, element: dispatch.element, variant };
        Ok(Choice { wanted, workgroups: variant.workgroups(dispatch.extent) })
    }

    /// The pipelines for dispatches, in their order. They are compiled the first time.
    pub fn pipelines(&self, gpu: &Gpu, choices: &[Choice]) -> Result<Vec<Arc<Pipeline>>, Error> {
        let wanted: Vec<Wanted> = choices.iter().map(|choice| choice.wanted).collect();
        self.pipelines.get_all(gpu, &wanted)
    }
}
