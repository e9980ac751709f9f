//! Every shader that can be composed, by name.

use std::fmt::{Display, Formatter};

use serde::{Deserialize, Serialize};
use unmix_kernels::{ElementType, KERNELS, Kernel, Precision, Variant};

/// A variant of a kernel for an element type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The kernel.
    pub kernel: String,
    /// The element type.
    pub element: String,
    /// The variant.
    pub variant: String,
    /// Whether it rounds operands.
    pub rounded: bool,
}

impl Name {
    fn of(kernel: &Kernel, element: ElementType, variant: &Variant, precision: Precision) -> Self {
        let [kernel, element, variant] = [kernel.name, element.name(), variant.name].map(str::to_owned);
        Name { kernel, element, variant, rounded: precision == Precision::F16 }
    }

    /// A file's name without its extension.
    pub fn stem(&self) -> String {
        let rounded = if self.rounded { "-rounded" } else { "" };
        format!("{}-{}-{}{rounded}", self.kernel, self.element, self.variant)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Name { kernel, element, variant, rounded } = self;
        write!(f, "{kernel} {element}")?;
        if *variant != Variant::PORTABLE.name {
            write!(f, " {variant}")?;
        }
        if *rounded { write!(f, " rounded") } else { Ok(()) }
    }
}

/// What a shader is composed of.
pub struct Composed {
    /// Its name.
    pub name: Name,
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The element type.
    pub element: ElementType,
    /// The variant.
    pub variant: &'static Variant,
    /// The precision of its products.
    pub precision: Precision,
}

/// All shaders of the kernels whose names contain one of `parts`; of all kernels if there are no parts.
///
/// # Errors
/// If there is no such kernel.
pub fn shaders(parts: &[String]) -> Result<Vec<Composed>, String> {
    let is_wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()));
    let mut shaders = Vec::new();
    for &kernel in KERNELS.iter().filter(|kernel| is_wanted(kernel.name)) {
        for &element in kernel.elements() {
            let precisions = |variant: &'static Variant| variant.precisions().iter().map(move |p| (variant, *p));
            shaders.extend(kernel.variants_for(element).flat_map(precisions).map(|(variant, precision)| Composed {
                name: Name::of(kernel, element, variant, precision),
                kernel,
                element,
                variant,
                precision,
            }));
        }
    }
    if shaders.is_empty() { Err(format!("no kernel's name contains {}", parts.join(" or "))) } else { Ok(shaders) }
}
