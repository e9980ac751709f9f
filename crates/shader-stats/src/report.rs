//! The table, with a row for each kernel and variant.

use std::fmt::{Display, Formatter, Write};

use unmix_kernels::Variant;

use crate::assembly::{Loop, hottest_loop};
use crate::chip::Chip;
use crate::device::Compiled;

/// With fewer subgroups than this on a SIMD, as the driver counts them, the latency of memory is not hidden.
const LEAST_OCCUPANCY: u64 = 8;

/// Kernels and variants that may stay below this number, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "cross_product",
    "cooperative_16_subgroup_32",
    "it is for devices whose subgroups have 32 threads, where a matrix takes half of the registers; these chips run compute in 64",
)];

/// A variant of a kernel for an element type.
#[derive(Clone, Copy, serde::Serialize)]
pub struct Name {
    /// The kernel.
    pub kernel: &'static str,
    /// The element type.
    pub element: &'static str,
    /// The variant.
    pub variant: &'static str,
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Name { kernel, element, variant } = self;
        if *variant == Variant::PORTABLE.name {
            write!(f, "{kernel} {element}")
        } else {
            write!(f, "{kernel} {element} {variant}")
        }
    }
}

/// The result for one variant of a kernel on a chip.
#[derive(serde::Serialize)]
pub struct Row {
    #[serde(flatten)]
    name: Name,
    subgroup_size: u32,
    vector_registers: u64,
    scalar_registers: u64,
    spilled_registers: u64,
    workgroup_memory_bytes: u64,
    scratch_bytes: u64,
    subgroups_per_simd: u64,
    instructions: u64,
    latency: u64,
    inverse_throughput: u64,
    hottest_loop: Loop,
    /// In the hottest loop.
    share_of_peak: f64,
}

impl Row {
    /// Reads the driver's statistics.
    pub fn new(chip: &Chip, name: Name, compiled: &Compiled) -> Result<Self, String> {
        let read = |name: &str| {
            compiled.statistics.get(name).copied().ok_or_else(|| {
                let known: Vec<&str> = compiled.statistics.keys().map(String::as_str).collect();
                format!("the driver tells no {name:?}, but {}", known.join(", "))
            })
        };
        let hottest_loop = hottest_loop(&compiled.assembly);
        Ok(Row {
            name,
            subgroup_size: compiled.subgroup_size,
            vector_registers: read("VGPRs")?,
            scalar_registers: read("SGPRs")?,
            spilled_registers: read("Spilled VGPRs")? + read("Spilled SGPRs")?,
            workgroup_memory_bytes: read("LDS size")?,
            scratch_bytes: read("Scratch size")?,
            subgroups_per_simd: read("Subgroups per SIMD")?,
            instructions: read("Instructions")?,
            latency: read("Latency")?,
            inverse_throughput: read("Inverse Throughput")?,
            share_of_peak: hottest_loop.mix.share_of_peak(chip, compiled.subgroup_size),
            hottest_loop,
        })
    }

    fn problems(&self) -> impl Iterator<Item = String> {
        let name = self.name;
        let spills = self.spilled_registers > 0 || self.scratch_bytes > 0;
        let spills = spills.then(|| {
            format!(
                "{name} spills {} registers ({} bytes of scratch memory)",
                self.spilled_registers, self.scratch_bytes
            )
        });
        let is_excepted =
            EXCEPTIONS.iter().any(|(kernel, variant, _)| *kernel == self.name.kernel && self.name.variant == *variant);
        let is_low = self.subgroups_per_simd < LEAST_OCCUPANCY && !is_excepted;
        let low = is_low.then(|| {
            format!("{name}: {} subgroups fit on a SIMD, fewer than {LEAST_OCCUPANCY}", self.subgroups_per_simd)
        });
        spills.into_iter().chain(low)
    }
}

/// All rows of a chip.
#[derive(serde::Serialize)]
pub struct Report {
    /// RADV's name of the chip.
    pub chip: &'static str,
    /// A product that has it.
    pub product: &'static str,
    /// The driver's names of the device and of itself.
    pub device: String,
    /// One row for each variant.
    pub rows: Vec<Row>,
    /// What the chip cannot run.
    pub left_out: Vec<Name>,
}

impl Report {
    /// What `--check` objects to.
    pub fn problems(&self) -> Vec<String> {
        self.rows.iter().flat_map(Row::problems).map(|problem| format!("{}: {problem}", self.chip)).collect()
    }
}

const MODEL: &str = "\
Subgroups a SIMD: how many registers and workgroup memory leave room for, of 32, as the driver counts, in units of 32 threads: a
subgroup of 64 is two.
Hottest loop: its instructions without those of loops within it. It is the loop with most f32 operations, each level of
nesting counting eightfold; where no loop does any, the one with most instructions. `mul-add` are multiply-adds as a share of its
instructions; `% of peak` is its f32 operations a cycle as a share of what a SIMD of the chip can do, by a simple model: a matrix
instruction (WMMA) takes 32 cycles, a vector instruction one (two on navi21 for a subgroup of 64), every other instruction one; a
dual-issue word is one instruction with two operations. Nothing waits in that model, and subgroups do not overlap.
Latency and inverse throughput are the compiler's own estimates in cycles, with loop counts that it guesses.
";

/// The reports as Markdown.
pub fn markdown(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "## {} ({}): {}\n", report.chip, report.product, report.device);
        text.push_str(&table(&report.rows));
        for name in &report.left_out {
            let _ = writeln!(text, "\nNot compiled, as the chip cannot run it: {name}.");
        }
        text.push('\n');
    }
    text.push_str(MODEL);
    for (kernel, variant, reason) in EXCEPTIONS {
        let _ =
            writeln!(text, "`{kernel} {variant}` may have fewer than {LEAST_OCCUPANCY} subgroups on a SIMD: {reason}.");
    }
    text
}

/// Headings. The columns from the fourth to the last but one are numbers.
const COLUMNS: [&str; 21] = [
    "kernel",
    "subgroup",
    "VGPRs",
    "SGPRs",
    "spills",
    "LDS bytes",
    "subgroups a SIMD",
    "instructions",
    "latency",
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

fn table(rows: &[Row]) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let mix = &row.hottest_loop.mix;
        let multiply_adds = 100.0 * f64::from(mix.multiply_adds) / f64::from(mix.instructions.max(1));
        [
            row.name.to_string(),
            row.subgroup_size.to_string(),
            row.vector_registers.to_string(),
            row.scalar_registers.to_string(),
            row.spilled_registers.to_string(),
            row.workgroup_memory_bytes.to_string(),
            row.subgroups_per_simd.to_string(),
            row.instructions.to_string(),
            row.latency.to_string(),
            row.inverse_throughput.to_string(),
            mix.instructions.to_string(),
            format!("{multiply_adds:.0}%"),
            mix.matrix.to_string(),
            mix.vector.to_string(),
            mix.scalar.to_string(),
            mix.workgroup_memory.to_string(),
            mix.memory.to_string(),
            mix.waits.to_string(),
            mix.branches.to_string(),
            row.hottest_loop.depth.to_string(),
            format!("{:.0}%", 100.0 * row.share_of_peak),
        ]
    }));
    let widths: Vec<usize> =
        (0..COLUMNS.len()).map(|c| lines.iter().map(|line| line[c].len()).max().unwrap_or(0)).collect();
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
