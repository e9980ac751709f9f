//! Mesa's Vulkan drivers. lavapipe comes from the system's packages, which are installed, or unpacked in the user's
//! cache folder. Other versions of Mesa come from Debian's suites, and are unpacked beside it with all libraries that
//! they need.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::packages::{Source, can_unpack, find, find_starting, folder, unpack as unpack_packages};
use crate::system::{Packages, Privilege, System};
use crate::vulkan::environment::Environment;

const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];
/// Packages that bring a software device on other systems.
const ELSEWHERE: Packages = Packages {
    debian: "mesa-vulkan-drivers libvulkan1",
    fedora: "mesa-vulkan-drivers vulkan-loader",
    arch: "vulkan-swrast vulkan-icd-loader",
    suse: "libvulkan_lvp libvulkan1",
    alpine: "mesa-vulkan-swrast vulkan-loader",
};
/// The loader's library within the packages.
const LOADER: &str = "libvulkan.so.1";
/// The driver's manifest, which is written once everything is unpacked. A folder that has it is complete.
const MANIFEST: &str = "driver.json";

/// A driver within the packages: the name of its library, and the beginning of its manifest's name.
#[derive(Clone, Copy)]
struct Driver {
    library: &'static str,
    manifest: &'static str,
}

const LAVAPIPE: Driver = Driver { library: "libvulkan_lvp.so", manifest: "lvp_icd" };
const RADV: Driver = Driver { library: "libvulkan_radeon.so", manifest: "radeon_icd" };

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

/// The environment of a lavapipe that an earlier [`unpack`] has put in place.
pub fn unpacked_earlier() -> Option<Environment> {
    Unpacked::earlier(&folder("mesa").ok()?, LAVAPIPE)?.environment()
}

/// Downloads the packages, and those that they need and the system lacks, and unpacks them in the user's cache folder.
/// It only reads from the system: its package sources, and the list of what is installed.
pub fn unpack() -> Result<Environment, String> {
    let folder = folder("mesa")?;
    println!("Unpacking Mesa's lavapipe, a software Vulkan device, in {}:", folder.display());
    let unpacked = Unpacked::now(&folder, &Source::System, LAVAPIPE)?;
    unpacked.environment().ok_or_else(|| format!("{} cannot stand in LD_LIBRARY_PATH", folder.display()))
}

/// A driver in one of our folders.
struct Unpacked {
    /// The folder of its libraries.
    libraries: PathBuf,
    manifest: PathBuf,
}

impl Unpacked {
    fn earlier(folder: &Path, driver: Driver) -> Option<Self> {
        let manifest = Some(folder.join(MANIFEST)).filter(|manifest| manifest.exists())?;
        let library = find(&folder.join("root"), driver.library)?;
        Some(Unpacked { libraries: library.parent()?.to_owned(), manifest })
    }

    fn now(folder: &Path, source: &Source, driver: Driver) -> Result<Self, String> {
        unpack_packages(folder, source, &PACKAGES)?;
        let root = folder.join("root");
        let lacks = |what: &str| format!("the package {} holds no {what}", PACKAGES[0]);
        let library = find(&root, driver.library).ok_or_else(|| lacks(driver.library))?;
        let manifests = root.join("usr/share/vulkan/icd.d");
        let manifest = find_starting(&manifests, driver.manifest).ok_or_else(|| lacks(driver.manifest))?;
        let text = fs::read_to_string(&manifest).map_err(|e| format!("cannot read {}: {e}", manifest.display()))?;
        let text = with_library(&text, &library).ok_or_else(|| format!("{} names no library", manifest.display()))?;
        let written = folder.join(MANIFEST);
        fs::write(&written, text).map_err(|e| format!("cannot write {}: {e}", written.display()))?;
        Unpacked::earlier(folder, driver).ok_or_else(|| lacks(driver.library))
    }

    fn driver_files(&self) -> Environment {
        // Loaders before 1.3.207 know only the second name.
        ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|variable| (variable, self.manifest.clone().into())).into()
    }

    /// The environment in which the system's own programs find the driver. None if its path cannot be part of a list of
    /// paths.
    fn environment(&self) -> Option<Environment> {
        let mut libraries = vec![self.libraries.clone()];
        let others = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        // An empty entry would mean the current folder.
        libraries.extend(std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty()));
        let mut environment = self.driver_files();
        environment.push(("LD_LIBRARY_PATH", std::env::join_paths(libraries).ok()?));
        Some(environment)
    }
}

