//! A Vulkan device for the tests: one that answers, or a software device (Mesa's lavapipe) that is installed for them.

mod environment;
mod mesa;
#[cfg(target_os = "linux")]
mod probe;

use std::ffi::OsString;
use std::process::{Command, Stdio};

pub use environment::Environment;
pub use mesa::{COMPILER, COOPERATIVE, shims};

use crate::failure::Failure;
use crate::packages;
use crate::system::{Privilege, System};

pub use mesa::loader;

/// The inner command that prints the devices.
pub const LIST_DEVICES: &str = "list-vulkan-devices";

/// Prints the devices that answer in this process, one on each line.
#[cfg(target_os = "linux")]
pub fn print_devices() -> Result<(), Failure> {
    probe::devices().iter().for_each(|device| println!("{device}"));
    Ok(())
}

/// Prints nothing, because other systems bring their own graphics interface.
#[cfg(not(target_os = "linux"))]
pub fn print_devices() -> Result<(), Failure> {
    Ok(())
}

/// The devices that answer with `environment`, asked in a process of its own.
fn devices(environment: &Environment) -> Result<Vec<String>, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program's own file: {e}"))?;
    let output = Command::new(program)
        .arg(LIST_DEVICES)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start this program again: {e}"))?;
    // A driver that crashes counts as none.
    let text = if output.status.success() { String::from_utf8_lossy(&output.stdout) } else { "".into() };
    Ok(text.lines().map(str::to_owned).collect())
}

/// Makes sure that a device answers, and returns the environment in which it does.
pub fn ensure_device() -> Result<Environment, String> {
    if !cfg!(target_os = "linux") {
        // Metal and Direct3D 12 come with the system, the latter with a software device (WARP).
        return Ok(Environment::new());
    }
    let answers = |environment: Environment, how: &str| -> Result<Option<Environment>, String> {
        let devices = devices(&environment)?;
        if devices.is_empty() {
            return Ok(None);
        }
        println!("Vulkan devices{how}: {}", devices.join(", "));
        Ok(Some(environment))
    };
    if let Some(found) = answers(Environment::new(), "")? {
        return Ok(found);
    }
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        if let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            let value = value.display();
            return Err(format!("no Vulkan device answers from {variable}={value}; mend that variable or unset it"));
        }
    }
    if let Some(unpacked) = mesa::unpacked_earlier()
        && let Some(found) = answers(unpacked, " (lavapipe, unpacked earlier)")?
    {
        return Ok(found);
    }
    let system = System::read();
    if !(system.is_debian() && packages::can_unpack()) {
        return Err(format!(
            "no Vulkan device answers, and this command installs one on Debian and Ubuntu alone. {}, then start again",
            mesa::advice(&system)
        ));
    }
    println!("No Vulkan device answers.");
    match Privilege::ours() {
        Some(privilege) => match mesa::install(&privilege) {
            Ok(()) => {
                if let Some(found) = answers(Environment::new(), " (installed now)")? {
                    return Ok(found);
                }
                println!("lavapipe is installed, but no device answers.");
            }
            Err(error) => println!("{error}"),
        },
        None => println!("This user may not install packages."),
    }
    let unpacked = mesa::unpack()?;
    answers(unpacked, " (lavapipe, unpacked now)")?.ok_or_else(|| {
        format!("lavapipe was unpacked, but no Vulkan device answers. {}, then start again", mesa::advice(&system))
    })
}

/// Arguments with which cargo starts tests through a launcher. Its path may contain blanks.
pub fn runner(launcher: &[OsString]) -> Result<[String; 2], String> {
    let quoted = |word: &OsString| {
        let word = word.to_str().ok_or_else(|| format!("the path {} is not UTF-8", word.display()))?;
        // A string of TOML.
        Ok(format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")))
    };
    let launcher = launcher.iter().map(quoted).collect::<Result<Vec<String>, String>>()?;
    Ok(["--config".to_owned(), format!("target.'cfg(all())'.runner=[{}]", launcher.join(", "))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_may_have_blanks_in_its_path() {
        let launcher = ["/my \"cache\"/ld-linux.so.2", "--library-path", "/my cache"].map(OsString::from);
        let expected = r#"target.'cfg(all())'.runner=["/my \"cache\"/ld-linux.so.2", "--library-path", "/my cache"]"#;
        assert_eq!(runner(&launcher).unwrap(), ["--config", expected]);
    }
}
