//! `cargo xtask test-devices`: the tests of the kernels on a second software Vulkan device, and under Khronos' validation
//! layer, which both come with Chromium. And those on a device that does nothing, which comes with Mesa.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::packages::{Source, can_unpack, find, find_starting, folder, unpack};
use crate::process::{cargo, stream, target};
use crate::tally::Tally;
use crate::test::SPECIAL_DEVICES;
use crate::vulkan;

const SWIFTSHADER: &str = "libvk_swiftshader.so";
/// Where the manifests of Vulkan's drivers are below a root.
const DRIVERS: &str = "usr/share/vulkan/icd.d";
const LAYER: &str = "libVkLayer_khronos_validation.so";

/// Tests that SwiftShader takes more than a minute of one core for, because it compiles the unrolled kernels slowly. They
/// run with `--all`.
const SLOW_ON_SWIFTSHADER: &[&str] = &[
    "a_cut_of_least_squares_solves_and_keeps_exactly_m",
    "cholesky_mirrors_the_factor_and_both_substitutions_solve",
    "cholesky_raises_the_ridge_until_a_singular_gram_factorizes",
    "long_products_keep_their_digits",
    "projection_matches_the_oracle",
    "samples_of_the_rows_are_read_where_they_lie",
    "squared_residuals_match_the_oracle",
    "what_is_left_of_an_exact_product_is_nothing",
];

/// Messages of the layer that are no fault of ours: a part of them, and why.
const EXPLAINED: &[(&str, &str)] = &[(
    "VUID-StandaloneSpirv-None-10684",
    "naga decorates an array's type with its stride once, for storage and for workgroup memory; drivers do not read it there",
)];

pub fn run(args: &[String]) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Err("this command is for Vulkan on Linux".to_owned().into());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (swiftshader, validation, noop, is_all) = match args[..] {
        [] => (true, true, true, false),
        ["swiftshader"] => (true, false, false, false),
        ["swiftshader", "--all"] => (true, false, false, true),
        ["validation"] => (false, true, false, false),
        ["noop"] => (false, false, true, false),
        _ => return Err(Failure::Usage(format!("`test-devices` does not take {}", args.join(" ")))),
    };
    let mut problems = Vec::new();
    if swiftshader {
        problems.extend(libraries().and_then(|libraries| on_swiftshader(&libraries, is_all)).err());
    }
    if validation {
        problems.extend(libraries().and_then(|libraries| under_validation(&libraries)).err());
    }
    if noop {
        let mut tally = Tally::default();
        problems.extend(on_noop_device(&mut tally).err());
        println!("A device that does nothing: {} passed, {} failed", tally.passed, tally.failed);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

/// The folder of Chromium's libraries: the system's, or one that is unpacked in the user's cache folder.
fn libraries() -> Result<PathBuf, String> {
    let installed = Path::new("/usr/lib/chromium");
    if [SWIFTSHADER, LAYER].iter().all(|name| installed.join(name).is_file()) {
        return Ok(installed.to_owned());
    }
    let folder = folder("chromium")?;
    if !folder.exists() {
        if !can_unpack() {
            return Err(format!(
                "{SWIFTSHADER} and {LAYER} come from Debian's package chromium, which needs apt-get and dpkg-deb"
            ));
        }
        println!("Chromium is unpacked in {} (once, 100 MB to download):", folder.display());
        unpack(&folder, &Source::System, &["chromium"])?;
    }
    let library = find(&folder.join("root"), LAYER);
    let place = library.as_deref().and_then(Path::parent).filter(|place| place.join(SWIFTSHADER).is_file());
    place.map(Path::to_owned).ok_or_else(|| format!("the package chromium holds no {SWIFTSHADER} or no {LAYER}"))
}

fn on_swiftshader(libraries: &Path, is_all: bool) -> Result<(), String> {
    let manifest = libraries.join("vk_swiftshader_icd.json");
    let mut words = vec!["--test-threads=1"];
    if !is_all {
        words.extend(SLOW_ON_SWIFTSHADER.iter().flat_map(|name| ["--skip", *name]));
        println!("Without {} tests that are slow there; `--all` runs them as well.", SLOW_ON_SWIFTSHADER.len());
    }
    let environment = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|variable| (variable, manifest.clone()));
    kernels("SwiftShader", &environment, &words)
}

/// Whether the device that does nothing can be had.
pub fn has_noop_device() -> bool {
    cfg!(target_os = "linux") && can_unpack()
}

