//! Compute pipelines, each compiled once.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use unmix_kernels::{Access, ComposeError, ElementType, Kernel, Precision, Variant};

use super::device::Gpu;
use crate::Error;
use crate::lock::lock;

/// Where a kernel's WGSL comes from.
pub(super) type Compose = fn(&Kernel, ElementType, &Variant, Precision) -> Result<String, ComposeError>;

/// A compiled kernel.
pub(super) struct Pipeline {
    pub layout: wgpu::BindGroupLayout,
    pub pipeline: wgpu::ComputePipeline,
}

/// Names of a kernel and of its variant, the operands' type, and the precision of products.
type Key = (&'static str, ElementType, &'static str, Precision);

/// The compiled kernels of a device.
pub(super) struct Pipelines {
    compose: Compose,
    made: Mutex<HashMap<Key, Arc<Pipeline>>>,
}

impl Pipelines {
    pub fn new(compose: Compose) -> Self {
        Pipelines { compose, made: Mutex::default() }
    }

    /// The pipeline of a `variant` of `kernel` for operands of type `element`, in a dispatch that allows `precision`. It is compiled
    /// the first time.
    pub fn get(
        &self,
        gpu: &Gpu,
        kernel: &'static Kernel,
        element: ElementType,
        variant: &'static Variant,
        precision: Precision,
    ) -> Result<Arc<Pipeline>, Error> {
        let element = if kernel.reads_elements { element } else { ElementType::F32 };
        let precision = variant.precision(precision);
        let key = (kernel.name, element, variant.name, precision);
        // Held while compiling, so that no two threads compile the same kernel.
        let mut made = lock(&self.made);
        if let Some(pipeline) = made.get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        let wgsl = (self.compose)(kernel, element, variant, precision)
            .map_err(|error| gpu.refused(format!("kernel `{}`", kernel.name), error.to_string()))?;
        let pipeline = Arc::new(compile(gpu, kernel, &format!("{} ({element}, {})", kernel.name, variant.name), wgsl)?);
        made.insert(key, Arc::clone(&pipeline));
        Ok(pipeline)
    }
}

fn compile(gpu: &Gpu, kernel: &Kernel, label: &str, wgsl: String) -> Result<Pipeline, Error> {
    let entries = layout_entries(kernel);
    gpu.call(&format!("kernel `{label}`"), 0, || {
        let source = wgpu::ShaderModuleDescriptor { label: Some(label), source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
        let module = if gpu.checked {
            gpu.device.create_shader_module(source)
        } else {
            // SAFETY: unmix's own shaders, whose wrappers size every operand: they index within their bindings, divide
            // by nothing that can be zero, and every loop ends. naga validates them and the tests run them checked.
            unsafe { gpu.device.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let layout = gpu
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries });
        let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: gpu.checked,
                ..Default::default()
            },
            cache: None,
        });
        Pipeline { layout, pipeline }
    })
}

/// Storage bindings in the order of [`Kernel::access`], then the parameters. Explicit, because wgpu would take a
/// read-only binding's access from the shader alone.
fn layout_entries(kernel: &Kernel) -> Vec<wgpu::BindGroupLayoutEntry> {
    let storage = kernel.access.iter().map(|access| wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Storage { read_only: *access == Access::Read },
        has_dynamic_offset: false,
        min_binding_size: None,
    });
    let params = NonZeroU64::new(params_bytes(kernel)).map(|bytes| wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Uniform,
        has_dynamic_offset: false,
        min_binding_size: Some(bytes),
    });
    let entries = storage.chain(params).zip(0..);
    entries
        .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
            count: None,
        })
        .collect()
}

/// Bytes of the bound parameters: some backends round a uniform struct up to 16 bytes.
pub(super) fn params_bytes(kernel: &Kernel) -> u64 {
    (kernel.params_size as u64).next_multiple_of(16)
}
