//! The roofline: the least time that a recording can take on a device, from its bytes and FLOPs.

use std::borrow::Cow;

use crate::{
    CROSS_PRODUCT, Command, Dispatch, ElementType, PROJECTION, Precision, Recording, Resource, Traffic, Workspace,
};

/// What bounds the speed of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its name, in lower case.
    pub name: Cow<'static, str>,
    /// Bytes per second between memory and the device.
    pub bandwidth: f64,
    /// FLOPs per second in f32.
    pub peak: f64,
    /// FLOPs per second of dense products of f16 or bf16 activations with operands that are rounded as far. At least `peak`.
    pub product_peak: f64,
    /// Bytes of the last-level cache.
    pub cache_bytes: u64,
}

/// Known devices with their makers' figures, at boost clock and without sparsity. The peak of a product is the data sheet's f16 figure
/// with f32 accumulation.
pub static DEVICES: &[Device] = &[
    // NVIDIA H100 data sheet, SXM5: 3.35 TB/s, FP32 67 TFLOPS, FP16 1,979 with sparsity; Hopper white paper: 50 MB of L2.
    device("h100", 3350.0, 67.0, 989.4, 50),
    // NVIDIA H200 data sheet, SXM: 4.8 TB/s, the rest as H100.
    device("h200", 4800.0, 67.0, 989.4, 50),
    // NVIDIA A100 80 GB data sheet, SXM4: 2,039 GB/s, FP32 19.5 TFLOPS, FP16 312; Ampere white paper: 40 MB of L2.
    device("a100", 2039.0, 19.5, 312.0, 40),
    // NVIDIA Ada white paper: 1,008 GB/s, FP32 82.6 TFLOPS, FP16 with FP32 accumulation 165.2, 72 MB of L2.
    device("rtx-4090", 1008.0, 82.6, 165.2, 72),
    // NVIDIA GA102 white paper: 936 GB/s, FP32 35.6 TFLOPS, FP16 with FP32 accumulation 71, 6 MB of L2.
    device("rtx-3090", 936.0, 35.6, 71.0, 6),
    // AMD's product page: 960 GB/s, FP32 61.4 TFLOPS (dual issue), FP16 122.8, 96 MB of Infinity Cache.
    device("rx-7900-xtx", 960.0, 61.4, 122.8, 96),
    // AMD CDNA 3 white paper: 5.3 TB/s, FP32 163.4 TFLOPS, FP16 1,307.4, 256 MB of Infinity Cache.
    device("mi300x", 5300.0, 163.4, 1307.4, 256),
    // Apple's newsroom, 17 January 2023: 400 GB/s, 38 cores; 13.6 TFLOPS at 1.398 GHz and 128 multiply-adds a core; the size
    // of the system cache, 48 MB, is as measured by others. Matrix instructions have no higher rate.
    device("m2-max", 400.0, 13.6, 13.6, 48),
];

/// A device from GB/s, TFLOP/s and MB.
const fn device(name: &'static str, bandwidth: f64, peak: f64, product_peak: f64, cache: u64) -> Device {
    Device {
        name: Cow::Borrowed(name),
        bandwidth: bandwidth * 1e9,
        peak: peak * 1e12,
        product_peak: product_peak * 1e12,
        cache_bytes: cache * 1_000_000,
    }
}

