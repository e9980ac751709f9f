//! `cargo xtask package`: every published crate, in the form in which it would be uploaded.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::process::{cargo, output_of, root, run as run_command};

/// The published crates and their folders. Dependencies come first.
const PUBLISHED: [(&str, &str); 8] = [
    ("unmix-shaders", "shaders"),
    ("unmix-kernels", "crates/kernels"),
    ("unmix-runtime", "crates/runtime"),
    ("unmix", "crates/api"),
    ("unmix-data", "crates/data"),
    ("unmix-fitting", "crates/fitting"),
    ("unmix-interpret", "crates/interpret"),
    ("unmix-cli", "crates/cli"),
];

/// The largest package that crates.io takes.
const MOST_BYTES: u64 = 10 << 20;

pub fn run(args: &[String]) -> Result<(), Failure> {
    let verify = match args {
        [] => true,
        [flag] if flag == "--no-verify" => false,
        _ => return Err(Failure::Usage(format!("`package` takes no arguments {}", args.join(" ")))),
    };
    let root = root()?;
    let mut problems = Vec::new();
    for (package, folder) in PUBLISHED {
        let list = output_of(&mut cargo(["package", "--allow-dirty", "--list", "--package", package])?)?;
        let packed: Vec<String> = list.lines().map(|line| line.replace('\\', "/")).collect();
        let needed = needed(package, &root.join(folder))?;
        let missing: Vec<&String> = needed.iter().filter(|file| !packed.contains(file)).collect();
        println!("{package}: {} files, {} needed ones looked for", packed.len(), needed.len());
        problems.extend(missing.iter().map(|file| format!("{package} is packaged without {file}")));
    }
    if !problems.is_empty() {
        return Err(problems.join("\nxtask: ").into());
    }
    let mut arguments = vec!["package", "--allow-dirty"];
    arguments.extend(PUBLISHED.iter().flat_map(|(package, _)| ["--package", package]));
    if !verify {
        arguments.push("--no-verify");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = root.join(target).join("xtask-package");
    let mut command = cargo(&arguments)?;
    run_command(command.arg("--target-dir").arg(&target))?;
    let version = version(&root)?;
    for (package, _) in PUBLISHED {
        let file = target.join("package").join(format!("{package}-{version}.crate"));
        let bytes = fs::metadata(&file).map_err(|e| format!("no package {}: {e}", file.display()))?.len();
        println!("{package}: {:.2} MiB", bytes as f64 / f64::from(1 << 20));
        if bytes > MOST_BYTES {
            problems.push(format!("{package} is larger than the 10 MiB that crates.io takes"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\nxtask: ").into()) }
}

/// Files that must be in the package, relative to the crate's folder.
fn needed(package: &str, folder: &Path) -> Result<Vec<String>, String> {
    let mut files = vec!["Cargo.toml".to_owned(), "README.md".to_owned()];
    match package {
        // The sources of all kernels, and what they import.
        "unmix-shaders" => {
            let shaders = below(folder, "", &|name| name.ends_with(".wgsl"))?;
            if shaders.is_empty() {
                return Err(format!("no shaders in {}", folder.display()));
            }
            files.extend(shaders);
        }
        // The demo's activations and tokens, their licence and provenance.
        "unmix-cli" => {
            files.extend(["README.md", "activations.safetensors", "tokens.json"].map(|f| format!("data/demo/{f}")));
            files.extend(below(&folder.join("data"), "data/", &|_| true)?);
        }
        _ => {}
    }
    // All files, not only Rust sources: the report's page and the steering script are built in.
    files.extend(below(&folder.join("src"), "src/", &|_| true)?);
    files.sort();
    files.dedup();
    Ok(files)
}

/// Files in a folder and in those below it whose names fit. Parts of a path are separated by `/`.
fn below(folder: &Path, prefix: &str, fits: &dyn Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    let failed = |e: std::io::Error| format!("cannot list {}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            files.extend(below(&entry.path(), &format!("{prefix}{name}/"), fits)?);
        } else if fits(&name) {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(files)
}

/// The workspace's version.
fn version(root: &Path) -> Result<String, String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).map_err(|e| format!("cannot read Cargo.toml: {e}"))?;
    let package = manifest.split_once("[workspace.package]").map(|(_, rest)| rest);
    package
        .and_then(|package| package.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"')))
        .map(str::to_owned)
        .ok_or_else(|| "Cargo.toml names no version".to_owned())
}
