//! Fuzzing led by coverage: libFuzzer keeps the inputs that reach something new, and makes others from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::campaign::{Campaign, Job, Outcome};
use crate::process::{cargo, output_of, root, run as run_command};

/// Options that make rustc count which points are reached and what is compared, as cargo-fuzz does. There is no
/// sanitizer: those need a nightly compiler, and readers have little unsafe code.
const COUNTERS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// The longest input. Longer ones are tried without libFuzzer, which would make few other inputs from them.
const LONGEST: &str = "65536";

/// Builds the programs, and writes the first inputs. Returns the folder of the programs.
pub fn build(campaign: &Campaign) -> Result<PathBuf, String> {
    run_command(Command::new(campaign.unmix_fuzz()).arg("corpus").arg(&campaign.corpus))?;
    let host = output_of(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("`rustc -vV` names no host")?;
    let folder = campaign.target.join("xtask-fuzz");
    // The target is named, so that build scripts and macros are built without counters.
    let mut build = cargo(["build", "--release", "--target", host, "--manifest-path"])?;
    build.arg(root()?.join("fuzz/Cargo.toml")).arg("--target-dir").arg(&folder);
    build.env("CARGO_ENCODED_RUSTFLAGS", COUNTERS.join("\u{1f}"));
    run_command(&mut build).map_err(|error| {
        format!(
            "{error}; libFuzzer needs a C++ compiler. Without one, `cargo xtask fuzz --plain` fuzzes without coverage"
        )
    })?;
    Ok(folder.join(host).join("release"))
}

/// Runs a job to its end.
pub fn start(campaign: &Campaign, programs: &Path, job: &Job) -> Result<Outcome, String> {
    let Job { target, number, seconds } = job;
    let failed = |error: std::io::Error| format!("{target}: {error}");
    let prefix = format!("{target}-{}-{number}-", campaign.seed);
    let log = campaign.target.join("xtask-fuzz").join(format!("{target}-{number}.log"));
    let mut command = Command::new(programs.join(format!("{target}{}", std::env::consts::EXE_SUFFIX)));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .args(["-print_final_stats=1", "-rss_limit_mb=4096", "-detect_leaks=0", "-timeout=120"])
        .arg(format!("-artifact_prefix={}/{prefix}", campaign.failures.display()))
        .arg(campaign.corpus.join(target))
        .env("TMPDIR", campaign.scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).map_err(failed)?);
    let status = command.status().map_err(failed)?;
    let said = String::from_utf8_lossy(&fs::read(&log).map_err(failed)?).into_owned();
    if status.success() {
        return outcome(&said).ok_or_else(|| format!("{target}: libFuzzer told no numbers; see {}", log.display()));
    }
    let kept = fs::read_dir(&campaign.failures).map_err(failed)?.flatten();
    let inputs = kept.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    let mut failure = format!("{target}: failed ({status}); all that libFuzzer said is in {}", log.display());
    for input in inputs {
        // The command ends with an error, which describes the input's failure in short.
        let shorter = output_of(Command::new(campaign.unmix_fuzz()).args(["minimize", target]).arg(input.path()));
        failure.push('\n');
        failure.push_str(shorter.as_ref().unwrap_or_else(|error| error).trim_end());
    }
    Err(failure)
}

/// The numbers in the output of libFuzzer.
fn outcome(said: &str) -> Option<Outcome> {
    let number = |text: &str, name: &str| text.split_once(name)?.1.split_whitespace().next()?.parse().ok();
    let executions = said.lines().rev().find_map(|line| number(line, "stat::number_of_executed_units:"))?;
    Some(Outcome { executions, covered: said.lines().rev().find_map(|line| number(line, " cov: ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_what_lib_fuzzer_says() {
        let said = "#1024\tNEW    cov: 310 ft: 402 corp: 20/1b\n#2048\tDONE   cov: 352 ft: 900 corp: 31/2b\n\
                    stat::number_of_executed_units: 2048\nstat::average_exec_per_sec:     100\n";
        assert_eq!(outcome(said), Some(Outcome { executions: 2048, covered: Some(352) }));
        assert_eq!(outcome("INFO: nothing"), None);
    }
}
