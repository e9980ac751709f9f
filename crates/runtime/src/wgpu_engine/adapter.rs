//! Which adapter: the choice, the list for `unmix doctor`, and the request for a device.

use std::cmp::Reverse;

use super::variants::{Preference, usable_size};
use crate::{Error, block_on};

/// What timing needs of a device.
pub(super) const TIMING_FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);

/// Which adapter to use and how to open it.
///
/// An option that is `None` falls back to the environment: `WGPU_ADAPTER_NAME` (a part of the name) and `WGPU_BACKEND`
/// (e.g. `vulkan` or `dx12,metal`). Of the adapters that fit, a discrete GPU comes before an integrated one, that
/// before a virtual one, and a software renderer last.
#[derive(Clone, Debug)]
pub struct AdapterChoice {
    /// A part of the adapter's name, in any case.
    pub name: Option<String>,
    /// The graphics interfaces to look at.
    pub backends: Option<wgpu::Backends>,
    /// Whether a software renderer such as lavapipe will do.
    pub software: bool,
    /// Which of several adapters that are alike, from 0; after the last one it begins again with the first. So processes on one machine
    /// can take different GPUs.
    pub number: u32,
    /// Opens the device with the limits that every WebGPU device has instead of the adapter's own, to try what runs
    /// everywhere.
    pub portable_limits: bool,
    /// Compiles shaders with every run-time check, to find mistakes in them. The default is the environment's
    /// `UNMIX_CHECKED=1`.
    pub checked: bool,
    /// Variants of kernels to be taken instead of the engine's own choice. `None`: those of the environment's
    /// `UNMIX_VARIANTS`, e.g. `cross_product=tile_64x64,projection/f16=tile_64x128`.
    pub variants: Option<Vec<Preference>>,
}

impl Default for AdapterChoice {
    fn default() -> Self {
        AdapterChoice {
            name: None,
            backends: None,
            software: true,
            number: 0,
            portable_limits: false,
            checked: std::env::var_os("UNMIX_CHECKED").is_some_and(|value| !value.is_empty() && value != "0"),
            variants: None,
        }
    }
}

impl AdapterChoice {
    fn wanted_name(&self) -> Option<String> {
        self.name.clone().or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok()).filter(|name| !name.is_empty())
    }

    fn wanted_backends(&self) -> Option<wgpu::Backends> {
        self.backends.or_else(wgpu::Backends::from_env)
    }

    /// The variants that are asked for, here or in the environment.
    pub(super) fn wanted_variants(&self) -> Result<Vec<Preference>, Error> {
        if let Some(variants) = &self.variants {
            return Ok(variants.clone());
        }
        let text = std::env::var("UNMIX_VARIANTS").unwrap_or_default();
        Preference::parse_list(&text).map_err(|part| Error::Variants { text, part })
    }

    /// The request in words that follow "no GPU adapter".
    fn words(&self) -> String {
        let mut words = Vec::new();
        if let Some(name) = self.wanted_name() {
            words.push(format!("named {name:?}"));
        }
        if let Some(backends) = self.wanted_backends() {
            let names: Vec<_> = backends.iter_names().map(|(name, _)| name.to_lowercase()).collect();
            words.push(format!("on {}", if names.is_empty() { "no backend".to_owned() } else { names.join(" or ") }));
        }
        if !self.software {
            words.push("in hardware".to_owned());
        }
        if words.is_empty() { "answers".to_owned() } else { words.join(" ") }
    }

    fn fits(&self, info: &wgpu::AdapterInfo) -> bool {
        let named = self.wanted_name().is_none_or(|name| info.name.to_lowercase().contains(&name.to_lowercase()));
        named && (self.software || !is_software(info))
    }

    /// Every adapter of the wanted backends, the best first.
    async fn answering(&self) -> Vec<wgpu::Adapter> {
        // `Instance::new` panics where no backend is compiled in.
        if wgpu::Instance::enabled_backend_features().is_empty() {
            return Vec::new();
        }
        let backends = self.wanted_backends().unwrap_or(wgpu::Backends::all());
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            flags: wgpu::InstanceFlags::default().with_env(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut found = instance.enumerate_adapters(backends).await;
        // Stable, so that equals stay in wgpu's order of backends.
        found.sort_by_key(|adapter| Reverse(rank(adapter.get_info().device_type)));
        let kind = |adapter: &wgpu::Adapter| (adapter.get_info().device_type, adapter.get_info().backend);
        let mut fitting = (0..found.len()).filter(|&place| self.fits(&found[place].get_info()));
        if let Some(first) = fitting.next() {
            let mut alike = vec![first];
            alike.extend(fitting.filter(|&place| kind(&found[place]) == kind(&found[first])));
            found.swap(first, alike[self.number as usize % alike.len()]);
        }
        found
    }
}

/// What an adapter is and can do, for people.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Its name.
    pub name: String,
    /// The graphics interface through which it answers.
    pub backend: wgpu::Backend,
    /// Discrete, integrated, virtual or software.
    pub device_type: wgpu::DeviceType,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver.
    pub driver_info: String,
    /// PCI vendor number.
    pub vendor: u32,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Largest storage binding in bytes.
    pub max_binding_bytes: u64,
    /// Workgroup memory in bytes.
    pub workgroup_bytes: u32,
    /// Most invocations in a workgroup.
    pub max_invocations: u32,
    /// Most storage buffers of a kernel.
    pub max_storage_buffers: u32,
    /// Most workgroups in one dimension.
    pub max_workgroups: u32,
    /// Smallest and largest subgroup.
    pub subgroup_sizes: (u32, u32),
    /// Whether shaders may compute in f16.
    pub shader_f16: bool,
    /// Whether shaders may use subgroup operations.
    pub subgroups: bool,
    /// Whether shaders may use cooperative matrices.
    pub cooperative_matrix: bool,
    /// Whether the device can time its own work.
    pub timestamps: bool,
    /// Whether it is a renderer on the processor.
    pub is_software: bool,
}

