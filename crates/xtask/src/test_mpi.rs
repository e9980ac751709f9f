//! `cargo xtask test-mpi`: `unmix-mpi` under mpirun, on this machine.

use std::process::Command;

use crate::failure::Failure;
use crate::process::{cargo, is_on_path, stream, succeeds, target};
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

/// Builds `unmix-mpi` and runs its tests. Arguments go on to `cargo test`.
pub fn run(args: &[String]) -> Result<(), Failure> {
    ensure()?;
    let mut tally = Tally::default();
    // What reads MPI's headers changes features of crates that everything is built with. In a folder of its own, other builds stay valid.
    let folder = target()?.join("mpi");
    let words = ["test", "--release", "--package", "unmix-mpi", "--features", "mpi", "--no-fail-fast", "--target-dir"];
    let mut command = cargo(words)?;
    command.arg(folder).args(args);
    let result = stream(&mut command, |line| tally.read(line));
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.passed == 0 {
        return Err("no test of unmix-mpi has passed".to_owned().into());
    }
    Ok(result?)
}

/// Makes sure that there is an MPI.
fn ensure() -> Result<(), Failure> {
    if there() {
        return Ok(());
    }
    let system = System::read();
    let advice = system.advice(&PACKAGES).unwrap_or_else(|| "Install an MPI and libclang".to_owned());
    println!("No MPI answers (mpirun and mpicc), which `unmix-mpi` needs.");
    let privilege = Privilege::ours().filter(|_| system.is_debian() && is_on_path("apt-get"));
    let Some(privilege) = privilege else { return Err(format!("{advice}; then start again").into()) };
    // The lists may be there already.
    let _ = privilege.update();
    privilege.install(&PACKAGES.debian.split(' ').collect::<Vec<_>>())?;
    if there() { Ok(()) } else { Err("OpenMPI was installed, but mpirun and mpicc do not answer".to_owned().into()) }
}

fn there() -> bool {
    ["mpirun", "mpicc"].iter().all(|program| succeeds(Command::new(program).arg("--version")))
}
