//! Direct3D's compilers, DXC and FXC, under Wine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packages::{Source, can_unpack, folder, unpack};
use crate::process::{is_on_path, run};
use crate::shader_check::verdict::{Verdicts, ask};

/// Debian's packages of Wine and of a compiler for Windows.
const PACKAGES: [&str; 2] = ["wine64", "gcc-mingw-w64-x86-64-win32"];
/// Libraries of the compilers.
const LIBRARIES: [&str; 2] = ["dxcompiler.dll", "d3dcompiler_47.dll"];
/// A library of Wine's own that Debian keeps elsewhere.
const ZLIB: &str = "zlib1.dll";
/// Seconds after which a compiler that has not come to its end is stopped.
const LIMIT: &str = "3600";

/// Both compilers, ready to run.
pub struct Direct3d {
    wine: PathBuf,
    libraries: PathBuf,
    /// Our program, with the compilers' libraries beside it.
    program: PathBuf,
    /// Wine's own files.
    prefix: PathBuf,
}

impl Direct3d {
    /// Unpacks Wine in the user's cache folder, and puts our program together in `work`. `dlls` is the folder of the
    /// compilers' libraries.
    pub fn ensure(work: &Path, source: &Path, dlls: &Path) -> Result<Self, String> {
        let root = wine()?;
        let zlib = root.join("usr/x86_64-w64-mingw32/lib").join(ZLIB);
        let folder = work.join("direct3d");
        fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
        for library in LIBRARIES.iter().map(|name| dlls.join(name)).chain([zlib]) {
            copy(&library, &folder)?;
        }
        let program = folder.join("hlsl.exe");
        let binaries = root.join("usr/bin");
        let compiler = binaries.join("x86_64-w64-mingw32-gcc-win32");
        let path = std::env::join_paths(
            [binaries].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let mut build = Command::new(compiler);
        build.args(["-O1", "-o"]).arg(&program).arg(source);
        run(build.env("PATH", path.map_err(|e| format!("{} cannot stand in PATH: {e}", root.display()))?))?;
        Ok(Direct3d {
            wine: root.join("usr/lib/wine/wine64"),
            libraries: root.join("usr/lib/x86_64-linux-gnu"),
            program,
            prefix: work.join("wine"),
        })
    }

    /// What DXC or FXC (`compiler`) says of files of HLSL with their entry points.
    pub fn compile(&self, compiler: &str, files: &[(PathBuf, String)]) -> Result<Verdicts, String> {
        // A shader on which FXC does not come to an end must not keep us for ever.
        let mut command = Command::new("timeout");
        command.arg(LIMIT).arg(&self.wine).arg(&self.program).arg(compiler);
        for (file, entry) in files {
            command.arg(file).arg(entry);
        }
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            // Neither .NET nor HTML nor a desktop is needed, and each would ask for a package.
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=;explorer.exe=")
            .env("LD_LIBRARY_PATH", &self.libraries);
        ask(&mut command)
    }
}

/// The root of the unpacked packages.
fn wine() -> Result<PathBuf, String> {
    let folder = folder("wine")?;
    let root = folder.join("root");
    let ready = folder.join("ready");
    if ready.is_file() {
        return Ok(root);
    }
    if !(cfg!(target_arch = "x86_64") && can_unpack() && is_on_path("timeout")) {
        return Err(
            "Wine comes from Debian's packages for x86-64 by apt-get and dpkg-deb; run this on Debian or Ubuntu, \
                    for example in a container"
                .to_owned(),
        );
    }
    println!(
        "Wine and a compiler for Windows are unpacked in {} (once, 150 MB to download, 900 MB on disk):",
        folder.display()
    );
    unpack(&folder, &Source::System, &PACKAGES)?;
    let failed = |e: std::io::Error| format!("cannot prepare Wine in {}: {e}", root.display());
    // Debian's start script looks for the server where the package would be installed.
    let server = root.join("usr/lib/wine/wineserver");
    fs::remove_file(&server).map_err(failed)?;
    symlink("wineserver64", &server).map_err(failed)?;
    copy(
        &root.join("usr/x86_64-w64-mingw32/lib").join(ZLIB),
        &root.join("usr/lib/x86_64-linux-gnu/wine/x86_64-windows"),
    )?;
    fs::write(&ready, "").map_err(failed)?;
    Ok(root)
}

/// Copies a file into a folder.
fn copy(file: &Path, folder: &Path) -> Result<(), String> {
    let name = file.file_name().ok_or_else(|| format!("{} is no file", file.display()))?;
    let copied = fs::copy(file, folder.join(name));
    copied.map(|_| ()).map_err(|e| format!("cannot copy {} to {}: {e}", file.display(), folder.display()))
}