/// A Mesa of another Debian than the system's. Its libraries are newer than the system's, so a program that uses it
/// must start with its own dynamic linker.
pub struct OtherMesa {
    /// The folder in which it is unpacked.
    pub folder: PathBuf,
    /// The beginning of a program's command line.
    pub launcher: Vec<OsString>,
    /// Variables with which the driver is found.
    pub environment: Environment,
}

/// One of these versions of Mesa.
pub struct Edition {
    suite: &'static str,
    driver: Driver,
    /// Name of its folder in the cache.
    folder: &'static str,
    /// What it is, in words.
    what: &'static str,
}

/// AMD's shader compiler, for chips that need not be there.
pub const COMPILER: Edition =
    Edition { suite: "trixie", driver: RADV, folder: "mesa-trixie", what: "Mesa 25 with AMD's shader compiler (RADV)" };

/// A software device with cooperative matrices (8 × 8 × 8).
pub const COOPERATIVE: Edition = Edition {
    suite: "forky",
    driver: LAVAPIPE,
    folder: "mesa-forky",
    what: "Mesa 26's lavapipe, a software device with cooperative matrices",
};

impl OtherMesa {
    /// The folder in which its packages lie as they would at the system's root.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }
}

/// The folder of Mesa's shims, which pretend to be the kernel's side of other makers' drivers. They are those of
/// [`COOPERATIVE`]'s Debian.
pub fn shims() -> Result<PathBuf, String> {
    let folder = folder("mesa-shims")?;
    if !folder.exists() {
        println!("Mesa's shims are unpacked in {} (once):", folder.display());
        unpack_packages(&folder, &Source::Suite(COOPERATIVE.suite), &["mesa-drm-shim"])?;
    }
    Ok(folder.join("root"))
}

impl Edition {
    /// Returns it from the user's cache folder, and fills that folder first if needed.
    pub fn ensure(&self) -> Result<OtherMesa, String> {
        let folder = folder(self.folder)?;
        let unpacked = match Unpacked::earlier(&folder, self.driver) {
            Some(unpacked) => unpacked,
            None if can_unpack() => {
                println!(
                    "{} is unpacked in {} and kept there (about 70 MB to download, 320 MB on disk):",
                    self.what,
                    folder.display()
                );
                Unpacked::now(&folder, &Source::Suite(self.suite), self.driver)?
            }
            None => {
                return Err(format!(
                    "{} comes from Debian's packages by apt-get and dpkg-deb, which this system lacks. Run this command on \
                     Debian or Ubuntu, for example in a container",
                    self.what
                ));
            }
        };
        let Some(linker) = find_starting(&unpacked.libraries, "ld-linux") else {
            return Err(format!("no dynamic linker in {}; delete {}", unpacked.libraries.display(), folder.display()));
        };
        let launcher = vec![linker.into(), "--library-path".into(), unpacked.libraries.clone().into()];
        Ok(OtherMesa { folder, launcher, environment: unpacked.driver_files() })
    }
}

/// The library of the Vulkan loader: the system's, or one that is unpacked in `work` from its package.
pub fn loader(work: &Path) -> Result<PathBuf, String> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];
    if let Some(library) = folders.iter().map(|folder| Path::new(folder).join(LOADER)).find(|path| path.is_file()) {
        return Ok(library);
    }
    let root = work.join("root");
    if let Some(earlier) = find(&root, LOADER) {
        return Ok(earlier);
    }
    if !can_unpack() {
        return Err(format!("{LOADER} is not here. {}, then start again", advice(&System::read())));
    }
    unpack_packages(work, &Source::System, &PACKAGES[1..])?;
    find(&root, LOADER).ok_or_else(|| format!("the package {} holds no {LOADER}", PACKAGES[1]))
}

/// A driver's manifest with its library at `library`.
fn with_library(manifest: &str, library: &Path) -> Option<String> {
    let (before, rest) = manifest.split_once("\"library_path\"")?;
    let mut parts = rest.splitn(3, '"');
    let (colon, _, after) = (parts.next()?, parts.next()?, parts.next()?);
    let escaped = library.to_str()?.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("{before}\"library_path\"{colon}\"{escaped}\"{after}"))
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