impl AdapterSummary {
    fn new(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        AdapterSummary {
            is_software: is_software(&info),
            name: info.name,
            backend: info.backend,
            device_type: info.device_type,
            driver: info.driver,
            driver_info: info.driver_info,
            vendor: info.vendor,
            max_buffer_bytes: limits.max_buffer_size,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            subgroup_sizes: (info.subgroup_min_size, info.subgroup_max_size),
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            cooperative_matrix: features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        }
    }

    /// The vendor's name, or its number where it is not a known one.
    pub fn vendor_name(&self) -> String {
        let known = match self.vendor {
            0x1002 => "AMD",
            0x106b => "Apple",
            0x10de => "NVIDIA",
            0x13b5 => "Arm",
            0x1414 => "Microsoft",
            0x5143 => "Qualcomm",
            0x8086 => "Intel",
            0x1_0005 => "Mesa",
            other => return format!("{other:#06x}"),
        };
        known.to_owned()
    }
}

/// The adapters that fit `choice`, in the order in which they would be taken.
pub fn adapters(choice: &AdapterChoice) -> Vec<AdapterSummary> {
    let found = block_on(choice.answering());
    found.iter().filter(|adapter| choice.fits(&adapter.get_info())).map(AdapterSummary::new).collect()
}

/// A device and what its adapter says of cooperative matrices, of which the device itself says nothing.
pub(super) struct Opened {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub matrices: Vec<wgpu::CooperativeMatrixProperties>,
}

/// Opens the best adapter that fits.
pub(super) async fn open(choice: &AdapterChoice) -> Result<Opened, Error> {
    let found = choice.answering().await;
    let Some(adapter) = found.iter().find(|adapter| choice.fits(&adapter.get_info())) else {
        let names: Vec<_> = found.iter().map(|adapter| describe(&adapter.get_info())).collect();
        let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(Error::NoAdapter { wanted: choice.words(), found });
    };
    let info = adapter.get_info();
    log::info!("using {}", describe(&info));
    // What variants of kernels and measurements may want; asking for it costs nothing where it exists.
    let mut optional = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | TIMING_FEATURES;
    let matrices = adapter.cooperative_matrix_properties();
    if matrices.iter().any(|matrix| usable_size(matrix).is_some()) {
        optional |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    }
    let (features, limits) = if choice.portable_limits {
        (wgpu::Features::empty(), wgpu::Limits::default())
    } else {
        (adapter.features() & optional, adapter.limits())
    };
    let experimental_features = if features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        // SAFETY: an experimental feature may be implemented wrongly. Of this one, the tests run every use, on a device
        // that has it.
        unsafe { wgpu::ExperimentalFeatures::enabled() }
    } else {
        wgpu::ExperimentalFeatures::disabled()
    };
    let opened = adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("unmix"),
        experimental_features,
        required_features: features,
        required_limits: limits,
        ..Default::default()
    });
    match opened.await {
        Ok((device, queue)) => Ok(Opened { device, queue, matrices }),
        Err(error) => Err(Error::MissingFeature {
            adapter: info.name,
            feature: format!("what its device was asked for ({error})"),
        }),
    }
}

/// Whether an adapter computes on the processor.
pub(super) fn is_software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu
}

/// Checks that a device offers what every kernel may use: the limits of WebGPU.
pub(super) fn check_portable(adapter: &str, limits: &wgpu::Limits) -> Result<(), Error> {
    let needed = wgpu::Limits::default();
    let least = [
        (
            "bytes of workgroup memory",
            limits.max_compute_workgroup_storage_size,
            needed.max_compute_workgroup_storage_size,
        ),
        (
            "invocations in a workgroup",
            limits.max_compute_invocations_per_workgroup,
            needed.max_compute_invocations_per_workgroup,
        ),
        (
            "storage buffers in a shader",
            limits.max_storage_buffers_per_shader_stage,
            needed.max_storage_buffers_per_shader_stage,
        ),
    ];
    match least.iter().find(|(_, offered, needed)| offered < needed) {
        Some((what, offered, needed)) => Err(Error::MissingFeature {
            adapter: adapter.to_owned(),
            feature: format!("{needed} {what} (it offers {offered})"),
        }),
        None => Ok(()),
    }
}

fn describe(info: &wgpu::AdapterInfo) -> String {
    format!("{} ({}, {:?})", info.name, info.backend, info.device_type)
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 4,
        wgpu::DeviceType::IntegratedGpu => 3,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 1,
        wgpu::DeviceType::Cpu => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_says_what_was_found() {
        let choice = AdapterChoice { name: Some("no such adapter".into()), ..Default::default() };
        let Err(Error::NoAdapter { wanted, .. }) = block_on(open(&choice)) else { panic!("opened") };
        assert!(wanted.contains("no such adapter"), "{wanted}");
        assert!(adapters(&choice).is_empty());
    }

    #[test]
    fn the_best_adapter_comes_first() {
        let ranks: Vec<_> =
            adapters(&AdapterChoice::default()).iter().map(|adapter| Reverse(rank(adapter.device_type))).collect();
        assert!(ranks.is_sorted());
    }
}
