//! Composes a kernel's WGSL from the sources in `shaders/`.

use wesl::syntax::PathOrigin;
use wesl::{CompileOptions, EscapeMangler, Feature, Features, ModulePath, VirtualResolver};

use crate::{ElementType, Kernel};

/// A shader that could not be composed: a bug in `shaders/`.
#[derive(Debug, thiserror::Error)]
#[error("shader {kernel} ({element}) does not compose: {reason}")]
pub struct ComposeError {
    /// The kernel's name.
    pub kernel: String,
    /// The variant.
    pub element: ElementType,
    /// The compiler's words.
    pub reason: String,
}

/// The plain WGSL of `kernel` for operands of type `element`.
///
/// # Errors
/// If the sources do not compose.
pub fn compose(kernel: &Kernel, element: ElementType) -> Result<String, ComposeError> {
    let mut resolver = VirtualResolver::new();
    for &(path, source) in unmix_shaders::SOURCES {
        resolver.add_module(module(path), source.into());
    }
    let flags = ElementType::ALL.map(|other| (other.name().to_owned(), Feature::from(other == element)));
    let options = CompileOptions {
        // naga validates, in the tests and again in wgpu.
        validate: false,
        features: Features { default: Feature::Error, flags: flags.into() },
        ..CompileOptions::default()
    };
    wesl::compile(&module(kernel.name), &resolver, &EscapeMangler, &options)
        .map(|result| result.to_string())
        .map_err(|error| ComposeError { kernel: kernel.name.to_owned(), element, reason: error.to_string() })
}

fn module(path: &str) -> ModulePath {
    ModulePath::new(PathOrigin::Absolute, path.split("::").map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use naga::back::{hlsl, msl, spv};
    use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
    use naga::{AddressSpace, Module, ShaderStage, StorageAccess};

    use super::*;
    use crate::{Access, KERNELS};

    /// Calls `check` with every variant of every kernel, its name, and its module as naga sees it.
    fn for_every_variant(check: impl Fn(&Kernel, &str, &Module, &ModuleInfo)) {
        for kernel in KERNELS {
            for &element in kernel.elements() {
                let variant = format!("{} ({element})", kernel.name);
                let source = compose(kernel, element).unwrap();
                let module = naga::front::wgsl::parse_str(&source)
                    .unwrap_or_else(|e| panic!("{variant}: {}", e.emit_to_string(&source)));
                // Nothing beyond portable WebGPU, which has unpack2x16float; naga keeps it apart for OpenGL's sake.
                let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{variant}: {}", e.emit_to_string(&source)));
                check(kernel, &variant, &module, &info);
            }
        }
    }

    #[test]
    fn every_kernel_has_its_shader() {
        for kernel in KERNELS {
            assert!(unmix_shaders::SOURCES.iter().any(|(path, _)| *path == kernel.name), "{}", kernel.name);
        }
    }

    #[test]
    fn the_interface_of_every_shader_is_its_kernels() {
        for_every_variant(|kernel, variant, module, _| {
            let [entry] = &module.entry_points[..] else { panic!("{variant}: entry points") };
            assert_eq!((entry.name.as_str(), entry.stage), ("main", ShaderStage::Compute), "{variant}");
            let mut bindings = 0;
            for (_, variable) in module.global_variables.iter() {
                let Some(binding) = variable.binding else { continue };
                assert_eq!(binding.group, 0, "{variant}");
                bindings += 1;
                match variable.space {
                    AddressSpace::Storage { access } => {
                        let expected = match kernel.access[binding.binding as usize] {
                            Access::Read => StorageAccess::LOAD,
                            Access::ReadWrite => StorageAccess::LOAD | StorageAccess::STORE,
                        };
                        assert_eq!(access, expected, "{variant}: binding {}", binding.binding);
                    }
                    AddressSpace::Uniform => {
                        assert_eq!(binding.binding as usize, kernel.access.len(), "{variant}: parameters");
                        let size = module.types[variable.ty].inner.size(module.to_ctx());
                        assert_eq!(size as usize, kernel.params_size, "{variant}: parameters");
                    }
                    ref space => panic!("{variant}: {space:?}"),
                }
            }
            assert_eq!(bindings, kernel.access.len() + 1, "{variant}: an unused binding is stripped");
        });
    }

    #[test]
    fn every_shader_keeps_within_portable_limits() {
        for_every_variant(|kernel, variant, module, _| {
            assert!(kernel.access.len() <= 8, "{variant}: storage buffers");
            let size = module.entry_points[0].workgroup_size;
            assert!(size.iter().product::<u32>() <= 256 && size[2] <= 64, "{variant}: {size:?} threads");
            let memory: u32 = module
                .global_variables
                .iter()
                .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
                .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()).next_multiple_of(16))
                .sum();
            assert!(memory <= 16 << 10, "{variant}: {memory} bytes of workgroup memory");
        });
    }

    #[test]
    fn every_shader_translates_to_every_graphics_api() {
        for_every_variant(|_, variant, module, info| {
            spv::write_vec(module, info, &spv::Options::default(), None)
                .unwrap_or_else(|e| panic!("{variant}: SPIR-V: {e}"));
            let msl_options = msl::Options { lang_version: (2, 4), ..msl::Options::default() };
            let (_, translation) = msl::write_string(module, info, &msl_options, &msl::PipelineOptions::default())
                .unwrap_or_else(|e| panic!("{variant}: MSL: {e}"));
            for name in translation.entry_point_names {
                name.unwrap_or_else(|e| panic!("{variant}: MSL: {e}"));
            }
            let mut text = String::new();
            let hlsl_options = hlsl::Options::default();
            let pipeline = hlsl::PipelineOptions::default();
            let reflection = hlsl::Writer::new(&mut text, &hlsl_options, &pipeline)
                .write(module, info, None)
                .unwrap_or_else(|e| panic!("{variant}: HLSL: {e}"));
            for name in reflection.entry_point_names {
                name.unwrap_or_else(|e| panic!("{variant}: HLSL: {e}"));
            }
        });
    }

    #[test]
    fn composing_names_the_shader_that_fails() {
        let kernel = Kernel { name: "absent", access: &[], params_size: 0, reads_elements: false, twin: |_, _, _| () };
        let error = compose(&kernel, ElementType::Bf16).unwrap_err().to_string();
        assert!(error.starts_with("shader absent (bf16) does not compose"), "{error}");
    }
}
