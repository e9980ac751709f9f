//! Every composed shader, as naga sees it.

use std::collections::HashSet;

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess, TypeInner};

use super::component_stores::component_stores;
use super::*;
use crate::{Access, CpuTwin, KERNELS, Needs, PORTABLE};

/// What naga must allow to accept a shader with such needs. Portable WebGPU has unpack2x16float, but naga keeps it
/// apart because of OpenGL.
fn capabilities(needs: &Needs) -> Capabilities {
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_INT16, needs.sixteen_bits);
    capabilities.set(Capabilities::SUBGROUP, needs.subgroup_size.is_some());
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, needs.cooperative_matrix.is_some());
    capabilities
}

/// Calls `check` with every variant of every kernel for every element type and precision, with its name, and with its module as
/// naga parses it.
fn for_every_variant(check: impl Fn(&Kernel, &Variant, &str, &Module, &ModuleInfo)) {
    for kernel in KERNELS {
        for &element in kernel.elements() {
            let precisions = |variant: &'static Variant| variant.precisions().iter().map(move |p| (variant, *p));
            for (variant, precision) in kernel.variants_for(element).flat_map(precisions) {
                let name = format!("{} ({element}, {}, {precision:?})", kernel.name, variant.name);
                let source = compose(kernel, element, variant, precision).unwrap();
                let module = naga::front::wgsl::parse_str(&source)
                    .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
                let info = Validator::new(ValidationFlags::all(), capabilities(&variant.needs))
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
                check(kernel, variant, &name, &module, &info);
            }
        }
    }
}

#[test]
fn every_variant_has_its_shader() {
    for kernel in KERNELS {
        for variant in kernel.variants {
            let shader = variant.shader.unwrap_or(kernel.name);
            assert!(unmix_shaders::SOURCES.iter().any(|(path, _)| *path == shader), "{shader}");
        }
    }
}

#[test]
fn every_device_can_run_every_kernel() {
    for kernel in KERNELS {
        for &element in kernel.elements() {
            assert!(
                kernel.variants_for(element).any(|variant| variant.needs.are_portable()),
                "{} ({element})",
                kernel.name
            );
        }
        let names: HashSet<_> = kernel.variants.iter().map(|variant| variant.name).collect();
        assert_eq!(names.len(), kernel.variants.len(), "{}: names of variants", kernel.name);
    }
}

#[test]
fn the_interface_of_every_shader_is_its_kernels() {
    for_every_variant(|kernel, _, variant, module, _| {
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
fn every_shader_keeps_within_its_needs() {
    for_every_variant(|kernel, variant, name, module, _| {
        let needs = &variant.needs;
        assert!(kernel.access.len() <= 8, "{name}: storage buffers");
        let size = module.entry_points[0].workgroup_size;
        assert!(size.iter().product::<u32>() <= needs.threads && size[2] <= 64, "{name}: {size:?} threads");
        let memory: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup)
            .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()).next_multiple_of(16))
            .sum();
        assert!(memory <= needs.workgroup_bytes, "{name}: {memory} bytes of workgroup memory");
    });
}

/// Matrices in workgroup memory must be aligned to 16 bytes, and drivers place variables one after the other.
#[test]
fn arrays_of_cooperative_matrices_come_before_what_would_misalign_them() {
    for_every_variant(|_, variant, name, module, _| {
        if variant.needs.cooperative_matrix.is_none() {
            return;
        }
        let mut offset = 0;
        for (_, variable) in module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup) {
            let ty = &module.types[variable.ty].inner;
            let is_array = matches!(ty, TypeInner::Array { .. });
            assert!(!is_array || offset % 16 == 0, "{name}: {:?} is at byte {offset}", variable.name);
            offset += ty.size(module.to_ctx());
        }
        assert!(offset > 0, "{name}: no workgroup memory");
    });
}

/// Functions that write components of vectors, each of which one thread alone reads and writes: kernels, and what the
/// functions are called.
const WRITE_OWN_VECTORS: &[(&str, &str)] = &[("hals_features", "correct"), ("hals_features", "correct_few_rows")];

#[test]
fn no_thread_writes_a_component_of_a_vector_that_others_write() {
    for_every_variant(|kernel, _, name, module, info| {
        let mut functions = component_stores(module, info);
        functions.retain(|function| !WRITE_OWN_VECTORS.contains(&(kernel.name, function.as_str())));
        assert!(functions.is_empty(), "{name}: {functions:?} write components of vectors in shared memory");
    });
}

#[test]
fn a_store_to_a_component_is_found_wherever_it_stands() {
    let module = naga::front::wgsl::parse_str(
        "struct Pair { near: vec2<u32>, far: array<mat2x2<f32>, 2> }
        @group(0) @binding(0) var<storage, read_write> pairs: array<Pair>;
        var<workgroup> tile: array<vec4<f32>, 8>;
        var<workgroup> numbers: array<f32, 8>;
        var<private> own: vec4<f32>;
        fn by_name() { tile[1].y = 1.0; }
        fn by_index(i: u32) { if i > 2u { loop { tile[i][i] += 1.0; break; } } }
        fn in_a_structure(i: u32) { switch i { case 1u: { pairs[i].near.x = i; } default: {} } }
        fn in_a_matrix(i: u32) { pairs[i].far[1][i].y = 1.0; }
        fn by_pointer(vector: ptr<function, vec4<f32>>) { (*vector).x = 1.0; }
        fn through_a_pointer() { let vector = &tile[2]; (*vector).z = 1.0; }
        fn whole(i: u32) { tile[i] = vec4<f32>(); numbers[i] = 1.0; pairs[i].near = vec2<u32>(); own.x = tile[i].y; }
        @compute @workgroup_size(1) fn main() {
            var vector: vec4<f32>;
            by_pointer(&vector);
        }",
    )
    .unwrap();
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).unwrap();
    let found = component_stores(&module, &info);
    assert_eq!(found, ["by_name", "by_index", "in_a_structure", "in_a_matrix", "through_a_pointer"]);
}

#[test]
fn every_shader_translates_to_every_graphics_api() {
    for_every_variant(|_, variant, name, module, info| {
        spv::write_vec(module, info, &spv::Options::default(), None).unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
        // wgpu offers cooperative matrices on Vulkan and Metal. On Metal they are always 8 × 8.
        if variant.needs.cooperative_matrix.is_some_and(|size| size != 8) {
            return;
        }
        let msl_options = msl::Options { lang_version: (2, 4), ..msl::Options::default() };
        let (_, translation) = msl::write_string(module, info, &msl_options, &msl::PipelineOptions::default())
            .unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
        for entry in translation.entry_point_names {
            entry.unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
        }
        if variant.needs.cooperative_matrix.is_some() {
            return;
        }
        let mut text = String::new();
        let hlsl_options = hlsl::Options::default();
        let pipeline = hlsl::PipelineOptions::default();
        let reflection = hlsl::Writer::new(&mut text, &hlsl_options, &pipeline)
            .write(module, info, None)
            .unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));
        for entry in reflection.entry_point_names {
            entry.unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));
        }
    });
}

#[test]
fn composing_names_the_shader_that_fails() {
    let kernel = Kernel {
        name: "absent",
        access: &[],
        params_size: 0,
        reads_elements: false,
        variants: PORTABLE,
        twin: CpuTwin::Alone(|_, _| ()),
    };
    let error = compose(&kernel, ElementType::Bf16, &PORTABLE[0], Precision::F32).unwrap_err().to_string();
    assert!(error.starts_with("shader absent (bf16, portable) does not compose"), "{error}");
}
