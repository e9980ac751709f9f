//! Other programs: cargo, and whatever is on the path.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub fn root() -> Result<PathBuf, String> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("start it through cargo: `cargo xtask`")?;
    let root = Path::new(&manifest).ancestors().nth(2).filter(|root| root.join("Cargo.lock").exists());
    root.map(Path::to_owned).ok_or_else(|| format!("no workspace two folders above {}", Path::new(&manifest).display()))
}

/// Where cargo puts what it builds.
pub fn target() -> Result<PathBuf, String> {
    Ok(root()?.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())))
}

/// Builds the workspace in the release profile and returns the path of the `unmix` command. It builds all of the
/// workspace, because otherwise wgpu would be built again with other features.
pub fn build_unmix() -> Result<PathBuf, String> {
    run(&mut cargo(["build", "--release", "--workspace"])?)?;
    Ok(target()?.join("release").join(format!("unmix{}", std::env::consts::EXE_SUFFIX)))
}

/// The cargo that started us, in the workspace's root.
pub fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Command, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root()?);
    Ok(command)
}

/// A command as one would type it, without its environment.
pub fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| match word.to_string_lossy() {
            word if word.is_empty() || word.contains(' ') => format!("'{word}'"),
            word => word.into_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Prints and runs a command. The command's output is shown.
pub fn run(command: &mut Command) -> Result<(), String> {
    println!("$ {}", words(command));
    let status = command.status().map_err(|e| format!("`{}` did not start: {e}", words(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", words(command))) }
}

/// Prints and runs a command. Its output is shown and handed to `read` line by line as it comes.
pub fn stream(command: &mut Command, mut read: impl FnMut(&str)) -> Result<(), String> {
    println!("$ {}", words(command));
    let failed = |e: std::io::Error| format!("no pipe for a program's output: {e}");
    // One pipe for both streams, so that the results of a program follow its name.
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let other = writer.try_clone().map_err(failed)?;
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stdout(other).stderr(writer);
    let spawned = command.spawn();
    // Our own copies of the pipe's end must be closed, or the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let failed = |e: std::io::Error| format!("`{}` could not be run: {e}", words(command));
    let mut child = spawned.map_err(failed)?;
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        read(&text);
        line.clear();
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", words(command))) }
}

/// What a command prints to its standard output.
pub fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|e| format!("`{}` did not start: {e}", words(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` failed ({}):\n{}", words(command), output.status, complaint.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command runs and succeeds. Its output is not shown.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Whether a program is on the path.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
