//! `cargo xtask test`: every test of the workspace, on a device that is there already or is made available.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process::{cargo, root, run as run_command, stream};
use crate::tally::Tally;
use crate::vulkan::{self, Environment};
use crate::{arithmetic, chromium, pytest, test_devices, test_mpi, test_python};

/// The features of tests that need a certain device. They are always chosen together, so that the tests are built once.
pub const SPECIAL_DEVICES: &str = "unmix-tests/cooperative,unmix-tests/noop-device";

/// Suites that every run must include, each with at least one passed test. In addition, every file in a `tests/` folder
/// must have run.
const NEEDED: [&str; 18] = [
    "xtask",
    "unmix_shader_stats",
    "unmix_kernels",
    "unmix_runtime",
    "unmix_interpret",
    "files",
    "kernels",
    "fits",
    "golden",
    "adversarial",
    "real_activations",
    "encode",
    "concepts",
    "lens",
    "exports",
    "report",
    "doc unmix",
    pytest::SUITE,
];

pub fn run(args: &[String]) -> Result<(), Failure> {
    let device = vulkan::ensure_device()?;
    let runtime_folder = RuntimeFolder::create()?;
    let mut environment = device;
    if let Some(folder) = &runtime_folder {
        environment.push(("XDG_RUNTIME_DIR", folder.0.clone().into()));
    }
    let mut tally = Tally::default();
    let mut problems = Vec::new();
    if chromium::is_needed(args) {
        // Without a browser, the other tests still say something.
        problems.extend(chromium::ensure().err());
    }
    // Tests of other packages start the `unmix` command, but `cargo test` builds it only for tests of its own package.
    // There is no `--package`, so that the dependencies are those of `cargo run` and of the tests.
    run_command(&mut cargo(["build", "--release", "--bin", "unmix"])?)?;
    for arguments in runs(args) {
        let mut command = cargo(arguments)?;
        command.envs(environment.iter().cloned());
        problems.extend(stream(&mut command, |line| tally.read(line)).err());
    }
    if args.is_empty() {
        for variable in arithmetic::others() {
            problems.extend(numeric(variable, &environment, &mut tally).err());
        }
        problems.extend(cooperative(&environment, &mut tally).err());
        if test_devices::has_noop_device() {
            problems.extend(test_devices::on_noop_device(&mut tally).err());
        }
    }
    if args.is_empty() {
        for example in names_in(&root()?.join("crates/api/examples")) {
            let mut command = cargo(["run", "--release", "--example", &example])?;
            problems.extend(run_command(command.envs(environment.iter().cloned())).err());
        }
        problems.extend(test_python::quick(&environment, &[], &mut tally).err());
    }
    if args.is_empty() && test_mpi::IS_POSSIBLE {
        problems.extend(test_mpi::tests(&[], &mut tally).err());
    }
    problems.extend(tally.crashed().map(|suite| format!("{suite} ended without a result")));
    if args.is_empty() {
        problems.extend(missing(&tally, &test_files(&root()?)));
    } else if tally.passed + tally.failed == 0 {
        problems.push("no test was selected".to_owned());
    }
    conclude(&tally, &problems)
}

