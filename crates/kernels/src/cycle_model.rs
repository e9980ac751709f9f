//! A model of the seconds of an iteration on a GPU that need not be here. The roofline is what no run can beat. This model
//! also counts launches, the latency of memory, workgroups that do not fill the device, and the instructions around the
//! arithmetic. `docs/performance.md` lists what it assumes.

use crate::{CROSS_PRODUCT, Chain, Command, Device, Dispatch, Offer, Precision, Stage, Traffic, Variant};

/// What the model knows of a device beyond its [`Device`].
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Cores, each with its own workgroup memory: SMs, compute units, shader cores.
    pub cores: u32,
    /// Clock in Hz.
    pub clock: f64,
    /// What it offers to variants.
    pub offer: Offer,
}

/// Cores and clocks in GHz of known devices, from the sources that `DEVICES` names, and the subgroups for which their cooperative
/// matrices of 16 × 16 are chosen. Apple's matrices of 8 × 8 are left out, because no compiler for them is at hand.
const MACHINES: [(&str, u32, f64, Option<u32>); 8] = [
    ("h100", 132, 1.98, Some(32)),
    ("h200", 132, 1.98, Some(32)),
    ("a100", 108, 1.41, Some(32)),
    ("rtx-4090", 128, 2.52, Some(32)),
    ("rtx-3090", 82, 1.695, Some(32)),
    ("rx-7900-xtx", 96, 2.5, Some(64)),
    ("mi300x", 304, 2.1, Some(64)),
    ("m2-max", 38, 1.398, None),
];

/// Seconds between a command and the next, which waits for it: the barrier, and the launch.
const LAUNCH: f64 = 3e-6;
/// Seconds from a load to its value, from memory.
const LATENCY: f64 = 0.6e-6;
/// Seconds from a load to its value, from the cache.
const CACHE_LATENCY: f64 = 0.2e-6;
/// Cycles of a barrier, and of what is read from workgroup memory behind it.
const BARRIER: f64 = 60.0;
/// Bytes that a thread has on their way at a time, unless [`Code::loading`] says otherwise: two vectors.
const BYTES_ON_THE_WAY: f64 = 32.0;
/// Bandwidth of the cache, as a multiple of that of memory.
const CACHE_SPEED: f64 = 2.0;
/// Bytes that a core takes from the cache in a cycle.
const CORE_BYTES: f64 = 64.0;
/// Bytes of a sector, which is the least that the cache gives.
const SECTOR: f64 = 32.0;
/// Share of the time in which a core with enough warps for its schedulers issues, and in which its matrix units work. The rest is lost to
/// barriers and to memory.
const SUSTAINED: f64 = 0.6;
/// Schedulers of a core, each of which issues one instruction of a warp in a cycle.
const SCHEDULERS: f64 = 4.0;
/// Threads of a warp.
const WARP: f64 = 32.0;

/// The machine code of a variant, by what NVIDIA's open compiler makes of it for compute capability 8.6.
struct Code {
    kernel: &'static str,
    variant: &'static str,
    precision: Precision,
    /// Threads of a workgroup, and threads that fit on a core.
    threads: u32,
    resident: u32,
    /// In the hottest loop: instructions, f32 operations of a thread, and cycles of a warp that is alone.
    instructions: u32,
    operations: u32,
    cycles: u32,
    /// What a warp does whose threads have no result of their own, as a share of the instructions.
    idle: f64,
    /// Bytes that a thread has on their way at a time.
    on_the_way: f64,
}

