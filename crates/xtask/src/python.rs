//! Python: an interpreter of the system, and virtual environments with pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output_of, run};

/// The interpreter of a virtual environment with the packages of `requirements`. It is made again if that file has
/// changed.
pub fn environment(work: &Path, requirements: &Path) -> Result<PathBuf, String> {
    let text = fs::read(requirements).map_err(|e| format!("cannot read {}: {e}", requirements.display()))?;
    let folder = work.join(format!("python-{:016x}", fnv(&text)));
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let ready = folder.join("ready");
    if ready.exists() {
        println!("Python packages: those of {}", folder.display());
        return Ok(python);
    }
    let system = interpreter()?;
    println!("Installing Python packages in {} (once)", folder.display());
    run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder)).map_err(|problem| {
        format!("{problem}; is the module venv there? On Debian and Ubuntu: `apt-get install python3-venv`")
    })?;
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
    run(command.arg(requirements))?;
    fs::write(&ready, "").map_err(|e| format!("cannot write {}: {e}", ready.display()))?;
    Ok(python)
}

/// A Python for which all pinned packages exist: `$PYTHON`, or the first of some usual names.
fn interpreter() -> Result<String, String> {
    let given = std::env::var("PYTHON").ok();
    let names = match &given {
        Some(name) => vec![name.as_str()],
        None => vec!["python3", "python3.13", "python3.12", "python3.11", "python"],
    };
    let version = |name: &str| {
        let mut command = Command::new(name);
        command.args(["-c", "import sys; print('%d %d' % sys.version_info[:2])"]);
        let text = output_of(&mut command).ok()?;
        let (major, minor) = text.trim().split_once(' ')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let fits = |name: &&&str| version(name).is_some_and(|version| ((3, 11)..=(3, 13)).contains(&version));
    names.iter().find(fits).map(|name| (*name).to_owned()).ok_or_else(|| {
        format!("none of {} is Python 3.11 to 3.13; install one, or set PYTHON to its path", names.join(", "))
    })
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
