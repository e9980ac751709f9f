//! What AMD's shader compiler makes of the kernels, without a GPU. `cargo xtask shader-stats` sets up the compiler and
//! starts this.

mod assembly;
mod chip;
mod device;
mod report;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use unmix_kernels::{KERNELS, compose};

use crate::chip::{CHIPS, Chip};
use crate::device::Device;
use crate::report::{Name, Report, Row};

/// Compile the kernels with AMD's shader compiler (RADV), without a GPU, and show what becomes of them.
#[derive(Parser)]
#[command(name = "cargo xtask shader-stats", bin_name = "cargo xtask shader-stats")]
struct Options {
    /// Only kernels whose name contains this; all kernels if none is given.
    kernels: Vec<String>,
    /// Only this chip.
    #[arg(long, value_parser = CHIPS.map(|chip| chip.family))]
    chip: Option<String>,
    /// Print JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// Also write the output to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep the assembly in this folder, in a file for each kernel, element type, variant and chip.
    #[arg(long, value_name = "FOLDER")]
    isa: Option<PathBuf>,
    /// Fail if a kernel spills registers, or if fewer than 8 of its subgroups fit on a SIMD.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shader-stats: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let chips: Vec<&Chip> =
        CHIPS.iter().filter(|chip| options.chip.as_ref().is_none_or(|family| family == chip.family)).collect();
    let mut reports = Vec::new();
    for chip in chips {
        reports.push(compile(chip, options)?);
    }
    let text = if options.json { serde_json::to_string_pretty(&reports)? + "\n" } else { report::markdown(&reports) };
    print!("{text}");
    if let Some(file) = &options.out {
        fs::write(file, &text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    let problems: Vec<String> = reports.iter().flat_map(Report::problems).collect();
    if options.check {
        problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
        eprintln!("{} compiled, {} problems", reports.iter().map(|r| r.rows.len()).sum::<usize>(), problems.len());
        if !problems.is_empty() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compile(chip: &'static Chip, options: &Options) -> Result<Report, Box<dyn Error>> {
    let is_wanted = |name: &str| options.kernels.is_empty() || options.kernels.iter().any(|part| name.contains(part));
    let device = Device::open(chip)?;
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for kernel in KERNELS.iter().filter(|kernel| is_wanted(kernel.name)) {
        let variants = |element| kernel.variants_for(element).map(move |variant| (element, variant));
        for (element, variant) in kernel.elements().iter().copied().flat_map(variants) {
            let name = Name { kernel: kernel.name, element: element.name(), variant: variant.name };
            if !chip.can_run(&variant.needs) {
                left_out.push(name);
                continue;
            }
            let failed = |e: Box<dyn Error>| format!("{name} on {}: {e}", chip.family);
            let compiled =
                device.compile(&compose(kernel, element, variant)?, variant.needs.subgroup_size).map_err(failed)?;
            if let Some(folder) = &options.isa {
                let file = folder.join(format!("{}-{element}-{}-{}.s", kernel.name, variant.name, chip.family));
                fs::create_dir_all(folder)
                    .and_then(|()| fs::write(&file, &compiled.assembly))
                    .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
            }
            rows.push(Row::new(chip, name, &compiled)?);
        }
    }
    if rows.is_empty() && left_out.is_empty() {
        return Err(format!("no kernel's name contains {}", options.kernels.join(" or ")).into());
    }
    Ok(Report { chip: chip.family, product: chip.product, device: device.name.clone(), rows, left_out })
}