/// From `cargo xtask shader-stats --chip ampere`. A kernel that is not here counts as [`OTHER`]. On cooperative matrices an iteration of the
/// loop is a stage of 32 tokens of f16, whose products count once, also where they are taken of two halves; bf16
/// takes 1.4 to 1.8 times as many instructions. The variant for subgroups of 64 is that of `--chip navi31`, where a core has two SIMDs
/// and a matrix instruction takes 32 cycles.
const CODES: &[Code] = &[
    code("cholesky", "sixteen_loads", 256, 768, [749, 512, 2152]),
    code("cholesky", "eight_loads", 256, 768, [745, 512, 2140]),
    code("cholesky_step", "portable", 256, 1280, [135, 69, 300]),
    // The next stage is on its way: eight, six, eight and four vectors.
    code("cross_product", "cooperative_16_subgroup_32_tall", 224, 224, [556, 7168, 1471]).loading(128.0),
    rounded("cross_product", "cooperative_16_subgroup_32_tall", 224, 224, [422, 7168, 1273]).loading(128.0),
    code("cross_product", "cooperative_16_subgroup_32", 256, 256, [371, 4096, 1047]).loading(96.0),
    rounded("cross_product", "cooperative_16_subgroup_32", 256, 256, [303, 4096, 950]).loading(96.0),
    code("cross_product", "cooperative_16_subgroup_32_narrow", 128, 384, [492, 4096, 1399]).loading(128.0),
    rounded("cross_product", "cooperative_16_subgroup_32_narrow", 128, 384, [392, 4096, 1247]).loading(128.0),
    code("cross_product", "cooperative_16_subgroup_64", 256, 512, [242, 2048, 1234]).loading(64.0),
    rounded("cross_product", "cooperative_16_subgroup_64", 256, 512, [175, 2048, 671]).loading(64.0),
    code("cross_product", "tile_128", 256, 512, [1194, 2048, 1427]),
    code("cross_product", "tile_64", 256, 1152, [682, 1024, 984]),
    code("hals_coefficients", "four_items", 128, 896, [807, 1024, 1345]),
    code("hals_coefficients", "two_items", 256, 1280, [451, 512, 780]),
    // Eight vectors of a row side by side, and four. The loop corrects 16 residuals, and eight, without what is written meanwhile. The
    // table shows another loop, for rows of which no list is made.
    code("hals_features", "threads_512", 512, 512, [488, 32, 748]).loading(128.0),
    code("hals_features", "portable", 256, 768, [257, 16, 402]).loading(64.0),
    // Two vectors and two weights. Of 30 features, those that keep 2% of the neurons have 19 operations for a thread, and of 32 features
    // 20. A chunk of 30 takes 269 instructions around the inner loop and 34 in each iteration. It runs 3.2 times for the busier one of a
    // warp's two vectors of neurons, with features of activations of a language model. Without votes it takes 53 more around the loop, and
    // 37 more for each of the two vectors that ends alone. A chunk of 32 takes 275 around the loop in eight of 14 warps, and 156 in the
    // six that stage no weights.
    code("hals_residuals", "neurons_112", 448, 1152, [340, 20, 798]).loading(64.0),
    code("hals_residuals", "subgroup_32", 256, 1152, [378, 19, 894]).loading(64.0),
    code("hals_residuals", "portable", 256, 896, [495, 19, 1055]).loading(64.0),
    code("inner_product", "portable", 256, 1536, [121, 20, 382]),
    code("multiplicative_update", "portable", 64, 832, [43, 64, 70]),
    code("projection", "tile_128", 256, 512, [1371, 2048, 2051]),
    code("projection", "tile_64", 256, 1024, [859, 1024, 1571]),
    // A segment of 1,536, 1,024, 768 or 512 neurons, of which a feature keeps 1%: 107 instructions stage four neurons of a thread, two or three
    // times, 35 are around that, and 229 are in each iteration for four entries, or 233 where a segment is no power of two. It runs
    // 7.0, 5.2, 4.5 or 3.6 times for the busiest of a warp's features, if neurons are kept at random. Without votes 218 stage a segment, 82
    // are around that, and an iteration has 227, with 38 more where some features end, which is in nearly every iteration. A warp
    // without features runs no iteration. With the Gram matrix, the branch between tokens and features takes six more to stage four neurons.
    // Counted is the branch for tokens.
    code("sparse_projection", "neurons_1536", 512, 1024, [1987, 489, 4109]).idling(0.18),
    code("sparse_projection", "threads_512", 512, 1280, [1440, 326, 3071]).idling(0.17),
    code("sparse_projection", "neurons_768", 256, 1024, [1405, 245, 3086]).idling(0.25),
    code("sparse_projection", "subgroup_32", 256, 1280, [1073, 163, 2361]).idling(0.23),
    code("sparse_projection", "portable", 256, 1024, [1254, 163, 2563]).idling(0.24),
    code("sparse_projection_with_gram", "neurons_1536", 512, 1024, [2005, 489, 4002]).idling(0.19),
    code("sparse_projection_with_gram", "threads_512", 512, 1280, [1452, 326, 2987]).idling(0.18),
    code("sparse_projection_with_gram", "neurons_768", 256, 1024, [1423, 245, 2967]).idling(0.26),
    code("sparse_projection_with_gram", "subgroup_32", 256, 1280, [1085, 163, 2302]).idling(0.24),
    code("sparse_projection_with_gram", "portable", 256, 1024, [1260, 163, 2571]).idling(0.24),
    code("triangular_solve", "four_items", 128, 896, [833, 1024, 1450]),
    code("triangular_solve", "two_items", 256, 1280, [477, 512, 887]),
];

