//! The tables: one of all chips, with a row for each shader, and one for each of AMD's chips.

use std::fmt::Write;

use serde::Serialize;

use crate::assembly::{Loop, hottest_loop};
use crate::chip::{Chip, Driver};
use crate::driver::Outcome;
use crate::nak::{self, WarpLoop};
use crate::statistics::Statistics;
use crate::variants::Name;

/// What `--check` would object to, but that is meant: the kernel, its variant, the chip (empty: every chip), and why. What
/// nobody would choose on a chip stands here too.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    ("cross_product", "cooperative_16_subgroup_32", "", "its sums take half of the registers of a subgroup of 32"),
    (
        "cross_product",
        "cooperative_16_subgroup_32_tall",
        "",
        "its sums take half of the registers of a thread, and few are to be loaded for each product",
    ),
    (
        "cross_product",
        "cooperative_16_subgroup_32_narrow",
        "",
        "its sums take half of the registers of a subgroup of 32",
    ),
    (
        "cross_product",
        "cooperative_16_subgroup_64",
        "navi31",
        "its operands and sums take most registers, and its loop waits little",
    ),
    ("cross_product", "tile_128", "m1", "`tile_64` is chosen on Apple's chips"),
    ("projection", "tile_128", "m1", "`tile_64` is chosen on Apple's chips"),
    ("hals_features", "threads_512", "m1", "256 threads are chosen on Apple's chips"),
    ("cross_product", "tile_128", "adreno750", "`tile_64` is chosen on Qualcomm's chips"),
    ("projection", "tile_128", "adreno750", "`tile_64` is chosen on Qualcomm's chips"),
    ("cholesky", "sixteen_loads", "m1", "`eight_loads` is chosen on Apple's chips"),
    ("hals_coefficients", "four_items", "m1", "`two_items` is chosen on Apple's chips"),
    ("hals_coefficients", "four_items", "adreno750", "`two_items` is chosen on Qualcomm's chips"),
    ("triangular_solve", "four_items", "adreno750", "`two_items` is chosen on Qualcomm's chips"),
];

/// One shader on a chip.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    name: Name,
    #[serde(flatten)]
    statistics: Statistics,
    /// On AMD's chips.
    #[serde(skip_serializing_if = "Option::is_none")]
    hottest_loop: Option<Loop>,
    /// On NVIDIA's chips.
    #[serde(skip_serializing_if = "Option::is_none")]
    warp_loop: Option<WarpLoop>,
}

/// All shaders on a chip.
#[derive(Serialize)]
pub struct Report {
    #[serde(skip)]
    chip: &'static Chip,
    /// The chip's name.
    name: &'static str,
    /// A product that has it.
    product: &'static str,
    /// The driver's names of the device and of itself.
    device: String,
    rows: Vec<Row>,
    /// What the chip cannot run.
    left_out: Vec<Name>,
}

impl Report {
    /// Reads what a driver told.
    ///
    /// # Errors
    /// If it told something else than expected.
    pub fn new(chip: &'static Chip, outcome: Outcome) -> Result<Self, String> {
        let mut rows = Vec::new();
        for (name, compiled) in outcome.compiled {
            let statistics = Statistics::new(chip, &compiled).map_err(|e| format!("{name} on {}: {e}", chip.name))?;
            let of = |driver: Driver| compiled.assembly.as_deref().filter(|_| chip.driver == driver);
            let (hottest_loop, warp_loop) =
                (of(Driver::Amd).map(hottest_loop), of(Driver::Nvidia).map(nak::hottest_loop));
            rows.push(Row { name, statistics, hottest_loop, warp_loop });
        }
        let (device, left_out) = (outcome.device, outcome.left_out);
        Ok(Report { chip, name: chip.name, product: chip.product, device, rows, left_out })
    }

    /// The number of shaders that were compiled.
    pub fn compiled(&self) -> usize {
        self.rows.len()
    }

    /// What `--check` objects to.
    pub fn problems(&self) -> Vec<String> {
        self.rows.iter().flat_map(|row| self.problems_of(row)).collect()
    }

