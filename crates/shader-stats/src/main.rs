//! What the shader compilers of GPUs' makers make of the kernels, without a GPU. `cargo xtask shader-stats` and
//! `cargo xtask shader-check` set up the compilers and start this.

mod assembly;
mod chip;
mod device;
mod driver;
mod files;
mod nak;
mod report;
mod statistics;
mod translate;
mod variants;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};

use crate::chip::{CHIPS, Chip};
use crate::driver::{COMPILE, Folders};
use crate::report::Report;

#[derive(Parser)]
#[command(name = "unmix-shader-stats")]
enum Task {
    /// Compile the kernels with the shader compilers of GPUs' makers, without a GPU, and show what becomes of them.
    #[command(override_usage = "cargo xtask shader-stats [OPTIONS] [KERNELS]...")]
    Table(Table),
    /// Write every composed shader to a folder.
    Files { folder: PathBuf, kernels: Vec<String> },
    /// Compile in this process, which has the driver of the chip.
    #[command(hide = true, name = COMPILE)]
    Compile { chip: String, kernels: Vec<String> },
}

#[derive(Args)]
struct Table {
    /// Only kernels whose name contains this; all kernels if none is given.
    kernels: Vec<String>,
    /// Only these chips, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = CHIPS.map(|chip| chip.name))]
    chip: Vec<String>,
    /// Print JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// Also write the output to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep the assembly, where the driver shows it, in this folder, in a file for each kernel, element type, variant and
    /// chip.
    #[arg(long, value_name = "FOLDER")]
    isa: Option<PathBuf>,
    /// Fail if a kernel spills registers, or if too few of its threads fit on a core.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    folders: Folders,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Table(table) => show(&table),
        Task::Files { folder, kernels } => files::write(&folder, &kernels).map(|()| ExitCode::SUCCESS),
        Task::Compile { chip, kernels } => compile_here(&chip, &kernels),
    };
    done.unwrap_or_else(|error| {
        eprintln!("shader-stats: {error}");
        ExitCode::FAILURE
    })
}

fn compile_here(chip: &str, kernels: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let chip = CHIPS.iter().find(|known| known.name == chip).ok_or_else(|| format!("there is no chip {chip:?}"))?;
    serde_json::to_writer(std::io::stdout().lock(), &driver::compile_here(chip, kernels)?)?;
    Ok(ExitCode::SUCCESS)
}

fn show(options: &Table) -> Result<ExitCode, Box<dyn Error>> {
    let is_wanted = |chip: &&Chip| options.chip.is_empty() || options.chip.iter().any(|name| name == chip.name);
    let mut reports = Vec::new();
    for chip in CHIPS.iter().filter(is_wanted) {
        let outcome = driver::compile(chip, &options.folders, &options.kernels)?;
        if let Some(folder) = &options.isa {
            for (name, compiled) in &outcome.compiled {
                let Some(assembly) = &compiled.assembly else { continue };
                let file = folder.join(format!("{}-{}.s", name.stem(), chip.name));
                fs::create_dir_all(folder)
                    .and_then(|()| fs::write(&file, assembly))
                    .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
            }
        }
        reports.push(Report::new(chip, outcome)?);
    }
    let text = if options.json { serde_json::to_string_pretty(&reports)? + "\n" } else { report::markdown(&reports) };
    print!("{text}");
    if let Some(file) = &options.out {
        fs::write(file, &text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    let problems: Vec<String> = reports.iter().flat_map(Report::problems).collect();
    if options.check {
        problems.iter().for_each(|problem| eprintln!("problem: {problem}"));
        eprintln!("{} compiled, {} problems", reports.iter().map(Report::compiled).sum::<usize>(), problems.len());
        if !problems.is_empty() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
