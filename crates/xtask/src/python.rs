//! Python: an interpreter of the system, and virtual environments with pinned packages.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{is_on_path, output_of, run};
use crate::system::{Packages, Privilege, System};

/// The variable that names an interpreter.
const VARIABLE: &str = "PYTHON";

/// Versions of Python 3 for which the packages of a file of requirements exist.
pub type Minors = RangeInclusive<u32>;

/// What most tools for developers take.
pub const OF_TOOLS: Minors = 11..=13;

/// Packages that bring Python and its module venv.
const PACKAGES: Packages = Packages {
    debian: "python3 python3-venv",
    fedora: "python3",
    arch: "python",
    suse: "python311",
    alpine: "python3",
};

/// The interpreter of a virtual environment with the packages of `requirements`. It is made again if that file, or the
/// variable PYTHON, has changed.
pub fn environment(work: &Path, requirements: &Path, minors: &Minors) -> Result<PathBuf, String> {
    let mut key = fs::read(requirements).map_err(|e| format!("cannot read {}: {e}", requirements.display()))?;
    key.extend(std::env::var(VARIABLE).unwrap_or_default().bytes());
    let folder = work.join(format!("python-{:016x}", fnv(&key)));
    let python = python_of(&folder);
    let ready = folder.join("ready");
    if ready.exists() {
        println!("Python packages: those of {}", folder.display());
        return Ok(python);
    }
    println!("Installing Python packages in {} (once)", folder.display());
    create(&folder, minors)?;
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
    run(command.arg(requirements))?;
    fs::write(&ready, "").map_err(|e| format!("cannot write {}: {e}", ready.display()))?;
    Ok(python)
}

/// Makes an empty virtual environment and returns its interpreter. Debian and Ubuntu have the module venv in a package
/// of its own, which is installed if this user may.
pub fn create(folder: &Path, minors: &Minors) -> Result<PathBuf, String> {
    if interpreter(minors).is_err() {
        install()?;
    }
    let python = interpreter(minors)?;
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))?;
    Ok(python_of(folder))
}

/// The interpreter of the virtual environment in a folder.
fn python_of(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// A Python for which all pinned packages exist, and which can make virtual environments: `$PYTHON`, or the first of some
/// usual names.
fn interpreter(minors: &Minors) -> Result<String, String> {
    let given = std::env::var(VARIABLE).ok();
    let names: Vec<String> = match given {
        Some(name) => vec![name],
        None => {
            let versions = minors.clone().rev().map(|minor| format!("python3.{minor}"));
            ["python3".to_owned()].into_iter().chain(versions).chain(["python".to_owned()]).collect()
        }
    };
    let version = |name: &String| {
        let mut command = Command::new(name);
        command.args(["-c", "import ensurepip, sys, venv; print('%d %d' % sys.version_info[:2])"]);
        let text = output_of(&mut command).ok()?;
        let (major, minor) = text.trim().split_once(' ')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let fits = |name: &&String| version(name).is_some_and(|(major, minor)| major == 3 && minors.contains(&minor));
    names.iter().find(fits).cloned().ok_or_else(|| {
        let range = format!("Python 3.{} to 3.{} with the module venv", minors.start(), minors.end());
        let by_hand = System::read().advice(&PACKAGES).unwrap_or_else(|| "Install one".to_owned());
        format!("none of {} is {range}. {by_hand}, or set {VARIABLE} to its path", names.join(", "))
    })
}

/// Installs Python and venv where that is possible. If it is not, the error of `interpreter` says what to do.
fn install() -> Result<(), String> {
    let debian = System::read().is_debian() && is_on_path("apt-get") && std::env::var_os(VARIABLE).is_none();
    let Some(privilege) = Privilege::ours().filter(|_| debian) else {
        return Ok(());
    };
    println!("Installing {}:", PACKAGES.debian);
    privilege.update()?;
    privilege.install(&PACKAGES.debian.split(' ').collect::<Vec<_>>())
}

/// The FNV-1a hash, which is the same in every version of Rust.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv;

    #[test]
    fn hashes_are_those_of_the_reference() {
        assert_eq!((fnv(b""), fnv(b"a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
    }
}
