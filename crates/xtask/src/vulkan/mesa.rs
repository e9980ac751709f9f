//! Mesa's lavapipe from the system's packages: installed, or unpacked in the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output_of, run};
use crate::system::{Packages, Privilege, System};
use crate::vulkan::Environment;

const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];
/// What brings a software device elsewhere.
const ELSEWHERE: Packages = Packages {
    debian: "mesa-vulkan-drivers libvulkan1",
    fedora: "mesa-vulkan-drivers vulkan-loader",
    arch: "vulkan-swrast vulkan-icd-loader",
    suse: "libvulkan_lvp libvulkan1",
    alpine: "mesa-vulkan-swrast vulkan-loader",
};
/// The driver's library within the packages.
const DRIVER: &str = "libvulkan_lvp.so";
/// The driver's manifest that we write once everything is unpacked.
const MANIFEST: &str = "lavapipe.json";

/// What to do by hand.
pub fn advice(system: &System) -> String {
    system.advice(&ELSEWHERE).unwrap_or_else(|| {
        "Install the Vulkan loader (libvulkan.so.1) and your GPU's Vulkan driver or Mesa's lavapipe".into()
    })
}

/// Installs the packages for the whole system.
pub fn install(privilege: &Privilege) -> Result<(), String> {
    println!("Installing Mesa's lavapipe, a software Vulkan device:");
    privilege.update()?;
    privilege.install(&PACKAGES)
}

/// `~/.cache/unmix/mesa`.
fn folder() -> Result<PathBuf, String> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.map(|cache| cache.join("unmix").join("mesa")).ok_or_else(|| "neither XDG_CACHE_HOME nor HOME is set".into())
}

/// The environment of a lavapipe that [`unpack`] has put in place.
pub fn unpacked_earlier() -> Option<Environment> {
    let folder = folder().ok()?;
    environment(&folder).filter(|_| folder.join(MANIFEST).exists())
}

fn environment(folder: &Path) -> Option<Environment> {
    let mut libraries = vec![find(&folder.join("root"), DRIVER)?.parent()?.to_owned()];
    let others = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // An empty entry would mean the current folder.
    libraries.extend(std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty()));
    Some(vec![
        ("VK_DRIVER_FILES", folder.join(MANIFEST).into()),
        // The name that loaders before 1.3.207 know.
        ("VK_ICD_FILENAMES", folder.join(MANIFEST).into()),
        ("LD_LIBRARY_PATH", std::env::join_paths(libraries).ok()?),
    ])
}

/// Downloads the packages, and those that they need and the system lacks, and unpacks them in the user's cache folder. The
/// system is only read: its package sources and the list of what is installed.
pub fn unpack() -> Result<Environment, String> {
    let folder = folder()?;
    let work = folder.with_extension(format!("new-{}", std::process::id()));
    println!("Unpacking Mesa's lavapipe, a software Vulkan device, in {}:", folder.display());
    let unpacked = fill(&work).and_then(|()| {
        let file = |e| format!("cannot put {} in its place: {e}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(file)?;
        }
        fs::rename(&work, &folder).map_err(file)
    });
    if unpacked.is_err() {
        let _ = fs::remove_dir_all(&work);
    }
    unpacked?;
    let root = folder.join("root");
    let lacks = |what: &str| format!("the package {} holds no {what}", PACKAGES[0]);
    let driver = find(&root, DRIVER).ok_or_else(|| lacks(DRIVER))?;
    let manifests = root.join("usr/share/vulkan/icd.d");
    let manifest = find_starting(&manifests, "lvp_icd").ok_or_else(|| lacks("manifest lvp_icd"))?;
    let text = fs::read_to_string(&manifest).map_err(|e| format!("cannot read {}: {e}", manifest.display()))?;
    let text = with_library(&text, &driver).ok_or_else(|| format!("{} names no library", manifest.display()))?;
    // The last file: what has it is whole.
    let written = folder.join(MANIFEST);
    fs::write(&written, text).map_err(|e| format!("cannot write {}: {e}", written.display()))?;
    environment(&folder).ok_or_else(|| lacks(DRIVER))
}

fn fill(work: &Path) -> Result<(), String> {
    let (lists, archives, root) = (work.join("lists"), work.join("archives"), work.join("root"));
    for folder in [&lists.join("partial"), &archives.join("partial"), &root] {
        fs::create_dir_all(folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    }
    let apt_get = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        for option in [
            format!("Dir::State::Lists={}", lists.display()),
            format!("Dir::Cache::Archives={}", archives.display()),
            "Dir::Cache::pkgcache=".to_owned(),
            "Dir::Cache::srcpkgcache=".to_owned(),
            // The locks are the system's, which is not changed.
            "Debug::NoLocking=1".to_owned(),
            // As root, apt would download as another user, who may not write here.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        run(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt_get(&["-qq", "update"])?;
    // Even if they are installed: as no device answers, something of them must be missing.
    let mut args = vec!["-qq", "install", "-y", "--no-install-recommends", "--reinstall", "--download-only"];
    args.extend(PACKAGES);
    apt_get(&args)?;
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

/// A driver's manifest with its library at `library`.
fn with_library(manifest: &str, library: &Path) -> Option<String> {
    let (before, rest) = manifest.split_once("\"library_path\"")?;
    let mut parts = rest.splitn(3, '"');
    let (colon, _, after) = (parts.next()?, parts.next()?, parts.next()?);
    let escaped = library.to_str()?.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("{before}\"library_path\"{colon}\"{escaped}\"{after}"))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn find_starting(folder: &Path, start: &str) -> Option<PathBuf> {
    entries(folder).find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
}

/// A file of that name in a folder or those below it.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
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
    fn advice_names_the_packages_of_the_system_or_what_is_missing() {
        assert!(advice(&System::parse("ID=fedora\n")).contains("dnf install mesa-vulkan-drivers"));
        assert!(advice(&System::parse("")).contains("libvulkan.so.1"));
    }

    #[test]
    fn a_manifest_is_pointed_at_the_unpacked_library() {
        let manifest = "{\n \"ICD\": {\n  \"api_version\": \"1.3\",\n  \"library_path\": \"/usr/lib/x.so\"\n }\n}\n";
        let pointed = with_library(manifest, Path::new("/home/me/x.so")).unwrap();
        assert_eq!(pointed, manifest.replace("/usr/lib/x.so", "/home/me/x.so"));
        assert_eq!(with_library("{}", Path::new("/x.so")), None);
    }
}
