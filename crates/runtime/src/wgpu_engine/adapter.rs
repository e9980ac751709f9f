//! Which adapter: the choice, the list for `unmix doctor`, and the request for a device.

use std::cmp::Reverse;

use super::direct3d;
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
    /// A part of the adapter's name in any case, its PCI address such as `0000:01:00.0`, or its number among all adapters, from 1
    /// ([`AdapterSummary::number`]). Two GPUs of one name differ in their address and number.
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
            words.push(format!("with the name, PCI address or number {name:?}"));
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

    /// Those of all adapters that fit, each with its number.
    fn fitting<'a>(&self, all: &'a [wgpu::Adapter]) -> Vec<(usize, &'a wgpu::Adapter)> {
        let infos: Vec<wgpu::AdapterInfo> = all.iter().map(wgpu::Adapter::get_info).collect();
        let wanted = self.wanted_name();
        let named = wanted.as_ref().map(|wanted| named(&infos, wanted));
        let fits = |at: &usize| {
            named.as_ref().is_none_or(|named| named.contains(at)) && (self.software || !is_software(&infos[*at]))
        };
        (0..all.len()).filter(fits).map(|at| (at + 1, &all[at])).collect()
    }

    /// The adapter that is taken: the best that fits, or another one that is like it.
    fn preferred<'a>(&self, all: &'a [wgpu::Adapter]) -> Option<&'a wgpu::Adapter> {
        let kind = |adapter: &wgpu::Adapter| (adapter.get_info().device_type, adapter.get_info().backend);
        let fitting = self.fitting(all);
        let (_, best) = fitting.first()?;
        let alike: Vec<_> = fitting.iter().filter(|(_, adapter)| kind(adapter) == kind(best)).collect();
        alike.get(self.number as usize % alike.len()).map(|(_, adapter)| *adapter)
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
            memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
                for_resource_creation: Some(MEMORY_BUDGET_PERCENT),
                for_device_loss: None,
            },
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut found = instance.enumerate_adapters(backends).await;
        // Stable, so that equals stay in wgpu's order of backends.
        found.sort_by_key(|adapter| Reverse(rank(adapter.get_info().device_type)));
        found
    }
}

/// Share of the memory budget of a device, in percent, beyond which allocations fail. Without it, Windows lets buffers spill into the
/// host's memory, and every pass waits for the bus.
const MEMORY_BUDGET_PERCENT: u8 = 95;

/// Most digits of the number of an adapter. A longer number, such as 4090, is a part of a name.
const MOST_DIGITS: usize = 2;

/// The places of the adapters that are meant by a PCI address, by a number from 1, or else by a part of a name.
fn named(infos: &[wgpu::AdapterInfo], wanted: &str) -> Vec<usize> {
    let wanted = wanted.to_lowercase();
    let all = |fits: &dyn Fn(&wgpu::AdapterInfo) -> bool| (0..infos.len()).filter(|&at| fits(&infos[at])).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let by_address: Vec<usize> = all(&|info| info.device_pci_bus_id.to_lowercase() == wanted);
    if !by_address.is_empty() {
        return by_address;
    }
    match wanted.parse::<usize>() {
        // A number that no adapter has means none of them, rather than one whose name happens to have its digits.
        Ok(number) if wanted.len() <= MOST_DIGITS => {
            (1..=infos.len()).filter(|&own| own == number).map(|own| own - 1).collect()
        }
        _ => all(&|info| info.name.to_lowercase().contains(&wanted)),
    }
}

/// What an adapter is and can do, for people.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Its number among all adapters of the wanted graphics interfaces, from 1.
    pub number: usize,
    /// Its PCI address, such as `0000:01:00.0`. Empty if the graphics interface does not tell it.
    pub pci_address: String,
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
    fn new(number: usize, adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        AdapterSummary {
            number,
            is_software: is_software(&info),
            pci_address: info.device_pci_bus_id,
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
            NVIDIA => "NVIDIA",
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
    choice.fitting(&found).into_iter().map(|(number, adapter)| AdapterSummary::new(number, adapter)).collect()
}

/// Why a GPU that is in this machine may not answer, and what to do; `None` if nothing is known of such a GPU. `found` are the adapters
/// that answer.
pub fn missing_driver(found: &[AdapterSummary]) -> Option<&'static str> {
    let exists = |path: &str| std::path::Path::new(path).exists();
    let vendors: Vec<u32> = found.iter().map(|adapter| adapter.vendor).collect();
    let in_hardware = found.iter().any(|adapter| !adapter.is_software);
    missing_driver_of(exists("/dev/nvidiactl"), exists("/dev/dxg"), &vendors, in_hardware)
}