    fn problems_of(&self, row: &Row) -> Vec<String> {
        let (name, chip, statistics) = (&row.name, self.chip, &row.statistics);
        let is_excepted = EXCEPTIONS.iter().any(|(kernel, variant, on, _)| {
            name.kernel == *kernel && name.variant == *variant && (on.is_empty() || *on == chip.name)
        });
        let mut problems = Vec::new();
        if statistics.spills > 0 {
            problems.push(format!("{}: {name} spills to memory ({})", chip.name, statistics.spills));
        }
        if statistics.threads < u64::from(chip.least_threads) && !is_excepted {
            problems.push(format!(
                "{}: {name}: {} threads fit on a core, fewer than {}",
                chip.name, statistics.threads, chip.least_threads
            ));
        }
        problems
    }

    fn row(&self, name: &Name) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == *name)
    }
}

const LEGEND: &str = "\
A cell says: registers of a thread / threads that fit on a core, and `+N` for N registers that go to memory. `-`: the chip cannot run
it. A core is a SIMD on AMD's chips, an SM on NVIDIA's, a shader core on the others. Registers have 32 bits; 16 on M1; on Adreno they
are vectors of four. Where the numbers of threads come from:
- AMD: ACO's own count, by registers and workgroup memory, in units of 32 threads.
- NVIDIA: NAK's `Max warps/SM`: 65,536 registers an SM, allocated a warp at a time to four parts; at most 32 warps on compute
  capability 7.5 and 48 on 8.6 (CUDA C++ Programming Guide, table of technical specifications). Workgroup memory: 64 KiB an SM on 7.5,
  100 KiB on 8.6, of which each workgroup takes 1 KiB more than it asks for.
- M1: AGX's `Threads`, by registers alone: 208 KiB of registers a core.
- Adreno: ir3's `Max Waves Per Core` times the size of a subgroup.
";

const LOOPS: &str = "\
Hottest loop: its instructions without those of loops within it. It is the loop with most f32 operations, each level of
nesting counting eightfold; where no loop does any, the one with most instructions. `mul-add` are multiply-adds as a share of its
instructions; `% of peak` is its f32 operations a cycle as a share of what a SIMD of the chip can do, by a simple model: a matrix
instruction (WMMA) takes 32 cycles, a vector instruction one (two on navi21 for a subgroup of 64), every other instruction one; a
dual-issue word is one instruction with two operations. Nothing waits in that model, and subgroups do not overlap.
Inverse throughput is the compiler's own estimate in cycles, with loop counts that it guesses.
";

const WARPS: &str = "\
The loop is chosen as on AMD's chips. `cycles` are those of a warp that has a core to itself and never waits for memory, by the delays
that NAK writes between instructions. `FLOPs a cycle` is what such a warp does, of 64. A core has four schedulers, so that four warps
do four times as much, and more warps fill the delays.
";

/// The reports as Markdown.
pub fn markdown(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {}: {}; {}", report.name, report.product, report.device);
    }
    text.push('\n');
    text.push_str(&grid(&all_chips(reports)));
    text.push('\n');
    text.push_str(LEGEND);
    for (kernel, variant, chip, reason) in EXCEPTIONS {
        let on = if chip.is_empty() { "any chip" } else { chip };
        let _ = writeln!(text, "- `{kernel} {variant}` may have few threads on {on}: {reason}.");
    }
    for report in reports.iter().filter(|report| report.chip.driver == Driver::Amd) {
        let _ = writeln!(text, "\n## Hottest loops on {}\n", report.name);
        text.push_str(&grid(&loops(report)));
    }
    if reports.iter().any(|report| report.chip.driver == Driver::Amd) {
        text.push('\n');
        text.push_str(LOOPS);
    }
    for report in reports.iter().filter(|report| report.chip.driver == Driver::Nvidia) {
        let _ = writeln!(text, "\n## Hottest loops on {}\n", report.name);
        text.push_str(&grid(&warp_loops(report)));
    }
    if reports.iter().any(|report| report.chip.driver == Driver::Nvidia) {
        text.push('\n');
        text.push_str(WARPS);
    }
    text
}

