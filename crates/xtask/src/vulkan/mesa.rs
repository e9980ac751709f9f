//! Mesa's lavapipe from the system's packages: installed, or unpacked in the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{is_on_path, output_of, run, succeeds};
use crate::vulkan::Environment;

const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];
/// The driver's library within the packages.
const DRIVER: &str = "libvulkan_lvp.so";
/// The driver's manifest that we write once everything is unpacked.
const MANIFEST: &str = "lavapipe.json";

/// What `/etc/os-release` says of the system: its own name, then those that it is like.
pub struct System(Vec<String>);

impl System {
    pub fn read() -> Self {
        Self::parse(&fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    fn parse(os_release: &str) -> Self {
        let value = |key: &str| os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let names = [value("ID"), value("ID_LIKE")].into_iter().flatten();
        System(names.flat_map(|names| names.trim_matches(['"', '\'']).split_whitespace()).map(str::to_owned).collect())
    }

    fn is(&self, names: &[&str]) -> bool {
        self.0.iter().any(|name| names.iter().any(|other| name.starts_with(other)))
    }

    pub fn is_debian(&self) -> bool {
        self.is(&["debian", "ubuntu"])
    }

    /// What to do by hand.
    pub fn advice(&self) -> String {
        let command = if self.is_debian() {
            "apt-get install mesa-vulkan-drivers libvulkan1"
        } else if self.is(&["fedora", "rhel", "centos"]) {
            "dnf install mesa-vulkan-drivers vulkan-loader"
        } else if self.is(&["arch"]) {
            "pacman -S vulkan-swrast vulkan-icd-loader"
        } else if self.is(&["opensuse", "suse"]) {
            "zypper install libvulkan_lvp libvulkan1"
        } else if self.is(&["alpine"]) {
            "apk add mesa-vulkan-swrast vulkan-loader"
        } else {
            return "Install the Vulkan loader (libvulkan.so.1) and your GPU's Vulkan driver or Mesa's lavapipe".into();
        };
        format!("As root, run `{command}`")
    }
}

/// How packages may be installed.
pub enum Privilege {
    /// We are root.
    Root,
    /// sudo asks for no password.
    Sudo,
}

impl Privilege {
    /// Ours, if we have any.
    pub fn ours() -> Option<Self> {
        let id = output_of(Command::new("id").arg("-u")).unwrap_or_default();
        if id.trim() == "0" {
            Some(Privilege::Root)
        } else if is_on_path("sudo") && succeeds(Command::new("sudo").args(["-n", "true"])) {
            Some(Privilege::Sudo)
        } else {
            None
        }
    }

    fn apt_get(&self, args: &[&str]) -> Result<(), String> {
        let mut command = match self {
            Privilege::Root => Command::new("apt-get"),
            Privilege::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
                sudo
            }
        };
        run(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    }
}

/// Installs the packages for the whole system.
pub fn install(privilege: &Privilege) -> Result<(), String> {
    println!("Installing Mesa's lavapipe, a software Vulkan device:");
    privilege.apt_get(&["-qq", "update"])?;
    let mut args = vec!["-qq", "install", "-y", "--no-install-recommends"];
    args.extend(PACKAGES);
    privilege.apt_get(&args)
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
    fn systems_are_told_apart() {
        let debian = System::parse("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n");
        let mint = System::parse("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n");
        let fedora = System::parse("ID=fedora\n");
        let leap = System::parse("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n");
        assert!(debian.is_debian() && mint.is_debian() && !fedora.is_debian() && !leap.is_debian());
        assert!(fedora.advice().contains("dnf install"));
        assert!(leap.advice().contains("zypper install"));
        assert!(System::parse("").advice().contains("libvulkan.so.1"));
    }

    #[test]
    fn a_manifest_is_pointed_at_the_unpacked_library() {
        let manifest = "{\n \"ICD\": {\n  \"api_version\": \"1.3\",\n  \"library_path\": \"/usr/lib/x.so\"\n }\n}\n";
        let pointed = with_library(manifest, Path::new("/home/me/x.so")).unwrap();
        assert_eq!(pointed, manifest.replace("/usr/lib/x.so", "/home/me/x.so"));
        assert_eq!(with_library("{}", Path::new("/x.so")), None);
    }
}