/// A kernel that streams: a vector of four in, two operations each, and indices.
const OTHER: Code = code("", "", 256, 1536, [66, 8, 226]);

const fn code(kernel: &'static str, variant: &'static str, threads: u32, resident: u32, hot: [u32; 3]) -> Code {
    let [instructions, operations, cycles] = hot;
    Code {
        kernel,
        variant,
        precision: Precision::F32,
        threads,
        resident,
        instructions,
        operations,
        cycles,
        idle: 1.0,
        on_the_way: BYTES_ON_THE_WAY,
    }
}

/// The code of a variant where it rounds operands.
const fn rounded(kernel: &'static str, variant: &'static str, threads: u32, resident: u32, hot: [u32; 3]) -> Code {
    Code { precision: Precision::F16, ..code(kernel, variant, threads, resident, hot) }
}

impl Code {
    fn of(kernel: &str, variant: &str, precision: Precision) -> &'static Code {
        let is_it = |code: &&Code| (code.kernel, code.variant, code.precision) == (kernel, variant, precision);
        CODES.iter().find(is_it).unwrap_or(&OTHER)
    }

    /// The same, where a thread has so many bytes on their way at a time.
    const fn loading(self, on_the_way: f64) -> Code {
        Code { on_the_way, ..self }
    }

    /// The same, where a warp without results of its own does this share of the instructions.
    const fn idling(self, idle: f64) -> Code {
        Code { idle, ..self }
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
    /// Moving bytes that lie side by side.
    pub memory: f64,
    /// Moving sectors of which one element each is read.
    pub sectors: f64,
    /// Arithmetic.
    pub compute: f64,
    /// What a workgroup does one after the other.
    pub chain: f64,
    /// Whether a core has nothing else to do while a workgroup waits in its chain.
    pub alternates: bool,
    /// Workgroups, 0 for a copy or a clear.
    pub workgroups: u64,
    /// The variant of the kernel that the device would choose.
    pub variant: Option<&'static str>,
}

impl Estimate {
    /// Seconds. Bytes move while the device computes, and while workgroups wait. But where the only workgroup of a core goes from what it
    /// reads to its chain, and from there to its instructions, these add up. Then only sectors move while it computes.
    pub fn seconds(&self) -> f64 {
        let work = if self.alternates {
            self.memory + self.chain + self.compute.max(self.sectors)
        } else {
            (self.memory + self.sectors).max(self.compute).max(self.chain)
        };
        self.launch + work
    }
}

impl Machine {
    /// What is known of a device, if it is one of [`DEVICES`](crate::DEVICES).
    pub fn of(device: &Device) -> Option<Machine> {
        let (name, cores, clock, subgroup) = *MACHINES.iter().find(|(name, ..)| *name == device.name)?;
        let offer = Offer {
            threads: 1024,
            workgroup_bytes: if subgroup.is_some() { 48 << 10 } else { 32 << 10 },
            sixteen_bits: true,
            subgroups: true,
            usual_subgroup: subgroup.unwrap_or(32),
            cooperative_matrices: subgroup.map(|_| 16).into_iter().collect(),
            fast_matrices: true,
            few_registers: name.starts_with("m2"),
        };
        Some(Machine { cores, clock: clock * 1e9, offer })
    }

