//! Compute pipelines, each compiled once.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
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

/// A kernel as it is to be compiled.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub kernel: &'static Kernel,
    /// The type of the operands.
    pub element: ElementType,
    pub variant: &'static Variant,
    /// How precise the products of its dispatch must be.
    pub precision: Precision,
}

/// Names of a kernel and of its variant, the operands' type, and the precision of products.
type Key = (&'static str, ElementType, &'static str, Precision);

impl Wanted {
    fn key(&self) -> Key {
        let element = if self.kernel.reads_elements { self.element } else { ElementType::F32 };
        (self.kernel.name, element, self.variant.name, self.variant.precision(self.precision))
    }
}

/// The place of a pipeline. It is locked while the pipeline is compiled, so that no two threads compile the same one.
type Place = Arc<Mutex<Option<Arc<Pipeline>>>>;

/// The compiled kernels of a device.
pub(super) struct Pipelines {
    compose: Compose,
    places: Mutex<HashMap<Key, Place>>,
}

impl Pipelines {
    pub fn new(compose: Compose) -> Self {
        Pipelines { compose, places: Mutex::default() }
    }

    /// The pipelines of kernels, in their order. Those that are missing are compiled side by side, because a driver may take a
    /// second for one.
    pub fn get_all(&self, gpu: &Gpu, wanted: &[Wanted]) -> Result<Vec<Arc<Pipeline>>, Error> {
        let mut seen = HashSet::new();
        let distinct: Vec<_> = wanted.iter().filter(|wanted| seen.insert(wanted.key())).collect();
        let made = distinct.par_iter().map(|wanted| self.get(gpu, wanted)).collect::<Vec<_>>();
        made.into_iter().try_for_each(|made| made.map(drop))?;
        wanted.iter().map(|wanted| self.get(gpu, wanted)).collect()
    }

    fn get(&self, gpu: &Gpu, wanted: &Wanted) -> Result<Arc<Pipeline>, Error> {
        let key @ (name, element, variant, precision) = wanted.key();
        let place = Arc::clone(lock(&self.places).entry(key).or_default());
        let mut made = lock(&place);
        if let Some(pipeline) = &*made {
            return Ok(Arc::clone(pipeline));
        }
        let wgsl = (self.compose)(wanted.kernel, element, wanted.variant, precision)
            .map_err(|error| gpu.refused(format!("kernel `{name}`"), error.to_string()))?;
        let pipeline = Arc::new(compile(gpu, wanted.kernel, &format!("{name} ({element}, {variant})"), wgsl)?);
        Ok(Arc::clone(made.insert(pipeline)))
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
