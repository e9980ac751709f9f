//! Chromium for the tests of the report's page: one that is there already, or one that is installed for them.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{is_on_path, succeeds};
use crate::system::{Packages, Privilege, System};

/// The variable that names the program.
const VARIABLE: &str = "UNMIX_CHROMIUM";
/// Names of the program on the path, in the order in which the tests look for it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Packages that may bring it, tried in turn. On Debian it is `chromium`. On Ubuntu, `chromium-browser` is a stub that
/// needs snapd, and works where snapd does.
const PACKAGES: [&str; 2] = ["chromium", "chromium-browser"];

/// Packages that bring it on other systems.
const ELSEWHERE: Packages =
    Packages { debian: "chromium", fedora: "chromium", arch: "chromium", suse: "chromium", alpine: "chromium" };

/// Whether `cargo test` with these arguments runs the tests that need a browser.
pub fn is_needed(args: &[String]) -> bool {
    let own: Vec<&String> = args.iter().take_while(|arg| *arg != "--").collect();
    let selects = |arg: &&String| arg.starts_with('-') && !matches!(arg.as_str(), "--workspace" | "--tests");
    !own.iter().any(selects) || own.iter().any(|arg| arg.contains("report") || arg.contains("unmix-interpret"))
}

/// Makes sure that a browser starts.
pub fn ensure() -> Result<(), String> {
    if let Some(program) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let program = PathBuf::from(program);
        return if answers(&program) {
            println!("Chromium: {} ({VARIABLE})", program.display());
            Ok(())
        } else {
            Err(format!("{VARIABLE}={} does not start; mend that variable or unset it", program.display()))
        };
    }
    if found("") {
        return Ok(());
    }
    let system = System::read();
    println!("No Chromium or Chrome answers, which the tests of the report's page need.");
    if !(system.is_debian() && is_on_path("apt-get")) {
        return Err(advice(&system, &[]));
    }
    let Some(privilege) = Privilege::ours() else {
        println!("This user may not install packages.");
        return Err(advice(&system, &[]));
    };
    let mut tried = Vec::new();
    tried.extend(privilege.update().err());
    for package in PACKAGES {
        println!("Installing {package}:");
        match privilege.install(&[package]) {
            Ok(()) if found(" (installed now)") => return Ok(()),
            Ok(()) => tried.push(format!("the package {package} was installed, but no browser starts")),
            Err(error) => tried.push(error),
        }
    }
    Err(advice(&system, &tried))
}

/// Whether one of the names on the path starts. If so, it is printed. A stub that only asks for another package does
/// not start.
fn found(how: &str) -> bool {
    let program = NAMES.iter().find(|name| answers(&PathBuf::from(name)));
    if let Some(program) = program {
        println!("Chromium{how}: {program}");
    }
    program.is_some()
}

fn answers(program: &PathBuf) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

/// What was tried, and what to do by hand.
fn advice(system: &System, tried: &[String]) -> String {
    let tried = tried.iter().map(|what| format!("{what}. ")).collect::<String>();
    let by_hand = system.advice(&ELSEWHERE).unwrap_or_else(|| "Install one of them".to_owned());
    format!(
        "the tests of the report's page need Chromium or Chrome. {tried}{by_hand}, or set {VARIABLE} to the program; then \
         start again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(args: &[&str]) -> bool {
        is_needed(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_runs_with_the_pages_tests_need_a_browser() {
        assert!(
            needs(&[]) && needs(&["--workspace"]) && needs(&["--test", "report"]) && needs(&["-p", "unmix-interpret"])
        );
        assert!(!needs(&["-p", "unmix-tests", "--test", "kernels", "--", "report"]) && !needs(&["--doc"]));
    }

    #[test]
    fn advice_tells_what_was_tried_and_what_to_do() {
        let advice = advice(&System::parse("ID=debian\n"), &["the package x failed".to_owned()]);
        assert!(
            advice.contains("the package x failed. As root, run `apt-get install chromium`, or set UNMIX_CHROMIUM")
        );
    }
}