/// The table of all chips.
fn all_chips(reports: &[Report]) -> Vec<Vec<String>> {
    let mut names: Vec<&Name> = Vec::new();
    for name in reports.iter().flat_map(|report| report.rows.iter().map(|row| &row.name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut lines = vec![["shader", "workgroup memory"].map(str::to_owned).to_vec()];
    lines[0].extend(reports.iter().map(|report| report.name.to_owned()));
    for name in names {
        let bytes = reports.iter().find_map(|report| report.row(name)).map_or(0, |row| row.statistics.workgroup_bytes);
        let mut line = vec![name.to_string(), bytes.to_string()];
        line.extend(reports.iter().map(|report| report.row(name).map_or_else(|| "-".to_owned(), cell)));
        lines.push(line);
    }
    lines
}

fn cell(row: &Row) -> String {
    let Statistics { registers, threads, spills, .. } = row.statistics;
    let spilled = if spills > 0 { format!(" +{spills}") } else { String::new() };
    format!("{registers} / {threads}{spilled}")
}

/// The table of one of AMD's chips.
fn loops(report: &Report) -> Vec<Vec<String>> {
    let headings = [
        "shader",
        "subgroup",
        "instructions",
        "inverse throughput",
        "loop: instructions",
        "mul-add",
        "WMMA",
        "vector",
        "scalar",
        "LDS",
        "memory",
        "wait",
        "branch",
        "depth",
        "% of peak",
    ];
    let mut lines = vec![headings.map(str::to_owned).to_vec()];
    for row in &report.rows {
        let Some(found) = &row.hottest_loop else { continue };
        let (mix, statistics) = (&found.mix, &row.statistics);
        let share = report.chip.rates.as_ref().map_or(0.0, |rates| mix.share_of_peak(rates, statistics.subgroup_size));
        let multiply_adds = 100.0 * f64::from(mix.multiply_adds) / f64::from(mix.instructions.max(1));
        lines.push(vec![
            row.name.to_string(),
            statistics.subgroup_size.to_string(),
            statistics.instructions.to_string(),
            statistics.cycles.unwrap_or_default().to_string(),
            mix.instructions.to_string(),
            format!("{multiply_adds:.0}%"),
            mix.matrix.to_string(),
            mix.vector.to_string(),
            mix.scalar.to_string(),
            mix.workgroup_memory.to_string(),
            mix.memory.to_string(),
            mix.waits.to_string(),
            mix.branches.to_string(),
            found.depth.to_string(),
            format!("{:.0}%", 100.0 * share),
        ]);
    }
    lines
}

/// The table of one of NVIDIA's chips.
fn warp_loops(report: &Report) -> Vec<Vec<String>> {
    let headings = [
        "shader",
        "moves to other registers",
        "loop: instructions",
        "mul-add",
        "other f32",
        "HMMA",
        "memory",
        "workgroup memory",
        "depth",
        "cycles",
        "FLOPs a cycle",
    ];
    let mut lines = vec![headings.map(str::to_owned).to_vec()];
    for row in &report.rows {
        let Some(found) = &row.warp_loop else { continue };
        let flops = f64::from(32 * (2 * found.multiply_adds + found.others));
        lines.push(vec![
            row.name.to_string(),
            row.statistics.moves.to_string(),
            found.instructions.to_string(),
            found.multiply_adds.to_string(),
            found.others.to_string(),
            found.matrix.to_string(),
            found.memory.to_string(),
            found.workgroup_memory.to_string(),
            found.depth.to_string(),
            found.cycles.to_string(),
            format!("{:.1}", flops / f64::from(found.cycles.max(1))),
        ]);
    }
    lines
}

/// A table of Markdown. The first column holds words, the others numbers.
fn grid(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns).map(|c| lines.iter().map(|line| line[c].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        for (c, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let _ = if c == 0 { write!(text, "| {cell:<width$} ") } else { write!(text, "| {cell:>width$} ") };
        }
        text.push_str("|\n");
        if at == 0 {
            for (c, &width) in widths.iter().enumerate() {
                let _ = write!(text, "|{}{}", "-".repeat(width + 1), if c == 0 { "-" } else { ":" });
            }
            text.push_str("|\n");
        }
    }
    text
}
