//! What the engine has compiled and may compile for a device.

use std::sync::Arc;

use unmix_kernels::{Dispatch, ElementType, Kernel, Precision, Variant};

use super::adapter::Opened;
use super::device::Gpu;
use super::pipelines::{Compose, Pipeline, Pipelines, Wanted};
use super::trial;
use super::variants::{Variants, offer};
use crate::Error;

/// The kernels on a device, shared by the engine, its clones and their sessions.
pub(super) struct Kernels {
    pub variants: Variants,
    pipelines: Arc<Pipelines>,
}

/// How a dispatch runs on the device.
pub(super) struct Choice {
    wanted: Wanted,
    pub workgroups: [u32; 3],
}

impl Kernels {
    pub fn new(opened: &Opened, compose: Compose) -> Self {
        let Opened { device, matrices, .. } = opened;
        let offer = offer(device.features(), &device.limits(), &device.adapter_info(), matrices);
        Kernels { variants: Variants::new(offer), pipelines: Arc::new(Pipelines::new(compose)) }
    }

    /// The variant for a dispatch.
    pub fn choose(&self, gpu: &Arc<Gpu>, dispatch: &Dispatch) -> Result<Choice, Error> {
        let kernel = dispatch.kernel;
        let precision = dispatch.promise.precision;
        let Some(variant) = self.variant(gpu, kernel, dispatch.element, precision, dispatch.extent) else {
            let what = format!("kernel `{}` on {} operands", kernel.name, dispatch.element);
            return Err(gpu.refused(what, "it has no variant that the device can run"));
        };
        let wanted = Wanted { kernel, element: dispatch.element, variant, precision };
        Ok(Choice { wanted, workgroups: variant.workgroups(dispatch.extent) })
    }

    /// The variant for a dispatch of `kernel` over this extent that allows `precision`.
    pub fn variant(
        &self,
        gpu: &Arc<Gpu>,
        kernel: &Kernel,
        element: ElementType,
        precision: Precision,
        extent: [u32; 3],
    ) -> Option<&'static Variant> {
        self.variants.choose(kernel, element, precision, extent, |variant| {
            let outcome = self.try_out(gpu, kernel, element, variant);
            match &outcome {
                Ok(()) => {
                    log::info!("variant {} of kernel {} computes right on {}", variant.name, kernel.name, gpu.name);
                }
                Err(reason) => log::warn!(
                    "variant {} of kernel {} is not used on {}: {reason}. Another, slower variant is used; a newer driver may help",
                    variant.name,
                    kernel.name,
                    gpu.name
                ),
            }
            outcome.is_ok()
        })
    }

    /// Runs the trial of a variant.
    pub fn try_out(
        &self,
        gpu: &Arc<Gpu>,
        kernel: &Kernel,
        element: ElementType,
        variant: &'static Variant,
    ) -> Result<(), String> {
        let variants = Variants::only(kernel, element, variant);
        let kernels = Arc::new(Kernels { variants, pipelines: Arc::clone(&self.pipelines) });
        trial::run(gpu, &kernels, kernel, element, variant)
    }

    /// The pipelines for dispatches, in their order. They are compiled the first time.
    pub fn pipelines(&self, gpu: &Gpu, choices: &[Choice]) -> Result<Vec<Arc<Pipeline>>, Error> {
        let wanted: Vec<Wanted> = choices.iter().map(|choice| choice.wanted).collect();
        self.pipelines.get_all(gpu, &wanted)
    }
}