fn missing_driver_of(nvidia: bool, wsl: bool, vendors: &[u32], in_hardware: bool) -> Option<&'static str> {
    if nvidia && !vendors.contains(&NVIDIA) {
        return Some(
            "this machine has an NVIDIA GPU, but its Vulkan driver does not answer: in a container, set \
             NVIDIA_DRIVER_CAPABILITIES=all (compute alone has no Vulkan) and install libvulkan1; otherwise install the driver with Vulkan",
        );
    }
    (wsl && !in_hardware).then_some(
        "this is WSL, whose GPU answers through Mesa's driver dzn: install mesa-vulkan-drivers in a version that has it, \
         or run unmix on Windows itself, where it uses Direct3D 12",
    )
}

const NVIDIA: u32 = 0x10de;

/// A device and what its adapter says of cooperative matrices, of which the device itself says nothing.
pub(super) struct Opened {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub matrices: Vec<wgpu::CooperativeMatrixProperties>,
}

/// Opens the best adapter that fits.
pub(super) async fn open(choice: &AdapterChoice) -> Result<Opened, Error> {
    let found = choice.answering().await;
    let Some(adapter) = choice.preferred(&found) else {
        let names: Vec<_> = found.iter().map(|adapter| describe(&adapter.get_info())).collect();
        let mut words = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let summaries: Vec<_> =
            (1..).zip(&found).map(|(number, adapter)| AdapterSummary::new(number, adapter)).collect();
        if let Some(reason) = missing_driver(&summaries) {
            words = format!("{words} ({reason})");
        }
        let found = words;
        return Err(Error::NoAdapter { wanted: choice.words(), found });
    };
    let info = adapter.get_info();
    log::info!("using {}", describe(&info));
    if let Some(advice) = direct3d::advice(&info, adapter.features()) {
        log::warn!("{advice}");
    }
    // What variants of kernels and measurements may want; asking for it costs nothing where it exists.
    let mut optional =
        wgpu::Features::SHADER_F16 | wgpu::Features::SHADER_I16 | wgpu::Features::SUBGROUP | TIMING_FEATURES;
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
    fn two_adapters_of_one_name_differ_in_address_and_number() {
        let info = |name: &str, address: &str| wgpu::AdapterInfo {
            name: name.to_owned(),
            device_pci_bus_id: address.to_owned(),
            ..wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan)
        };
        let infos =
            [info("GeForce RTX 4090", "0000:01:00.0"), info("GeForce RTX 4090", "0000:0B:00.0"), info("llvmpipe", "")];
        assert_eq!(named(&infos, "rtx"), [0, 1]);
        assert_eq!(named(&infos, "0000:0b:00.0"), [1]);
        assert_eq!(named(&infos, "2"), [1]);
        assert_eq!(named(&infos, "4090"), [0, 1], "a long number is a part of a name");
        assert!(["4", "0", "09", ""].iter().all(|other| named(&infos, other).is_empty()));
        assert_eq!(named(&infos, "pipe"), [2]);
        assert!(named(&infos, "0000:02:00.0").is_empty());
    }

    #[test]
    fn an_adapter_is_found_again_by_its_number() {
        for adapter in adapters(&AdapterChoice::default()) {
            let choice = AdapterChoice { name: Some(adapter.number.to_string()), ..Default::default() };
            let found = adapters(&choice);
            assert_eq!(found.len(), 1);
            assert_eq!((&found[0].name, found[0].number), (&adapter.name, adapter.number));
        }
    }

    #[test]
    fn a_gpu_without_its_driver_is_named() {
        assert_eq!(missing_driver_of(false, false, &[], false), None);
        assert_eq!(missing_driver_of(true, false, &[NVIDIA], true), None);
        assert!(missing_driver_of(true, false, &[0x1_0005], false).is_some_and(|text| text.contains("NVIDIA_DRIVER")));
        assert!(missing_driver_of(false, true, &[0x1_0005], false).is_some_and(|text| text.contains("WSL")));
        assert_eq!(missing_driver_of(false, true, &[NVIDIA], true), None);
    }

    #[test]
    fn the_best_adapter_comes_first() {
        let ranks: Vec<_> =
            adapters(&AdapterChoice::default()).iter().map(|adapter| Reverse(rank(adapter.device_type))).collect();
        assert!(ranks.is_sorted());
    }
}
