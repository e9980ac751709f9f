//! `cargo xtask test-exports`: exports of a fit, opened by the tools that they are made for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::{build_unmix, root, run as run_command, target};
use crate::python;

/// The last export. It is made after the activations are gone.
const WITHOUT_ACTIVATIONS: &str = "saelens, without activations";

/// An export, and how to open it.
struct Export {
    name: &'static str,
    /// Arguments of `unmix export` after the fit's folder.
    arguments: Vec<String>,
    script: &'static str,
    /// Arguments of the script after export, fit and activations.
    rest: Vec<PathBuf>,
}

pub fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("`test-exports` takes no argument {arg:?}")));
    }
    let root = root()?;
    let work = target()?.join("xtask-exports");
    fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    let scripts = root.join("crates/xtask/exports");
    let python = python::environment(&work, &scripts.join("requirements.txt"), &python::OF_TOOLS)?;

    let unmix = build_unmix()?;
    let demo = root.join("crates/cli/data/demo");
    let (activations, tokens) = (demo.join("activations.safetensors"), demo.join("tokens.json"));
    // A copy is fitted, so that one export can be made after the copy is gone.
    let fitted = work.join("activations.safetensors");
    fs::copy(&activations, &fitted).map_err(|e| format!("cannot write {}: {e}", fitted.display()))?;
    let (fit, projection) = (work.join("fit"), work.join("projection.safetensors"));
    let mut command = Command::new(&unmix);
    command.arg("fit").arg(&fitted).arg("--out").arg(&fit);
    command.args(["--rank", "60", "--engine", "cpu", "--force", "--quiet"]);
    run_command(&mut command)?;
    let mut command = Command::new(&python);
    run_command(command.arg(scripts.join("make_projection.py")).arg(&projection).arg("1536"))?;

    let mut failed = Vec::new();
    let exports = exports(&tokens, &projection);
    for export in &exports {
        println!("\n== {}", export.name);
        if export.name == WITHOUT_ACTIVATIONS {
            fs::remove_file(&fitted).map_err(|e| format!("cannot remove {}: {e}", fitted.display()))?;
        }
        if let Err(problem) = open(export, &work, &unmix, &python, &scripts, &fit, &activations) {
            println!("{problem}");
            failed.push(export.name);
        }
    }
    println!("\n{} exports opened, {} failed", exports.len() - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn exports(tokens: &Path, projection: &Path) -> Vec<Export> {
    let site = ["--model-name", "smollm2-135m", "--layer", "12"];
    let export = |name, arguments: &[&str], script, rest: Vec<PathBuf>| Export {
        name,
        arguments: arguments.iter().chain(&site).map(|&argument| argument.to_owned()).collect(),
        script,
        rest,
    };
    let (words, matrix) = (tokens.display().to_string(), projection.display().to_string());
    vec![
        export("saelens", &["--to", "saelens"], "open_saelens.py", Vec::new()),
        export(
            "saelens, matching pursuit",
            &["--to", "saelens", "--architecture", "matching-pursuit"],
            "open_saelens.py",
            Vec::new(),
        ),
        export("sparsify", &["--to", "sparsify"], "open_sparsify.py", Vec::new()),
        export("delphi", &["--to", "delphi"], "open_delphi.py", Vec::new()),
        export("saedashboard", &["--to", "saedashboard"], "open_saedashboard.py", Vec::new()),
        export(
            "neuronpedia",
            &["--to", "neuronpedia", "--tokens", &words],
            "open_neuronpedia.py",
            vec![tokens.to_owned()],
        ),
        export("steering", &["--to", "steering", "--model", &matrix], "open_steering.py", vec![projection.to_owned()]),
        export(WITHOUT_ACTIVATIONS, &["--to", "saelens"], "open_saelens.py", Vec::new()),
    ]
}

fn open(
    export: &Export,
    work: &Path,
    unmix: &Path,
    python: &Path,
    scripts: &Path,
    fit: &Path,
    activations: &Path,
) -> Result<(), String> {
    let out = work.join(export.name.replace(", ", "-").replace(' ', "-"));
    let mut command = Command::new(unmix);
    command.arg("export").arg(fit).args(&export.arguments).arg("--out").arg(&out).args(["--force", "--quiet"]);
    run_command(&mut command)?;
    let mut command = Command::new(python);
    command.arg(scripts.join(export.script)).arg(&out).arg(fit).arg(activations).args(&export.rest);
    // The scripts must neither fetch anything nor write beside themselves, and must not try sparsify's kernels for
    // GPUs.
    let variables = [
        ("HF_HUB_OFFLINE", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONWARNINGS", "ignore"),
        ("SPARSIFY_DISABLE_TRITON", "1"),
    ];
    run_command(command.envs(variables))
}
