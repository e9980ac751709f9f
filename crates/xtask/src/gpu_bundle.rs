//! `cargo xtask gpu-bundle`: one folder that measures unmix on a Linux machine with an NVIDIA driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::{build_unmix, is_on_path, output_of, root, run as run_command, target};
use crate::record::commit;
use crate::vulkan::loader;

/// Name of the folder, and of the folder within an archive.
const NAME: &str = "unmix-gpu-bundle";
/// The file by which an earlier bundle, which may be replaced, is recognised.
const MARK: &str = "about.json";
/// Most bytes that the bundle may have.
const LIMIT: u64 = 60_000_000;
/// Scripts of `compare` that are part of the bundle.
const SCRIPTS: [&str; 7] =
    ["machine.py", "matrices.py", "published.py", "runs.py", "summary.py", "test_published.py", "worker.py"];

pub fn run(args: &[String]) -> Result<(), Failure> {
    let out = out(args).map_err(Failure::Usage)?;
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("a bundle is made on Linux on x86-64, the system that it is for".to_owned().into());
    }
    if let Some(missing) = ["objdump", "tar"].into_iter().find(|program| !is_on_path(program)) {
        return Err(
            format!("{missing} is not on the path; on Debian and Ubuntu: `apt-get install binutils tar`").into()
        );
    }
    let work = target()?.join("xtask-gpu-bundle");
    let out = out.unwrap_or_else(|| target_file(&work));
    let folder = if is_archive(&out) { work.join(NAME) } else { out.clone() };
    clear(&folder)?;
    let root = root()?;
    let unmix = build_unmix()?;
    let loader = loader(&work.join("loader"))?;
    fill(&folder, &root, &unmix, &loader)?;

    let size = size(&folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    if size > LIMIT {
        return Err(format!("{} has {size} bytes, more than the {LIMIT} allowed", folder.display()).into());
    }
    let mut shown = format!("{:.1} MB", size as f64 / 1e6);
    if is_archive(&out) {
        let mut tar = Command::new("tar");
        run_command(tar.arg("-czf").arg(&out).arg("-C").arg(&work).arg(NAME))?;
        let packed = fs::metadata(&out).map_err(|e| format!("cannot read {}: {e}", out.display()))?.len();
        shown = format!("{:.1} MB, {shown} unpacked", packed as f64 / 1e6);
    }
    println!("\n{}: {shown}", out.display());
    print!("{}", fs::read_to_string(folder.join("README.txt")).map_err(|e| format!("cannot read README.txt: {e}"))?);
    Ok(())
}

/// What `--out` says.
fn out(args: &[String]) -> Result<Option<PathBuf>, String> {
    match args {
        [] => Ok(None),
        [name, path] if name == "--out" => Ok(Some(path.into())),
        [name] if name == "--out" => Err("--out needs a value".to_owned()),
        [name, ..] if name == "--out" => Err(format!("`gpu-bundle` takes no argument {:?}", args[2])),
        [other, ..] => Err(format!("`gpu-bundle` takes no argument {other:?}")),
    }
}

fn target_file(work: &Path) -> PathBuf {
    work.join(format!("{NAME}.tar.gz"))
}

fn is_archive(path: &Path) -> bool {
    path.as_os_str().to_string_lossy().ends_with(".tar.gz")
}

/// Makes the folder empty. A folder that holds anything but an earlier bundle is refused.
fn clear(folder: &Path) -> Result<(), String> {
    let file = |e| format!("cannot make {} empty: {e}", folder.display());
    if folder.join(MARK).exists() {
        fs::remove_dir_all(folder).map_err(file)?;
    }
    fs::create_dir_all(folder).map_err(file)?;
    match fs::read_dir(folder).map_err(file)?.next() {
        None => Ok(()),
        Some(_) => Err(format!("{} is neither empty nor an earlier bundle; give another folder", folder.display())),
    }
}