/// A text that does not describe a device.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// There is no known device of that name.
    #[error(
        "no device {0:?}; known are {list}, or describe one: bandwidth=GB/s,peak=TFLOP/s,cache=MB",
        list = device_names()
    )]
    Unknown(String),
    /// A part of the description is wrong.
    #[error(
        "{part:?}: {problem}; a device is described by bandwidth=GB/s,peak=TFLOP/s,cache=MB and, where dense products of f16 \
         are faster, product-peak=TFLOP/s"
    )]
    Part {
        /// The part.
        part: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The names of the known devices, in one line.
pub fn device_names() -> String {
    let names: Vec<&str> = DEVICES.iter().map(|device| device.name.as_ref()).collect();
    names.join(", ")
}

impl std::str::FromStr for Device {
    type Err = DeviceError;

    /// The name of one of [`DEVICES`], or `bandwidth=GB/s,peak=TFLOP/s,cache=MB[,product-peak=TFLOP/s]`.
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        if !text.contains('=') {
            let known = DEVICES.iter().find(|device| device.name.eq_ignore_ascii_case(text));
            return known.cloned().ok_or_else(|| DeviceError::Unknown(text.to_owned()));
        }
        let (mut bandwidth, mut peak, mut cache, mut product_peak) = (None, None, None, None);
        for part in text.split(',') {
            let wrong = |problem| DeviceError::Part { part: part.to_owned(), problem };
            let (key, value) = part.split_once('=').ok_or_else(|| wrong("has no `=`"))?;
            let slot = match key.trim() {
                "bandwidth" => &mut bandwidth,
                "peak" => &mut peak,
                "cache" => &mut cache,
                "product-peak" => &mut product_peak,
                _ => return Err(wrong("is none of bandwidth, peak, cache and product-peak")),
            };
            let value: f64 = value.trim().parse().map_err(|_| wrong("is not a number"))?;
            let positive = value > 0.0 || (key.trim() == "cache" && value == 0.0);
            if !positive || !value.is_finite() || value > 1e12 {
                return Err(wrong("must be a finite number above 0 (a cache may be 0)"));
            }
            if slot.replace(value).is_some() {
                return Err(wrong("is given twice"));
            }
        }
        let missing = || DeviceError::Part { part: text.to_owned(), problem: "needs bandwidth, peak and cache" };
        let (Some(bandwidth), Some(peak), Some(cache)) = (bandwidth, peak, cache) else { return Err(missing()) };
        Ok(Device {
            name: Cow::Owned(text.to_owned()),
            bandwidth: bandwidth * 1e9,
            peak: peak * 1e12,
            product_peak: product_peak.unwrap_or(peak).max(peak) * 1e12,
            cache_bytes: (cache * 1e6) as u64,
        })
    }
}

/// What keeps a stage from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Moving bytes to and from memory.
    Memory,
    /// Arithmetic.
    Compute,
}

impl Bound {
    /// `memory` or `compute`.
    pub const fn name(self) -> &'static str {
        match self {
            Bound::Memory => "memory",
            Bound::Compute => "compute",
        }
    }
}

impl Device {
    /// The known device behind the name of an adapter such as `NVIDIA H100 80GB HBM3`, if there is one. Other models of
    /// that name (PCIe, laptop) have less bandwidth and a lower peak.
    pub fn of_adapter(name: &str) -> Option<&'static Device> {
        let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "");
        DEVICES.iter().find(|device| plain(name).contains(&plain(&device.name)))
    }

    /// FLOPs per second that a dispatch can reach at best. If its products must be exact, matrix units take two halves of an f32 operand,
    /// high and low, and so are half as fast.
    pub fn peak_of(&self, dispatch: &Dispatch) -> f64 {
        let is_product = [&CROSS_PRODUCT, &PROJECTION].contains(&dispatch.kernel);
        match dispatch.promise.precision {
            _ if !is_product || dispatch.element == ElementType::F32 => self.peak,
            Precision::F16 | Precision::Bf16 => self.product_peak,
            Precision::F32 => self.peak.max(self.product_peak / 2.0),
        }
    }

    /// Seconds that moving bytes takes by itself, and seconds that arithmetic takes by itself, for a command with its
    /// traffic. Bytes from cache and launches are free.
    pub fn seconds(&self, command: &Command, traffic: &Traffic) -> [f64; 2] {
        let moved = (traffic.from_memory() + traffic.to_memory()) as f64 / self.bandwidth;
        let computed = match command {
            Command::Dispatch(dispatch) => dispatch.cost.flops as f64 / self.peak_of(dispatch),
            Command::Clear(_) | Command::Copy { .. } | Command::Reduce(_) => 0.0,
        };
        [moved, computed]
    }
}

