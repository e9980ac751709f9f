//! Debian packages that are unpacked in the user's cache folder. The system is only read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{is_on_path, output_of, run};

/// Where packages come from.
pub enum Source {
    /// The system's own sources. Only what the system lacks is fetched.
    System,
    /// This suite of Debian, whatever the system is. Everything is fetched, including the C library.
    Suite(&'static str),
}

/// Variable that names a mirror of Debian, if the system's sources name none.
const MIRROR_VARIABLE: &str = "UNMIX_DEBIAN_MIRROR";
/// The keys that sign Debian's suites.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// `~/.cache/unmix/NAME`.
pub fn folder(name: &str) -> Result<PathBuf, String> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.map(|cache| cache.join("unmix").join(name)).ok_or_else(|| "neither XDG_CACHE_HOME nor HOME is set".into())
}

/// Whether packages can be fetched and unpacked here.
pub fn can_unpack() -> bool {
    is_on_path("apt-get") && is_on_path("dpkg-deb")
}

/// Downloads packages and the packages that they need, and unpacks them in `root` within `folder`. `folder` is complete
/// or not there.
pub fn unpack(folder: &Path, source: &Source, packages: &[&str]) -> Result<(), String> {
    let work = folder.with_extension(format!("new-{}", std::process::id()));
    let unpacked = fill(&work, source, packages).and_then(|()| {
        let file = |e| format!("cannot put {} in its place: {e}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(file)?;
        }
        fs::rename(&work, folder).map_err(file)
    });
    if unpacked.is_err() {
        let _ = fs::remove_dir_all(&work);
    }
    unpacked
}

fn fill(work: &Path, source: &Source, packages: &[&str]) -> Result<(), String> {
    let (lists, archives, root) = (work.join("lists"), work.join("archives"), work.join("root"));
    for folder in [&lists.join("partial"), &archives.join("partial"), &root] {
        fs::create_dir_all(folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    }
    let mut options = vec![
        format!("Dir::State::Lists={}", lists.display()),
        format!("Dir::Cache::Archives={}", archives.display()),
        "Dir::Cache::pkgcache=".to_owned(),
        "Dir::Cache::srcpkgcache=".to_owned(),
        // These are the system's locks, and the system is not changed.
        "Debug::NoLocking=1".to_owned(),
        // As root, apt would download as another user, who may not write here.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let mut install = vec!["-qq", "install", "-y", "--no-install-recommends", "--download-only"];
    match source {
        // Even if they are installed, because something of them must be missing.
        Source::System => install.push("--reinstall"),
        Source::Suite(suite) => options.extend(of_suite(suite, work)?),
    }
    install.extend(packages);
    let apt_get = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        run(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt_get(&["-qq", "update"])?;
    apt_get(&install)?;
    let packages: Vec<PathBuf> =
        entries(&archives).filter(|path| path.extension().is_some_and(|e| e == "deb")).collect();
    if packages.is_empty() {
        return Err("apt-get downloaded no packages".into());
    }
    for package in packages {
        let mut dpkg = Command::new("dpkg-deb");
        output_of(dpkg.arg("--extract").arg(&package).arg(&root))?;
    }
    for done in [lists, archives] {
        fs::remove_dir_all(&done).map_err(|e| format!("cannot delete {}: {e}", done.display()))?;
    }
    Ok(())
}

/// Options with which apt knows only one suite and takes nothing to be installed.
fn of_suite(suite: &str, work: &Path) -> Result<Vec<String>, String> {
    if !Path::new(KEYRING).is_file() {
        return Err(format!(
            "Debian's keys {KEYRING} are missing. As root, run `apt-get install debian-archive-keyring`"
        ));
    }
    let list = work.join("suite.list");
    let status = work.join("status");
    let given = std::env::var(MIRROR_VARIABLE).ok().filter(|mirror| !mirror.is_empty());
    let Some(mirror) = given.or_else(|| mirror(&system_sources()).map(str::to_owned)) else {
        return Err(format!("apt's sources name no mirror of Debian; put the address of one in {MIRROR_VARIABLE}"));
    };
    let line = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
    for (path, text) in [(&list, line.as_str()), (&status, "")] {
        fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(vec![
        format!("Dir::Etc::SourceList={}", list.display()),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        "Dir::Etc::Preferences=/dev/null".to_owned(),
        "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        format!("Dir::State::status={}", status.display()),
    ])
}

/// The text of all files that list apt's sources.
fn system_sources() -> String {
    let parts = entries(Path::new("/etc/apt/sources.list.d"));
    let mut files: Vec<PathBuf> = parts.chain([PathBuf::from("/etc/apt/sources.list")]).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n")
}

/// The first Debian mirror that apt's sources name.
fn mirror(sources: &str) -> Option<&str> {
    sources
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

pub fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The first file of a folder whose name begins with `start`.
pub fn find_starting(folder: &Path, start: &str) -> Option<PathBuf> {
    entries(folder).find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
}

/// A file of that name, in a folder or in those below it.
pub fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let direct = folder.join(name);
    if direct.is_file() {
        return Some(direct);
    }
    entries(folder).filter(|path| path.is_dir() && !path.is_symlink()).find_map(|below| find(&below, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_mirror_of_debian_is_used() {
        let new =
            "Types: deb\n# https://old.example/debian\nURIs: https://mirror.example/debian/ https://x.example/y\n";
        let old = "deb https://other.example/ubuntu noble main\ndeb [arch=amd64] https://m.example/debian sid main\n";
        assert_eq!(mirror(new), Some("https://mirror.example/debian/"));
        assert_eq!(mirror(old), Some("https://m.example/debian"));
        assert_eq!(mirror("deb https://mirror.example/ubuntu noble main"), None);
    }
}
