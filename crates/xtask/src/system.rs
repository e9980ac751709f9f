//! The system on which tests run, and how to install packages on it.

use std::fs;
use std::process::Command;

use crate::process::{is_on_path, output_of, run, succeeds};

/// What `/etc/os-release` says about the system: its own name, then the names of systems that it is like.
pub struct System(Vec<String>);

/// The packages that bring the same thing on different systems. Names are separated by blanks.
pub struct Packages {
    pub debian: &'static str,
    pub fedora: &'static str,
    pub arch: &'static str,
    pub suse: &'static str,
    pub alpine: &'static str,
}

impl System {
    pub fn read() -> Self {
        Self::parse(&fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    pub fn parse(os_release: &str) -> Self {
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

    /// What to do by hand, if that is known for this system.
    pub fn advice(&self, packages: &Packages) -> Option<String> {
        let (install, packages) = if self.is_debian() {
            ("apt-get install", packages.debian)
        } else if self.is(&["fedora", "rhel", "centos"]) {
            ("dnf install", packages.fedora)
        } else if self.is(&["arch"]) {
            ("pacman -S", packages.arch)
        } else if self.is(&["opensuse", "suse"]) {
            ("zypper install", packages.suse)
        } else if self.is(&["alpine"]) {
            ("apk add", packages.alpine)
        } else {
            return None;
        };
        Some(format!("As root, run `{install} {packages}`"))
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
    /// The privilege that this process has, if it has any.
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

    /// Fetches the lists of packages.
    pub fn update(&self) -> Result<(), String> {
        self.apt_get(&["-qq", "update"])
    }

    /// Installs packages and the packages that they need.
    pub fn install(&self, packages: &[&str]) -> Result<(), String> {
        self.apt_get(&[&["-qq", "install", "-y", "--no-install-recommends"], packages].concat())
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
        let packages = Packages { debian: "a", fedora: "b", arch: "c", suse: "d", alpine: "e" };
        let advice = |system: &System| system.advice(&packages).unwrap_or_default();
        assert_eq!(advice(&mint), "As root, run `apt-get install a`");
        assert_eq!(advice(&fedora), "As root, run `dnf install b`");
        assert_eq!(advice(&leap), "As root, run `zypper install d`");
        assert_eq!(advice(&System::parse("")), "");
    }
}
