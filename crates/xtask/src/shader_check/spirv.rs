//! `spirv-val`, of Debian's package spirv-tools. It comes from a newer Debian than the system may be, because older ones
//! do not know cooperative matrices.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::packages::{Source, can_unpack, find, find_starting, folder, unpack};
use crate::process::output_of;
use crate::shader_check::verdict::{Verdict, Verdicts};

const SUITE: &str = "trixie";
const PACKAGE: &str = "spirv-tools";

/// What `spirv-val` says of SPIR-V.
pub fn validate(files: &[PathBuf]) -> Result<Verdicts, String> {
    let folder = folder("spirv-tools")?;
    if !folder.exists() {
        if !can_unpack() {
            return Err(
                "spirv-val comes from Debian's packages by apt-get and dpkg-deb, which this system lacks".into()
            );
        }
        println!("spirv-val of Debian {SUITE} is unpacked in {} (once)", folder.display());
        unpack(&folder, &Source::Suite(SUITE), &[PACKAGE])?;
    }
    let lacks = |what: &str| format!("{} holds no {what}; delete it and start again", folder.display());
    let root = folder.join("root");
    let program = find(&root, "spirv-val").ok_or_else(|| lacks("spirv-val"))?;
    let libraries = find(&root, "libc.so.6").ok_or_else(|| lacks("C library"))?;
    let libraries = libraries.parent().ok_or_else(|| lacks("C library"))?;
    let linker = find_starting(libraries, "ld-linux").ok_or_else(|| lacks("dynamic linker"))?;
    let validate = |file: &PathBuf| {
        let start = Instant::now();
        let mut command = Command::new(&linker);
        command.arg("--library-path").arg(libraries).arg(&program).args(["--target-env", "vulkan1.3"]);
        let outcome = output_of(command.arg(file));
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let message = outcome.as_ref().err().map_or_else(String::new, |words| words.replace('\n', " "));
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (stem, Verdict { is_good: outcome.is_ok(), milliseconds, message })
    };
    Ok(files.iter().map(validate).collect())
}