    /// The estimate of a command with its traffic.
    pub fn estimate(&self, device: &Device, command: &Command, traffic: &Traffic) -> Estimate {
        let [from_memory, to_memory, from_cache] =
            [traffic.from_memory(), traffic.to_memory(), traffic.from_cache()].map(|bytes| bytes as f64);
        let Command::Dispatch(dispatch) = command else {
            let memory = (from_memory + to_memory) / device.bandwidth;
            return Estimate { launch: LAUNCH, memory, ..Estimate::default() };
        };
        let (precision, extent) = (dispatch.promise.precision, dispatch.extent);
        let chosen = self.offer.choose(dispatch.kernel, dispatch.element, precision, extent, |_| true);
        let Some(variant) = chosen else { return Estimate { launch: LAUNCH, ..Estimate::default() } };
        let code = Code::of(dispatch.kernel.name, variant.name, variant.precision(precision));
        let from_cache = from_cache + read_again(dispatch, variant.workgroups(extent));
        let [workgroups, covered, asked] = working(dispatch, variant);
        let cores = u64::from(self.cores);
        let fit = u64::from((code.resident / code.threads).max(1));
        // The core that has most to do decides.
        let of_a_core = workgroups.div_ceil(cores);
        let side_by_side = of_a_core.min(fit);
        let resident = side_by_side as f64 * f64::from(code.threads);
        // A load waits for its value, and a core takes so much of it in a cycle. Nothing waits for a store.
        let on_the_way = workgroups.min(fit * cores) as f64 * f64::from(code.threads) * code.on_the_way / LATENCY;
        let taken = workgroups.min(cores) as f64 * CORE_BYTES * self.clock;
        let cache_bandwidth = (CACHE_SPEED * device.bandwidth.min(on_the_way)).min(taken);
        let memory = to_memory / device.bandwidth
            + from_memory / device.bandwidth.min(on_the_way).min(taken)
            + from_cache / cache_bandwidth;
        let sectors = dispatch.scattered as f64 * SECTOR / (CACHE_SPEED * device.bandwidth).min(taken);
        // Tiles at the edges compute as much as the others, unless their idle warps do less.
        let beyond = (covered as f64 / asked.max(1) as f64 - 1.0).max(0.0);
        let flops = dispatch.cost.flops as f64 * (1.0 + beyond * code.idle) / workgroups.max(1) as f64;
        let uses_matrices = variant.needs.cooperative_matrix.is_some();
        let peak = if uses_matrices { SUSTAINED * device.peak_of(dispatch) } else { device.peak };
        let rate = (code.rate(resident / WARP) * self.clock).min(peak / f64::from(self.cores));
        let compute = of_a_core as f64 * flops * dispatch.unevenness / rate;
        // Workgroups beyond those that fit on a core begin when others have ended.
        let Chain { barriers, loads, cycles } = dispatch.chain.times(of_a_core.div_ceil(fit));
        let chain = (barriers as f64 * BARRIER + cycles as f64) / self.clock + loads as f64 * CACHE_LATENCY;
        Estimate {
            launch: LAUNCH,
            memory,
            sectors,
            compute,
            chain,
            alternates: dispatch.chain != Chain::default() && side_by_side == 1,
            workgroups,
            variant: Some(variant.name),
        }
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
            sectors: sum.sectors + next.sectors,
            compute: sum.compute + next.compute,
            chain: sum.chain + next.chain,
            alternates: sum.alternates || next.alternates,
            workgroups: sum.workgroups.max(next.workgroups),
            variant: sum.variant.or(next.variant),
        };
        let of = |stage: &Stage| {
            let estimates = stage.commands.iter().map(|&at| self.estimate(device, &commands[at], &traffic[at]));
            estimates.fold(Estimate::default(), add)
        };
        stages.iter().map(of).collect()
    }
}

