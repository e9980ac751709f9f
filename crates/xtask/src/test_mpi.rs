//! `cargo xtask test-mpi`: `unmix-mpi` under mpirun, on this machine.

use std::process::Command;

use crate::failure::Failure;
use crate::process::{cargo, is_on_path, output_of, stream, succeeds};
use crate::system::{Packages, Privilege, System};
use crate::tally::Tally;

/// What `unmix-mpi` needs to be built and run: an MPI, and libclang to read its headers.
const PACKAGES: Packages = Packages {
    debian: "openmpi-bin libopenmpi-dev libclang-dev",
    fedora: "openmpi-devel clang-devel",
    arch: "openmpi clang",
    suse: "openmpi4-devel clang-devel",
    alpine: "openmpi-dev clang-dev",
};

/// Whether the tests run on this system. They look for the processes of a job in /proc.
pub const IS_POSSIBLE: bool = cfg!(target_os = "linux");

/// Runs the tests. Arguments go on to `cargo test`.
pub fn run(args: &[String]) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let result = tests(args, &mut tally);
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if result.is_ok() && tally.passed == 0 {
        return Err("no test of unmix-mpi has passed".to_owned().into());
    }
    Ok(result?)
}

/// Builds `unmix-mpi` and runs its tests.
pub fn tests(args: &[String], tally: &mut Tally) -> Result<(), String> {
    if !IS_POSSIBLE {
        return Err("the tests of unmix-mpi run on Linux only".to_owned());
    }
    ensure()?;
    // As a part of the workspace, so that most crates are those of the other tests.
    let words =
        ["test", "--release", "--workspace", "--features", "unmix-mpi/tests", "--no-fail-fast", "--test", "ranks"];
    let mut command = cargo(words)?;
    // One job at a time, because ranks wait for one another with their cores at work.
    command.env("RUST_TEST_THREADS", "1");
    command.args(args);
    stream(&mut command, |line| tally.read(line))
}

/// Makes sure that there are an MPI and libclang.
fn ensure() -> Result<(), String> {
    if there() {
        return Ok(());
    }
    let system = System::read();
    let advice = system.advice(&PACKAGES).unwrap_or_else(|| "Install an MPI and libclang".to_owned());
    println!("`unmix-mpi` needs an MPI (mpirun and mpicc) and libclang, which are not all there.");
    let privilege = Privilege::ours().filter(|_| system.is_debian() && is_on_path("apt-get"));
    let Some(privilege) = privilege else { return Err(format!("{advice}; then start again")) };
    // The lists may be there already.
    let _ = privilege.update();
    privilege.install(&PACKAGES.debian.split(' ').collect::<Vec<_>>())?;
    if there() { Ok(()) } else { Err("OpenMPI and libclang were installed, but do not answer".to_owned()) }
}

fn there() -> bool {
    ["mpirun", "mpicc"].iter().all(|program| succeeds(Command::new(program).arg("--version"))) && has_libclang()
}

/// Whether bindgen will find libclang. If this system does not list its libraries, bindgen says so itself.
fn has_libclang() -> bool {
    let is_libclang = |line: &str| line.trim().starts_with("libclang") && !line.contains("libclang-cpp");
    std::env::var_os("LIBCLANG_PATH").is_some()
        || output_of(Command::new("/sbin/ldconfig").arg("-p")).map_or(true, |all| all.lines().any(is_libclang))
}