/// The commands of a recording that do the same to the same kind of operand, one panel after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The kernel, or `copy` or `clear`.
    pub kernel: &'static str,
    /// The operand that is written, without the number of its panel.
    pub writes: String,
    /// Positions of its commands in the recording.
    pub commands: Vec<usize>,
    /// Bytes read from memory.
    pub from_memory: u64,
    /// Bytes read from cache.
    pub from_cache: u64,
    /// Bytes written that reach memory.
    pub to_memory: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Least seconds, summed over its commands.
    pub seconds: f64,
    /// What most of these seconds are spent on.
    pub bound: Bound,
}

/// The stages of a recording on a device, in the order in which they first occur. `traffic` belongs to the recording.
/// It comes from [`Recording::traffic`] or [`Recording::steady_traffic`] with the device's cache.
pub fn stages(recording: &Recording, workspace: &Workspace, traffic: &[Traffic], device: &Device) -> Vec<Stage> {
    let mut stages: Vec<(Stage, [f64; 2])> = Vec::new();
    for (index, (command, traffic)) in recording.commands.iter().zip(traffic).enumerate() {
        let (kernel, writes) = kernel_and_result(command, workspace);
        let found = stages.iter().position(|(stage, _)| stage.kernel == kernel && stage.writes == writes);
        let at = found.unwrap_or_else(|| {
            stages.push((
                Stage {
                    kernel,
                    writes,
                    commands: Vec::new(),
                    from_memory: 0,
                    from_cache: 0,
                    to_memory: 0,
                    flops: 0,
                    seconds: 0.0,
                    bound: Bound::Memory,
                },
                [0.0; 2],
            ));
            stages.len() - 1
        });
        let (stage, spent) = &mut stages[at];
        let [moved, computed] = device.seconds(command, traffic);
        stage.commands.push(index);
        stage.from_memory += traffic.from_memory();
        stage.from_cache += traffic.from_cache();
        stage.to_memory += traffic.to_memory();
        stage.flops += if let Command::Dispatch(dispatch) = command { dispatch.cost.flops } else { 0 };
        stage.seconds += moved.max(computed);
        spent[usize::from(computed > moved)] += moved.max(computed);
        stage.bound = if spent[1] > spent[0] { Bound::Compute } else { Bound::Memory };
    }
    stages.into_iter().map(|(stage, _)| stage).collect()
}