/// Workgroups that have something to compute, and results that their tiles cover and that the dispatch asks for. Of the product of a
/// matrix with itself, these are the tiles on one side of the diagonal.
fn working(dispatch: &Dispatch, variant: &Variant) -> [u64; 3] {
    let [width, height, depth] = dispatch.extent.map(u64::from);
    let [across, down, parts] = variant.workgroups(dispatch.extent).map(u64::from);
    let tile: u64 = variant.tile.into_iter().map(u64::from).product();
    let (tiles, asked) = if dispatch.promise.symmetric {
        (across * (across + 1) / 2, width * (width + 1) / 2)
    } else {
        (across * down, width * height)
    };
    [tiles * parts, tiles * parts * tile, asked * depth]
}

/// Bytes that the tiles of a cross product read beyond the first time: each row of tiles reads the activations, and each column of tiles
/// reads the coefficients. Workgroups that run at the same time share them in the cache.
fn read_again(dispatch: &Dispatch, [across, down, _]: [u32; 3]) -> f64 {
    let [activations, coefficients, ..] = &dispatch.cost.moved[..] else { return 0.0 };
    if *dispatch.kernel != CROSS_PRODUCT {
        return 0.0;
    }
    let bytes = |read: &std::ops::Range<u64>| (read.end - read.start) as f64;
    let again = bytes(&activations.read) * f64::from(down - 1) + bytes(&coefficients.read) * f64::from(across - 1);
    if dispatch.promise.symmetric { again / 2.0 } else { again }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CholeskyFactor, DEVICES, ElementType, Features, KERNELS, Recording, Ridge, Summation, Workspace, cholesky,
        cross_product, hals_features, inner_product,
    };

    fn h100() -> (Device, Machine) {
        let device: Device = "h100".parse().unwrap();
        let machine = Machine::of(&device).unwrap();
        (device, machine)
    }

    fn product(element: ElementType, precision: Precision, [rows, columns, rank]: [u32; 3]) -> Estimate {
        let (device, machine) = h100();
        let (mut workspace, mut recording) = (Workspace::default(), Recording::default());
        let x = workspace.elements("activations", element, rows, columns, columns);
        let y = workspace.matrix("coefficients", rows, rank);
        let out = workspace.matrix("cross product", rank, columns);
        cross_product(&mut recording, x, y, out, 1.0, false, Summation { precision, split: None });
        let traffic = recording.traffic(&workspace, device.cache_bytes);
        machine.estimate(&device, &recording.commands[0], &traffic[0])
    }

    /// A product without cooperative matrices.
    fn plain(size: [u32; 3]) -> Estimate {
        product(ElementType::F32, Precision::F32, size)
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
            let variant = kernel.and_then(|kernel| kernel.variants.iter().find(|v| v.name == code.variant));
            let is_there = variant.is_some_and(|variant| variant.precisions().contains(&code.precision));
            assert!(is_there, "{} {}", code.kernel, code.variant);
        }
    }

    #[test]
    fn every_cross_product_that_a_known_device_would_choose_has_its_code() {
        for device in DEVICES {
            let machine = Machine::of(device).unwrap();
            for (element, precision) in
                ElementType::ALL.into_iter().flat_map(|e| [(e, Precision::F32), (e, Precision::Bf16)])
            {
                for extent in [[14_336, 100, 3], [14_336, 400, 1], [768, 100, 32], [576, 32, 1]] {
                    let chosen = machine.offer.choose(&CROSS_PRODUCT, element, precision, extent, |_| true).unwrap();
                    let code = Code::of(CROSS_PRODUCT.name, chosen.name, chosen.precision(precision));
                    assert_eq!(code.variant, chosen.name, "{}", device.name);
                }
            }
        }
    }

    #[test]
    fn no_estimate_is_below_the_roofline() {
        let (device, _) = h100();
        let flops = 2.0 * 8192.0 * 16384.0 * 512.0;
        let size = [8192, 16384, 512];
        for (element, precision, peak) in [
            (ElementType::F32, Precision::F32, device.peak),
            (ElementType::F16, Precision::F32, device.product_peak / 2.0),
            (ElementType::F16, Precision::Bf16, device.product_peak),
        ] {
            let estimate = product(element, precision, size);
            assert!(estimate.compute >= flops / peak, "{estimate:?}");
            assert!(estimate.seconds() >= estimate.compute + LAUNCH);
        }
    }

    #[test]
    fn matrices_are_faster_than_f32_and_rounded_products_are_the_fastest() {
        let of = |element, precision| product(element, precision, [8192, 16384, 512]);
        let [f32, f16, rounded] = [
            (ElementType::F32, Precision::F32),
            (ElementType::F16, Precision::F32),
            (ElementType::F16, Precision::Bf16),
        ]
        .map(|(element, precision)| of(element, precision));
        assert_eq!(f16.variant, Some("cooperative_16_subgroup_32_tall"));
        assert!(rounded.compute < f16.compute && f16.compute < f32.compute, "{rounded:?} {f16:?} {f32:?}");
    }

    #[test]
    fn work_that_does_not_fill_the_device_takes_as_long_as_the_busiest_core() {
        // Tiles of 64, one on each of four cores, or of eight.
        let (four, eight) = (plain([1024, 128, 128]), plain([1024, 256, 128]));
        assert_eq!((four.workgroups, eight.workgroups), (4, 8));
        assert!((eight.compute / four.compute - 1.0).abs() < 1e-9, "{four:?} {eight:?}");
        // An edge costs as much as a whole tile.
        let edge = plain([1024, 128, 68]);
        assert!((edge.compute / four.compute - 1.0).abs() < 1e-9, "{edge:?}");
    }

    #[test]
    fn steps_that_wait_for_one_another_take_their_time_on_any_device() {
        let (device, machine) = h100();
        let (mut workspace, mut recording) = (Workspace::default(), Recording::default());
        let (gram, factor) = (workspace.matrix("gram", 400, 400), CholeskyFactor::in_workspace(&mut workspace, 400));
        cholesky(&mut recording, gram, factor, Ridge::Relative(1e-7));
        let traffic = recording.traffic(&workspace, device.cache_bytes);
        let of = |machine: &Machine| machine.estimate(&device, &recording.commands[0], &traffic[0]);
        let estimate = of(&machine);
        // 400 pivots, each with a barrier, a root and quotients.
        assert!(estimate.chain > 400.0 * 3.0 * BARRIER / machine.clock, "{estimate:?}");
        // Panels and pivots alternate.
        assert!(estimate.seconds() >= LAUNCH + estimate.chain + estimate.compute, "{estimate:?}");
        let more_cores = Machine { cores: 10 * machine.cores, ..machine };
        assert_eq!(of(&more_cores).chain, estimate.chain);
    }

    #[test]
    fn the_steps_of_a_lone_workgroup_add_up_and_each_residual_costs_a_sector() {
        let (device, machine) = h100();
        let estimate = |rank: u32| {
            let (mut workspace, mut recording) = (Workspace::default(), Recording::default());
            let dense = workspace.matrix("features", rank, 14_336);
            let features = Features::in_workspace(&mut workspace, dense, 143);
            let residuals = workspace.matrix("residuals", rank, 14_336);
            let gram = workspace.matrix("gram", rank, rank);
            hals_features(&mut recording, residuals, gram, &features, 0, rank);
            let traffic = recording.traffic(&workspace, device.cache_bytes);
            machine.estimate(&device, &recording.commands[0], &traffic[0])
        };
        let one = estimate(57);
        assert_eq!((one.workgroups, one.alternates), (1, true));
        let sum = one.launch + one.memory + one.chain + one.sectors.max(one.compute);
        assert!((one.seconds() / sum - 1.0).abs() < 1e-12, "{one:?}");
        // 57 · 56 / 2 pairs of features, and about 143 · 21/20 neurons of each, from one core.
        let corrected = 57.0 * 56.0 / 2.0 * 143.0 * 21.0 / 20.0;
        let expected = corrected * SECTOR / (CORE_BYTES * machine.clock);
        assert!((one.sectors / expected - 1.0).abs() < 0.05, "{one:?}, expected {expected}");
        // Rows are read at no more than what a core takes.
        let rows = 57.0 * 14_336.0 * 4.0;
        assert!(one.memory >= rows / (CORE_BYTES * machine.clock), "{one:?}");
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
