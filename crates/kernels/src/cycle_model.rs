//! A model of the seconds of an iteration on a GPU that need not be here. The roofline is what no run can beat. This model
//! also counts launches, the latency of memory, workgroups that do not fill the device, and the instructions around the
//! arithmetic. `docs/performance.md` lists what it assumes.

use crate::{Command, Device, Dispatch, Needs, Stage, Traffic, Variant};

/// What the model knows of a device beyond its [`Device`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Cores, each with its own workgroup memory: SMs, compute units, shader cores.
    pub cores: u32,
    /// Clock in Hz.
    pub clock: f64,
}

/// Cores and clocks in GHz of known devices, from the sources that `DEVICES` names.
const MACHINES: [(&str, u32, f64); 8] = [
    ("h100", 132, 1.98),
    ("h200", 132, 1.98),
    ("a100", 108, 1.41),
    ("rtx-4090", 128, 2.52),
    ("rtx-3090", 82, 1.695),
    ("rx-7900-xtx", 96, 2.5),
    ("mi300x", 304, 2.1),
    ("m2-max", 38, 1.398),
];

/// Seconds between a command and the next, which waits for it: the barrier, and the launch.
const LAUNCH: f64 = 3e-6;
/// Seconds from a load to its value, from memory.
const LATENCY: f64 = 0.6e-6;
/// Bytes that a thread has on their way at a time, unless [`Code::loading`] says otherwise: two vectors.
const BYTES_ON_THE_WAY: f64 = 32.0;
/// Bandwidth of the cache, as a multiple of that of memory.
const CACHE_SPEED: f64 = 2.0;
/// Share of the time in which a core with enough warps for its schedulers issues. The rest is lost to barriers and to memory.
const SUSTAINED: f64 = 0.6;
/// Schedulers of a core, each of which issues one instruction of a warp in a cycle.
const SCHEDULERS: f64 = 4.0;
/// Threads of a warp.
const WARP: f64 = 32.0;

/// The machine code of a variant, by what NVIDIA's open compiler makes of it for compute capability 8.6.
struct Code {
    kernel: &'static str,
    variant: &'static str,
    /// Threads of a workgroup, and threads that fit on a core.
    threads: u32,
    resident: u32,
    /// In the hottest loop: instructions, f32 operations of a thread, and cycles of a warp that is alone.
    instructions: u32,
    operations: u32,
    cycles: u32,
    /// Bytes that a thread has on their way at a time.
    on_the_way: f64,
}

/// From `cargo xtask shader-stats --chip ampere`. A kernel that is not here counts as [`OTHER`].
const CODES: &[Code] = &[
    code("cholesky", "portable", 256, 1024, [543, 512, 1023]),
    code("cross_product", "tile_128", 256, 512, [77, 128, 91]),
    code("cross_product", "tile_64", 256, 1152, [27, 32, 51]),
    code("hals_coefficients", "portable", 128, 768, [615, 528, 1300]),
    // Eight vectors of a row side by side, and four.
    code("hals_features", "threads_512", 512, 512, [76, 8, 112]).loading(128.0),
    code("hals_features", "portable", 256, 640, [76, 8, 112]).loading(64.0),
    // Two vectors and two weights. Of 30 features, those that keep 2% of the neurons have 19 operations for a thread. The
    // inner loop is counted 3.5 times: so often it runs for the busiest thread of a warp.
    code("hals_residuals", "portable", 256, 896, [752, 19, 1632]).loading(64.0),
    code("inner_product", "portable", 256, 1536, [401, 80, 1326]),
    code("multiplicative_update", "portable", 64, 832, [1106, 80, 3394]),
    code("projection", "tile_128", 256, 512, [77, 128, 91]),
    code("projection", "tile_64", 256, 1024, [27, 32, 51]),
    code("sparse_projection", "portable", 128, 640, [191, 64, 457]),
    code("triangular_solve", "portable", 128, 1152, [66, 64, 154]),
];

/// A kernel that streams: a vector of four in, two operations each, and indices.
const OTHER: Code = code("", "", 256, 1536, [66, 8, 226]);

const fn code(kernel: &'static str, variant: &'static str, threads: u32, resident: u32, hot: [u32; 3]) -> Code {
    let [instructions, operations, cycles] = hot;
    Code { kernel, variant, threads, resident, instructions, operations, cycles, on_the_way: BYTES_ON_THE_WAY }
}