/// Runs the tests on a device that does nothing: Mesa's NVIDIA driver on a shim that takes its commands.
pub fn on_noop_device(tally: &mut Tally) -> Result<(), String> {
    let (mesa, shims) = (vulkan::COOPERATIVE.ensure()?, vulkan::shims()?);
    let (driver, shim) = ("nouveau_icd", "libnouveau_noop_drm_shim.so");
    let (Some(driver), Some(shim)) = (find_starting(&mesa.root().join(DRIVERS), driver), find(&shims, shim)) else {
        return Err(format!("no {driver} in {} or no {shim} in {}", mesa.root().display(), shims.display()));
    };
    let mut launcher = mesa.launcher;
    launcher.extend(["--preload".into(), shim.into()]);
    let mut words = vec!["test".to_owned()];
    words.extend(vulkan::runner(&launcher)?);
    let rest = ["--release", "--workspace", "--features", SPECIAL_DEVICES, "--test", "noop_device"];
    words.extend(rest.map(str::to_owned));
    let mut command = cargo(words)?;
    command.envs([("NOUVEAU_CHIPSET", "172"), ("NVK_I_WANT_A_BROKEN_VULKAN_DRIVER", "1")]);
    command.envs(["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|variable| (variable, driver.clone())));
    command.env_remove("WGPU_ADAPTER_NAME");
    stream(&mut command, |line| tally.read(line)).map_err(|problem| format!("on a device that does nothing, {problem}"))
}

fn under_validation(libraries: &Path) -> Result<(), String> {
    let work = target()?.join("xtask-test-devices");
    let log = work.join("validation.txt");
    let put = |name: &str, text: &str| {
        let file = work.join(name);
        fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
    };
    fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    // The layer appends.
    let _ = fs::remove_file(&log);
    put("VkLayer_khronos_validation.json", &manifest(&libraries.join(LAYER)))?;
    put(
        "vk_layer_settings.txt",
        &format!(
            "khronos_validation.validate_sync = true\n\
             khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n\
             khronos_validation.report_flags = error,warn,perf\n\
             khronos_validation.log_filename = {}\n",
            log.display()
        ),
    )?;
    let mut environment: Vec<(&str, PathBuf)> =
        vulkan::ensure_device()?.into_iter().map(|(variable, value)| (variable, value.into())).collect();
    environment.extend([
        ("VK_LAYER_PATH", work.clone()),
        ("VK_LAYER_SETTINGS_PATH", work),
        ("VK_INSTANCE_LAYERS", "VK_LAYER_KHRONOS_validation".into()),
    ]);
    kernels("the validation layer", &environment, &["--test-threads=1"])?;
    // The layer makes the file when it starts.
    let text = fs::read_to_string(&log).map_err(|e| format!("the layer did not start: no {} ({e})", log.display()))?;
    let (explained, others) = messages(&text);
    for (message, reason) in explained {
        println!("Explained: {message}: {reason}.");
    }
    if others.is_empty() {
        println!("The validation layer, with synchronization validation, says nothing else.");
        return Ok(());
    }
    others.iter().for_each(|message| println!("message: {message}"));
    Err(format!("the validation layer has {} messages, in {}", others.len(), log.display()))
}

/// The layer's manifest.
fn manifest(library: &Path) -> String {
    let library = library.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        r#"{{"file_format_version": "1.2.0", "layer": {{"name": "VK_LAYER_KHRONOS_validation", "type": "GLOBAL",
"library_path": "{library}", "api_version": "1.3.0", "implementation_version": "1", "description": "Khronos validation",
"instance_extensions": [{{"name": "VK_EXT_debug_utils", "spec_version": "1"}}]}}}}"#
    )
}

/// The headings of the layer's messages: those that are explained, each once with its reason, and the others.
fn messages(log: &str) -> (Vec<(&'static str, &'static str)>, Vec<&str>) {
    let headings = log.lines().filter(|line| line.starts_with("Validation ") && line.contains('['));
    let explanation = |line: &str| EXPLAINED.iter().find(|(part, _)| line.contains(part)).copied();
    let (mut explained, mut others) = (Vec::new(), Vec::new());
    for line in headings {
        match explanation(line) {
            Some(known) if !explained.contains(&known) => explained.push(known),
            Some(_) => {}
            None => others.push(line),
        }
    }
    (explained, others)
}

/// Runs the tests of the kernels.
fn kernels(device: &str, environment: &[(&str, PathBuf)], words: &[&str]) -> Result<(), String> {
    println!("The tests of the kernels run on {device}.");
    let mut command = cargo(["test", "--release", "--workspace", "--test", "kernels", "--"])?;
    command.args(words).envs(environment.iter().cloned()).env_remove("WGPU_ADAPTER_NAME");
    let mut tally = Tally::default();
    let outcome = stream(&mut command, |line| tally.read(line));
    println!("{device}: {} passed, {} failed", tally.passed, tally.failed);
    outcome.map_err(|problem| format!("on {device}, {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explained_messages_are_told_from_others() {
        let log = "Validation Error: [ VUID-StandaloneSpirv-None-10684 ] | MessageID = 0xb2\nvkCreateShaderModule(): x\n\
                   Validation Error: [ VUID-StandaloneSpirv-None-10684 ] | MessageID = 0xb2\n\n\
                   Validation Error: [ SYNC-HAZARD-READ-AFTER-WRITE ] | MessageID = 0x1\n";
        let (explained, others) = messages(log);
        assert_eq!(explained, EXPLAINED);
        assert_eq!(others, ["Validation Error: [ SYNC-HAZARD-READ-AFTER-WRITE ] | MessageID = 0x1"]);
    }

    #[test]
    fn the_manifest_names_the_library() {
        let text = manifest(Path::new("/a \"b\"/layer.so"));
        assert!(text.contains(r#""library_path": "/a \"b\"/layer.so""#), "{text}");
    }
}