fn kernel_and_result(command: &Command, workspace: &Workspace) -> (&'static str, String) {
    let (kernel, written) = match command {
        Command::Dispatch(dispatch) => {
            let mut written = dispatch.bindings.iter().zip(dispatch.kernel.access);
            let written = written.find(|(_, access)| **access == crate::Access::ReadWrite).map(|(binding, _)| *binding);
            (dispatch.kernel.name, written)
        }
        Command::Clear(id) => ("clear", Some((*id).into())),
        Command::Copy { to, .. } => ("copy", Some((*to).into())),
        Command::Reduce(reduction) => ("reduce", reduction.sums.first().map(|sum| sum.buffer.into())),
    };
    let name = match written {
        Some(Resource::Buffer(id)) => {
            let name = workspace.buffers.get(id.0 as usize).map_or("", |spec| spec.name.as_str());
            name.split_once(" of panel ").map_or(name, |(name, _)| name).to_owned()
        }
        Some(Resource::Panel(_)) | None => String::new(),
    };
    (kernel, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Features, Summation, cross_product, project};

    #[test]
    fn a_device_is_named_or_described() {
        assert_eq!("H100".parse::<Device>().unwrap(), DEVICES[0]);
        let device: Device = "bandwidth=100, peak=2,cache=0".parse().unwrap();
        assert_eq!((device.bandwidth, device.peak, device.product_peak, device.cache_bytes), (1e11, 2e12, 2e12, 0));
        assert_eq!("bandwidth=1,peak=2,cache=3,product-peak=9".parse::<Device>().unwrap().product_peak, 9e12);
        for (text, words) in [
            ("h1000", "rx-7900-xtx"),
            ("", "h100"),
            ("bandwidth=1,peak=2", "needs bandwidth, peak and cache"),
            ("bandwidth=1,peak=2,cache", "has no `=`"),
            ("bandwidth=1,peak=2,cache=3,bandwidth=1", "given twice"),
            ("bandwidth=0,peak=2,cache=3", "above 0"),
            ("bandwidth=nan,peak=2,cache=3", "above 0"),
            ("bandwidth=x,peak=2,cache=3", "not a number"),
            ("speed=1", "none of"),
        ] {
            let error = text.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn adapters_name_their_device() {
        for (adapter, name) in [
            ("NVIDIA H100 80GB HBM3", Some("h100")),
            ("NVIDIA A100-SXM4-80GB", Some("a100")),
            ("NVIDIA GeForce RTX 4090", Some("rtx-4090")),
            ("AMD Radeon RX 7900 XTX (RADV NAVI31)", Some("rx-7900-xtx")),
            ("Apple M2 Max", Some("m2-max")),
            ("llvmpipe (LLVM 15.0.6, 256 bits)", None),
            ("x86_64 CPU, 2 threads", None),
        ] {
            assert_eq!(Device::of_adapter(adapter).map(|device| device.name.as_ref()), name, "{adapter}");
        }
    }

    #[test]
    fn every_known_device_is_plausible() {
        for device in DEVICES {
            assert!(device.product_peak >= device.peak && device.peak > device.bandwidth, "{}", device.name);
            assert!(device.bandwidth > 1e11 && device.cache_bytes > 1 << 20, "{}", device.name);
        }
    }

    #[test]
    fn stages_add_up_and_know_their_bound() {
        let mut workspace = Workspace::default();
        let w = &mut workspace;
        let (n, d, k) = (1100, 1000, 70);
        let dense = w.matrix("features", k, d);
        let features = Features::in_workspace(w, dense, 20);
        let (projections, cross) = (w.matrix("projections", n, k), w.matrix("cross product", k, d));
        let mut recording = Recording::new();
        for panel in 0..3 {
            let y = w.matrix(format!("coefficients of panel {panel}"), n, k);
            let x = crate::Matrix {
                resource: Resource::Panel(panel),
                element: ElementType::F16,
                rows: n,
                columns: d,
                stride: d,
                first: 0,
            };
            project(&mut recording, x, &features, projections, 1.0);
            cross_product(&mut recording, x, y, cross, 1.0, panel > 0, Summation::default());
            recording.copy(projections.buffer(), y.buffer(), y.bytes());
        }
        let device = Device { cache_bytes: 10_000_000, ..DEVICES[0].clone() };
        let stages = stages(&recording, &workspace, &recording.traffic(&workspace, device.cache_bytes), &device);
        let names: Vec<_> = stages.iter().map(|stage| (stage.kernel, stage.writes.as_str())).collect();
        let expected =
            [("sparse_projection", "projections"), ("cross_product", "cross product"), ("copy", "coefficients")];
        assert_eq!(names, expected);
        assert!(stages.iter().all(|stage| stage.commands.len() == 3));
        // The activations come from memory for the projections and from cache for the product.
        let panels = u64::from(3 * n * d * 2);
        assert_eq!(stages[0].from_memory, panels + u64::from(2 * k * 20 * 4));
        assert!(stages[1].from_cache >= panels, "{:?}", stages[1]);
        assert_eq!(stages[1].flops, u64::from(3 * 2 * n * d * k));
        assert_eq!((stages[0].bound, stages[1].bound), (Bound::Memory, Bound::Compute));
        assert_eq!(stages.iter().map(|stage| stage.flops).sum::<u64>(), recording.flops());
        let moved = (stages[0].from_memory + stages[0].to_memory) as f64;
        assert!((stages[0].seconds * device.bandwidth / moved - 1.0).abs() < 1e-9, "{:?}", stages[0]);
    }
}