impl Code {
    fn of(kernel: &str, variant: &str) -> &'static Code {
        CODES.iter().find(|code| code.kernel == kernel && code.variant == variant).unwrap_or(&OTHER)
    }

    /// The same, where a thread has so many bytes on their way at a time.
    const fn loading(self, on_the_way: f64) -> Code {
        Code { on_the_way, ..self }
    }

    /// f32 operations that a core does in a cycle for so many warps: each does what its delays allow, and together they
    /// do what the schedulers issue.
    fn rate(&self, warps: f64) -> f64 {
        let of_a_warp = WARP * f64::from(self.operations);
        let alone = warps * of_a_warp / f64::from(self.cycles);
        let issued = SCHEDULERS * of_a_warp / f64::from(self.instructions);
        alone.min(SUSTAINED * issued)
    }
}

/// What a command's time is spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Waiting for the command before, and starting.
    pub launch: f64,
    /// Moving bytes.
    pub memory: f64,
    /// Arithmetic.
    pub compute: f64,
    /// Workgroups, 0 for a copy or a clear.
    pub workgroups: u64,
}

impl Estimate {
    /// Seconds. Bytes move while the device computes.
    pub fn seconds(&self) -> f64 {
        self.launch + self.memory.max(self.compute)
    }
}

impl Machine {
    /// What is known of a device, if it is one of [`DEVICES`](crate::DEVICES).
    pub fn of(device: &Device) -> Option<Machine> {
        let (_, cores, clock) = *MACHINES.iter().find(|(name, ..)| *name == device.name)?;
        Some(Machine { cores, clock: clock * 1e9 })
    }

    /// The estimate of a command with its traffic.
    pub fn estimate(&self, device: &Device, command: &Command, traffic: &Traffic) -> Estimate {
        let memory = (traffic.from_memory() + traffic.to_memory()) as f64;
        let cache = traffic.from_cache() as f64;
        let Command::Dispatch(dispatch) = command else {
            return Estimate { launch: LAUNCH, memory: memory / device.bandwidth, ..Estimate::default() };
        };
        let Some(variant) = variant_of(dispatch) else { return Estimate { launch: LAUNCH, ..Estimate::default() } };
        let code = Code::of(dispatch.kernel.name, variant.name);
        let workgroups: u64 = variant.workgroups(dispatch.extent).into_iter().map(u64::from).product();
        let cores = u64::from(self.cores);
        let fit = u64::from((code.resident / code.threads).max(1));
        // The core that has most to do decides.
        let of_a_core = workgroups.div_ceil(cores);
        let resident = of_a_core.min(fit) as f64 * f64::from(code.threads);
        let on_the_way = workgroups.min(fit * cores) as f64 * f64::from(code.threads) * code.on_the_way / LATENCY;
        let memory = memory / device.bandwidth.min(on_the_way)
            + cache / (CACHE_SPEED * device.bandwidth).min(CACHE_SPEED * on_the_way);
        let covered: f64 =
            (0..3).map(|a| f64::from(variant.workgroups(dispatch.extent)[a] * variant.tile[a])).product();
        let asked: f64 = dispatch.extent.iter().map(|&extent| f64::from(extent)).product();
        // Tiles at the edges compute as much as the others.
        let flops = dispatch.cost.flops as f64 * (covered / asked.max(1.0)).max(1.0) / workgroups.max(1) as f64;
        let rate = (code.rate(resident / WARP) * self.clock).min(device.peak / f64::from(self.cores));
        Estimate { launch: LAUNCH, memory, compute: of_a_core as f64 * flops / rate, workgroups }
    }

    /// The estimates of stages, whose commands are those of a recording with this traffic.
    pub fn of_stages(
        &self,
        device: &Device,
        stages: &[Stage],
        commands: &[Command],
        traffic: &[Traffic],
    ) -> Vec<Estimate> {
        let add = |sum: Estimate, next: Estimate| Estimate {
            launch: sum.launch + next.launch,
            memory: sum.memory + next.memory,
            compute: sum.compute + next.compute,
            workgroups: sum.workgroups.max(next.workgroups),
        };
        let of = |stage: &Stage| {
            let estimates = stage.commands.iter().map(|&at| self.estimate(device, &commands[at], &traffic[at]));
            estimates.fold(Estimate::default(), add)
        };
        stages.iter().map(of).collect()
    }
}

