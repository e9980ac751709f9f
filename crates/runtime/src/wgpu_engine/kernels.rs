//! What the engine has compiled and may compile for a device.

use std::sync::Arc;

use unmix_kernels::{Dispatch, Variant};

use super::adapter::Opened;
use super::device::Gpu;
use super::pipelines::{Compose, Pipeline, Pipelines};
use super::variants::{Offer, Variants};
use crate::Error;

/// The kernels on a device, shared by the engine, its clones and their sessions.
pub(super) struct Kernels {
    pub variants: Variants,
    pipelines: Pipelines,
}

/// How a dispatch runs on the device.
pub(super) struct Choice {
    variant: &'static Variant,
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
        Ok(Choice { variant, workgroups: variant.workgroups(dispatch.extent) })
    }

    /// The pipeline for a dispatch, compiled the first time.
    pub fn pipeline(&self, gpu: &Gpu, dispatch: &Dispatch, choice: &Choice) -> Result<Arc<Pipeline>, Error> {
        self.pipelines.get(gpu, dispatch.kernel, dispatch.element, choice.variant)
    }
}