/// The arguments of the calls of cargo.
fn runs(args: &[String]) -> Vec<Vec<String>> {
    let call = |words: &[&str]| ["test", "--release"].iter().chain(words).map(|w| (*w).to_owned()).collect::<Vec<_>>();
    if args.is_empty() {
        return vec![
            // Not --all-targets, because that would also run the benchmarks.
            call(&["--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]),
            call(&["--workspace", "--no-fail-fast", "--doc"]),
        ];
    }
    let own = args.iter().take_while(|arg| *arg != "--");
    let selects = |arg: &String| {
        arg.starts_with("-p")
            || arg.starts_with("--package")
            || arg == "--workspace"
            || arg.starts_with("--manifest-path")
    };
    let mut arguments = call(if own.clone().any(selects) { &[] } else { &["--workspace"] });
    arguments.extend(args.iter().cloned());
    vec![arguments]
}

/// Runs the numeric tests again with the arithmetic of the CPU that a variable asks for. What GPUs compute stays the same.
fn numeric((name, value): (&str, &str), environment: &Environment, tally: &mut Tally) -> Result<(), String> {
    let mut words = ["test", "--release", "--workspace", "--no-fail-fast", "--lib"].map(str::to_owned).to_vec();
    words.extend(arithmetic::SUITES.iter().flat_map(|suite| ["--test".to_owned(), (*suite).to_owned()]));
    words.push("--".to_owned());
    words.extend(arithmetic::ON_GPUS.iter().flat_map(|part| ["--skip".to_owned(), (*part).to_owned()]));
    let mut command = cargo(words)?;
    let (engines, cpu) = arithmetic::CPU_ENGINE;
    command.envs(environment.iter().cloned()).env(name, value).env(engines, cpu);
    println!("The numeric tests run again with {name}={value}, on the CPU engine.");
    tally.condition = format!(" with {name}={value}");
    let result =
        stream(&mut command, |line| tally.read(line)).map_err(|problem| format!("with {name}={value}, {problem}"));
    tally.condition.clear();
    result
}

/// Runs the tests of kernels on cooperative matrices, which few devices have, on a lavapipe that has them. If that
/// lavapipe is not to be had, they run on the device of the other tests, and fail with a message if it has no such
/// matrices.
fn cooperative(environment: &Environment, tally: &mut Tally) -> Result<(), String> {
    let mut words = vec!["test".to_owned()];
    let mut environment = environment.clone();
    match vulkan::COOPERATIVE.ensure() {
        Ok(mesa) => {
            println!("Tests on cooperative matrices run on {}.", mesa.folder.display());
            words.extend(vulkan::runner(&mesa.launcher)?);
            environment.extend(mesa.environment);
        }
        Err(reason) => println!("Tests on cooperative matrices run on the device of the other tests: {reason}."),
    }
    words.extend(["--release", "--workspace", "--features", SPECIAL_DEVICES].map(str::to_owned));
    words.extend(["--test", "cooperative"].map(str::to_owned));
    let mut command = cargo(words)?;
    // This variable would choose among the devices of the other tests.
    command.env_remove("WGPU_ADAPTER_NAME");
    stream(command.envs(environment), |line| tally.read(line))
}

/// The names of all files of integration tests, of every package.
fn test_files(root: &Path) -> Vec<String> {
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten().flatten().map(|entry| entry.path());
    let crates = crates.filter(|folder| test_mpi::IS_POSSIBLE || !folder.ends_with("distributed"));
    let packages = crates.chain(["shaders", "tests", "benches"].map(|name| root.join(name)));
    let names = packages.flat_map(|package| names_in(&package.join("tests")));
    names.filter(|name| name != "noop_device" || test_devices::has_noop_device()).collect()
}

/// NAME for each `NAME.rs` and `NAME/main.rs` in a folder, as cargo sees them.
fn names_in(folder: &Path) -> Vec<String> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let programs = paths.filter(|path| path.join("main.rs").exists() || path.extension().is_some_and(|e| e == "rs"));
    let mut names: Vec<String> = programs.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

fn missing(tally: &Tally, files: &[String]) -> Vec<String> {
    let needed = NEEDED.iter().copied();
    let others = files.iter().map(String::as_str).filter(|file| !NEEDED.contains(file));
    needed
        .chain(others)
        .filter_map(|suite| match tally.passed_in(suite) {
            None => Some(format!("the tests `{suite}` did not run")),
            Some(0) => Some(format!("of the tests `{suite}` none passed")),
            Some(_) => None,
        })
        .collect()
}

/// Prints the summary. Its last line has the counts.
fn conclude(tally: &Tally, problems: &[String]) -> Result<(), Failure> {
    println!();
    for failure in &tally.failures {
        println!("failed: {failure}");
    }
    for problem in problems {
        println!("problem: {problem}");
    }
    if tally.ignored > 0 {
        println!("{} ignored", tally.ignored);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if problems.is_empty() && tally.failed == 0 { Ok(()) } else { Err("the tests failed".to_owned().into()) }
}

/// A folder for `XDG_RUNTIME_DIR`, because Mesa complains without one. It is removed with the value.
struct RuntimeFolder(PathBuf);

impl RuntimeFolder {
    /// None if the system has provided one.
    fn create() -> Result<Option<Self>, String> {
        if !cfg!(target_os = "linux") || std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|value| !value.is_empty()) {
            return Ok(None);
        }
        let folder = std::env::temp_dir().join(format!("unmix-xtask-{}", std::process::id()));
        create_private(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
        Ok(Some(RuntimeFolder(folder)))
    }
}

impl Drop for RuntimeFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(args: &[&str]) -> Vec<String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        runs(&args).iter().map(|call| call.join(" ")).collect()
    }

    #[test]
    fn without_arguments_everything_but_benchmarks_runs() {
        let calls = joined(&[]);
        assert!(calls.iter().all(|call| call.starts_with("test --release --workspace")));
        assert!(calls.iter().all(|call| !call.contains("bench") && !call.contains("all-targets")));
        assert!(calls[1].ends_with("--doc"));
    }

    #[test]
    fn arguments_go_on_to_cargo() {
        assert_eq!(joined(&["--", "gram"]), ["test --release --workspace -- gram"]);
        assert_eq!(joined(&["-p", "unmix", "--lib"]), ["test --release -p unmix --lib"]);
        assert_eq!(joined(&["--", "-p"]), ["test --release --workspace -- -p"]);
    }

    #[test]
    fn tests_that_did_not_run_are_a_problem() {
        let mut tally = Tally::default();
        for suite in NEEDED.iter().filter(|suite| **suite != "golden") {
            match suite.strip_prefix("doc ") {
                Some(name) => tally.read(&format!("   Doc-tests {name}")),
                None => tally.read(&format!("     Running x (target/release/deps/{suite}-00ff)")),
            }
            tally.read("test result: ok. 1 passed; 0 failed; 0 ignored");
        }
        tally.read("     Running tests/extra.rs (target/release/deps/extra-00ff)");
        tally.read("test result: ok. 0 passed; 0 failed; 0 ignored");
        let problems = missing(&tally, &["extra".to_owned(), "golden".to_owned()]);
        assert_eq!(problems, ["the tests `golden` did not run", "of the tests `extra` none passed"]);
    }
}