/// The variant that an engine takes where nothing was tuned, on a device without cooperative matrices. All known devices
/// have at least so many threads and so much memory for a workgroup.
fn variant_of(dispatch: &Dispatch) -> Option<&'static Variant> {
    const ALL_HAVE: Needs = Needs { threads: 1024, workgroup_bytes: 32 << 10, ..Needs::PORTABLE };
    let variants = dispatch.kernel.variants_for(dispatch.element);
    let possible: Vec<_> = variants.filter(|variant| variant.needs.are_within(&ALL_HAVE)).collect();
    Variant::filling(&possible, dispatch.extent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DEVICES, ElementType, KERNELS, Recording, Summation, Workspace, cross_product, inner_product};

    fn h100() -> (Device, Machine) {
        let device: Device = "h100".parse().unwrap();
        let machine = Machine::of(&device).unwrap();
        (device, machine)
    }

    fn product(rows: u32, columns: u32, rank: u32) -> Estimate {
        let (device, machine) = h100();
        let (mut workspace, mut recording) = (Workspace::default(), Recording::default());
        let x = workspace.elements("activations", ElementType::F16, rows, columns, columns);
        let y = workspace.matrix("coefficients", rows, rank);
        let out = workspace.matrix("cross product", rank, columns);
        cross_product(&mut recording, x, y, out, 1.0, false, Summation::default());
        let traffic = recording.traffic(&workspace, device.cache_bytes);
        machine.estimate(&device, &recording.commands[0], &traffic[0])
    }

    #[test]
    fn every_known_device_has_cores_whose_peaks_add_up() {
        for device in DEVICES {
            let machine = Machine::of(device).unwrap();
            let lanes = device.peak / (2.0 * machine.clock * f64::from(machine.cores));
            // 64 or 128 lanes, twice as many with dual issue.
            assert!([64.0, 128.0, 256.0].iter().any(|known| (lanes / known - 1.0).abs() < 0.03), "{device:?}: {lanes}");
        }
    }

    #[test]
    fn every_code_is_of_a_kernel_that_exists() {
        for code in CODES {
            let kernel = KERNELS.iter().find(|kernel| kernel.name == code.kernel);
            let is_there = kernel.is_some_and(|kernel| kernel.variants.iter().any(|v| v.name == code.variant));
            assert!(is_there, "{} {}", code.kernel, code.variant);
        }
    }

    #[test]
    fn no_estimate_is_below_the_roofline() {
        let (device, _) = h100();
        let estimate = product(8192, 16384, 512);
        let flops = 2.0 * 8192.0 * 16384.0 * 512.0;
        assert!(estimate.compute >= flops / device.peak, "{estimate:?}");
        assert!(estimate.seconds() >= estimate.compute + LAUNCH);
    }

    #[test]
    fn work_that_does_not_fill_the_device_takes_as_long_as_the_busiest_core() {
        // Tiles of 64, one on each of four cores, or of eight.
        let (four, eight) = (product(1024, 128, 128), product(1024, 256, 128));
        assert_eq!((four.workgroups, eight.workgroups), (4, 8));
        assert!((eight.compute / four.compute - 1.0).abs() < 1e-9, "{four:?} {eight:?}");
        // An edge costs as much as a whole tile.
        let edge = product(1024, 128, 68);
        assert!((edge.compute / four.compute - 1.0).abs() < 1e-9, "{edge:?}");
    }

    #[test]
    fn a_small_command_takes_the_time_of_its_launch() {
        let (device, machine) = h100();
        let (mut workspace, mut recording) = (Workspace::default(), Recording::default());
        let (a, b) = (workspace.matrix("a", 16, 16), workspace.matrix("b", 16, 16));
        let partials = workspace.words("partials", 512);
        inner_product(&mut recording, a, b, partials, false);
        let traffic = recording.traffic(&workspace, device.cache_bytes);
        let estimate = machine.estimate(&device, &recording.commands[0], &traffic[0]);
        assert!((LAUNCH..2.0 * LAUNCH).contains(&estimate.seconds()), "{estimate:?}");
    }
}
