//! From plain WGSL to what the compilers of graphics interfaces read, with naga and the options that wgpu gives it.

use std::error::Error;

use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What Direct3D's compilers read.
pub struct Hlsl {
    /// The source.
    pub text: String,
    /// Its entry point, which naga may have given another name.
    pub entry: String,
}

/// A shader that naga accepts.
pub struct Shader {
    module: Module,
    info: ModuleInfo,
}

impl Shader {
    /// Parses and validates plain WGSL.
    pub fn parse(wgsl: &str) -> Result<Self> {
        let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(&module)
            .map_err(|e| e.emit_to_string(wgsl))?;
        Ok(Shader { module, info })
    }

    /// Its bindings in group 0, and whether each is a uniform.
    pub fn bindings(&self) -> impl Iterator<Item = (u32, bool)> {
        self.module.global_variables.iter().filter_map(|(_, variable)| {
            variable.binding.map(|binding| (binding.binding, variable.space == AddressSpace::Uniform))
        })
    }

    /// Threads of a workgroup.
    pub fn workgroup_threads(&self) -> u32 {
        self.module.entry_points.iter().map(|entry| entry.workgroup_size.iter().product::<u32>()).sum()
    }

    /// Bytes of workgroup memory.
    pub fn workgroup_bytes(&self) -> u32 {
        let variables = self.module.global_variables.iter().map(|(_, variable)| variable);
        let shared = variables.filter(|variable| variable.space == AddressSpace::WorkGroup);
        shared.map(|v| self.module.types[v.ty].inner.size(self.module.to_ctx()).next_multiple_of(16)).sum()
    }

    /// SPIR-V without run-time checks, as the GPU engine creates its shaders.
    pub fn spirv(&self) -> Result<Vec<u32>> {
        let options = spv::Options {
            lang_version: (1, 6),
            bounds_check_policies: unchecked(),
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            ..Default::default()
        };
        Ok(spv::write_vec(&self.module, &self.info, &options, None)?)
    }

    /// HLSL without run-time checks.
    pub fn hlsl(&self, shader_model: hlsl::ShaderModel) -> Result<Hlsl> {
        let options = hlsl::Options {
            shader_model,
            zero_initialize_workgroup_memory: false,
            restrict_indexing: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let mut text = String::new();
        let pipeline = hlsl::PipelineOptions::default();
        let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(&self.module, &self.info, None)?;
        let entry = written.entry_point_names.into_iter().next().ok_or("the shader has no entry point")??;
        Ok(Hlsl { text, entry })
    }

    /// The Metal shading language without run-time checks.
    pub fn msl(&self) -> Result<String> {
        let options = msl::Options {
            lang_version: (2, 4),
            bounds_check_policies: unchecked(),
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let (text, written) = msl::write_string(&self.module, &self.info, &options, &msl::PipelineOptions::default())?;
        for entry in written.entry_point_names {
            entry?;
        }
        Ok(text)
    }
}

const fn unchecked() -> BoundsCheckPolicies {
    let policy = BoundsCheckPolicy::Unchecked;
    BoundsCheckPolicies { index: policy, buffer: policy, image_load: policy, binding_array: policy }
}