fn fill(folder: &Path, root: &Path, unmix: &Path, loader: &Path) -> Result<(), String> {
    let copy = |from: &Path, to: &str| {
        let to = folder.join(to);
        to.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::copy(from, &to))
            .map_err(|e| format!("cannot copy {} to {}: {e}", from.display(), to.display()))
    };
    copy(unmix, "unmix")?;
    copy(loader, "lib/libvulkan.so.1")?;
    copy(&root.join("crates/cli/data/demo/activations.safetensors"), "data/activations.safetensors")?;
    for script in SCRIPTS {
        copy(&root.join("crates/xtask/compare").join(script), &format!("python/{script}"))?;
    }
    for name in ["run.py", "run.sh"] {
        copy(&root.join("crates/xtask/bundle").join(name), name)?;
    }
    let golden = root.join("tests/data/golden");
    let entries = fs::read_dir(&golden).map_err(|e| format!("cannot read {}: {e}", golden.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        copy(&path, &format!("golden/{}", path.file_name().unwrap_or_default().display()))?;
    }

    let symbols = |file: &Path| output_of(Command::new("objdump").arg("-T").arg(file));
    let needs = [glibc(&symbols(unmix)?), glibc(&symbols(loader)?)].into_iter().max().unwrap_or_default();
    let glibc = needs.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    let (commit, rustc) = (commit(root), output_of(Command::new("rustc").arg("--version"))?);
    let about = format!("{{\"commit\": {commit:?}, \"rustc\": {:?}, \"glibc\": {glibc:?}}}\n", rustc.trim());
    let write = |name: &str, text: String| {
        fs::write(folder.join(name), text).map_err(|e| format!("cannot write {name} in {}: {e}", folder.display()))
    };
    write("README.txt", readme(&commit, &glibc))?;
    write(MARK, about)
}

fn readme(commit: &str, glibc: &str) -> String {
    format!(
        "
Measures unmix on a GPU. Needs Linux on x86-64 with glibc {glibc} or later, an NVIDIA driver with its Vulkan part, and
Python 3.10 or later with numpy; with torch as well, the published iteration is timed on the same GPU.

    ./run.sh                    everything; some minutes, and 2 GB of disk in ./work
    ./run.sh --quick            the same on small matrices, to see that it works
    ./run.sh --engine cpu       without a GPU; says so in the result
    ./run.sh --help             all options

It checks devices (unmix doctor), times the stages of an iteration against the device's bandwidth and peak, fits the
same matrices with unmix and PyTorch, and writes all of it to result.json, to be kept or sent back.

unmix: MIT OR Apache-2.0, {commit}. lib/libvulkan.so.1: Khronos' Vulkan loader, Apache-2.0; used where there is none.
"
    )
}

/// The newest version of glibc whose symbols a library or program needs, according to the output of `objdump -T`.
fn glibc(symbols: &str) -> Vec<u32> {
    let versions = symbols.split("GLIBC_").skip(1).map(|rest| {
        let number: &str = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        number.split('.').filter_map(|part| part.parse().ok()).collect()
    });
    versions.max().unwrap_or_default()
}

/// Bytes of all files in a folder.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_found() {
        let symbols = "0000000000000000      DF *UND*  0000000000000000 (GLIBC_2.9)  pipe2\n\
                       0000000000000000      DF *UND*  0000000000000000 (GLIBC_2.34) pthread_create\n\
                       0000000000000000      DF *UND*  0000000000000000 (GLIBC_2.2.5) free\n\
                       0000000000000000      DF *UND*  0000000000000000 (GCC_3.0) _Unwind_Resume\n";
        assert_eq!(glibc(symbols), [2, 34]);
        assert_eq!(glibc("statically linked"), [] as [u32; 0]);
    }

    #[test]
    fn where_it_goes_is_read() {
        let parse = |line: &str| out(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("--out a.tar.gz"), Ok(Some("a.tar.gz".into())));
        assert!(parse("--out").unwrap_err().contains("needs a value"));
        assert!(parse("--out a b").unwrap_err().contains("\"b\""));
        assert!(parse("a").unwrap_err().contains("\"a\""));
        assert!(is_archive(Path::new("x/a.tar.gz")) && !is_archive(Path::new("x/a")));
    }

    #[test]
    fn a_folder_of_others_is_not_emptied() {
        let folder = std::env::temp_dir().join(format!("unmix-bundle-{}", std::process::id()));
        let result = clear(&folder).and_then(|()| {
            fs::write(folder.join("precious"), "").unwrap();
            clear(&folder)
        });
        assert!(result.unwrap_err().contains("neither empty"));
        fs::write(folder.join(MARK), "").unwrap();
        assert_eq!(clear(&folder), Ok(()));
        assert!(!folder.join("precious").exists());
        fs::remove_dir(&folder).unwrap();
    }
}
