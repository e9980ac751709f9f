//! Composes a kernel's WGSL from the sources in `shaders/`.

mod wesl;

#[cfg(test)]
mod component_stores;
#[cfg(test)]
mod tests;

use crate::{ElementType, KERNELS, Kernel, Precision, Variant};

/// A shader that could not be composed, which is a bug in `shaders/`.
#[derive(Debug, thiserror::Error)]
#[error("shader {kernel} ({element}, {variant}) does not compose: {reason}")]
pub struct ComposeError {
    /// The kernel's name.
    pub kernel: String,
    /// The element type.
    pub element: ElementType,
    /// The variant's name.
    pub variant: &'static str,
    /// What is wrong with the sources.
    pub reason: String,
}

/// The feature of a shader whose products must be exact, beside those of the element type and of the variant.
const EXACT: &str = "exact";

/// The plain WGSL of a `variant` of `kernel` for operands of type `element` and products of this precision.
///
/// # Errors
/// If the sources do not compose.
pub fn compose(
    kernel: &Kernel,
    element: ElementType,
    variant: &Variant,
    precision: Precision,
) -> Result<String, ComposeError> {
    let module = |path: &str| unmix_shaders::SOURCES.iter().find(|(name, _)| *name == path).map(|(_, source)| *source);
    let feature = |name: &str| {
        let elements = ElementType::ALL.map(ElementType::name);
        // Two kernels may have one source, and differ in a feature that only one of them has.
        let mut variants = KERNELS.iter().flat_map(|other| other.variants).flat_map(|other| other.features);
        let is_known = name == EXACT || elements.contains(&name) || variants.any(|other| *other == name);
        let is_exact = variant.precision(precision) == Precision::F32;
        is_known.then(|| name == element.name() || variant.features.contains(&name) || (name == EXACT && is_exact))
    };
    let root = variant.shader.unwrap_or(kernel.name);
    wesl::compose(root, module, feature).map_err(|reason| ComposeError {
        kernel: kernel.name.to_owned(),
        element,
        variant: variant.name,
        reason,
    })
}
