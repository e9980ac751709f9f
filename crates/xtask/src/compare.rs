//! `cargo xtask compare`: unmix and other factorizations on the same matrices.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{build_unmix, output_of, root, run as run_command, target};
use crate::python;
use crate::record::{as_typed, commit};

/// What can be compared: the solvers of `unmix`, and the methods of `worker.py`.
const METHODS: [&str; 14] = [
    "unmix-hals",
    "unmix-projected-ls",
    "unmix-mu",
    "unmix-paper",
    "unmix-product-f16",
    "unmix-product-f32",
    "torch",
    "torch-residual",
    "torch-product",
    "sklearn-nmf",
    "sklearn-minibatch-nmf",
    "torchnmf",
    "nmf-torch",
    "overcomplete",
];

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Options {
    quick: bool,
    rounds: u32,
    /// Most iterations of the published method.
    iterations: u32,
    /// Iterations of other libraries.
    library_iterations: u32,
    /// Rank for the activations in files.
    rank: u32,
    sparsity: f64,
    seed: u32,
    methods: Vec<String>,
    data: Vec<PathBuf>,
    /// Tokens, neurons and rank of synthetic activations.
    shapes: Vec<[u32; 3]>,
    out: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let quick = args.iter().any(|arg| arg == "--quick");
        let mut options = Options {
            quick,
            rounds: if quick { 1 } else { 5 },
            iterations: if quick { 20 } else { 1500 },
            library_iterations: if quick { 4 } else { 30 },
            rank: if quick { 20 } else { 100 },
            sparsity: 0.01,
            seed: 0,
            methods: METHODS.map(str::to_owned).to_vec(),
            data: Vec::new(),
            shapes: Vec::new(),
            out: None,
        };
        let mut rest = args.iter().map(String::as_str).peekable();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value"));
            match name {
                "--quick" => {}
                "--rounds" => options.rounds = at_least(name, value()?, 1)?,
                // The first iteration is not timed.
                "--iterations" => options.iterations = at_least(name, value()?, 2)?,
                "--library-iterations" => options.library_iterations = at_least(name, value()?, 2)?,
                "--rank" => options.rank = at_least(name, value()?, 1)?,
                "--seed" => options.seed = at_least(name, value()?, 0)?,
                "--sparsity" => options.sparsity = share(value()?)?,
                "--methods" => options.methods = methods(value()?)?,
                "--shape" => options.shapes.push(shape(value()?)?),
                "--out" => options.out = Some(value()?.into()),
                "--data" => {
                    options.data.push(value()?.into());
                    while let Some(file) = rest.next_if(|word| !word.starts_with("--")) {
                        options.data.push(file.into());
                    }
                }
                other => return Err(format!("`compare` takes no argument {other:?}")),
            }
        }
        Ok(options)
    }
}

fn at_least(name: &str, text: &str, least: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|&number| number >= least);
    number.ok_or_else(|| format!("{name} {text}: a whole number of at least {least} is needed"))
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&share| share > 0.0 && share <= 1.0);
    number.ok_or_else(|| format!("--sparsity {text}: a share above 0 and up to 1 is needed"))
}

fn methods(text: &str) -> Result<Vec<String>, String> {
    let unknown = |name: &&str| !METHODS.contains(name);
    match text.split(',').find(unknown) {
        Some(name) => Err(format!("--methods: {name:?} is none of {}", METHODS.join(", "))),
        None => Ok(text.split(',').map(str::to_owned).collect()),
    }
}

fn shape(text: &str) -> Result<[u32; 3], String> {
    let numbers: Vec<u32> = text.split(',').filter_map(|part| part.parse().ok().filter(|&n| n > 0)).collect();
    match numbers[..] {
        [n, d, k] if text.matches(',').count() == 2 && k <= n.min(d) => Ok([n, d, k]),
        _ => Err(format!("--shape {text}: tokens, neurons and a rank up to them are needed, as in 7500,5120,100")),
    }
}

pub fn run(args: &[String]) -> Result<(), Failure> {
    let mut options = Options::parse(args).map_err(Failure::Usage)?;
    if !cfg!(target_os = "linux") {
        return Err("memory is measured as Linux tells it, so the comparison runs there alone".to_owned().into());
    }
    let root = root()?;
    if options.data.is_empty() && options.shapes.is_empty() {
        options.data.push(root.join("crates/cli/data/demo/activations.safetensors"));
        options.shapes.push(if options.quick { [600, 1000, 20] } else { [7500, 5120, 100] });
    }
    if let Some(file) = options.data.iter().find(|file| !file.is_file()) {
        return Err(Failure::Usage(format!("--data {}: there is no such file", file.display())));
    }
    let work = target()?.join("xtask-compare");
    let out = options.out.clone().unwrap_or_else(|| work.join("results"));
    fs::create_dir_all(&out).map_err(|e| format!("cannot create {}: {e}", out.display()))?;
    fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    let scripts = root.join("crates/xtask/compare");
    let python = python::environment(&work, &scripts.join("requirements.txt"), &python::OF_TOOLS)?;
    let unmix = build_unmix()?;

    println!("\n== The published iteration in PyTorch against reference runs, and the statistics");
    let mut command = Command::new(&python);
    command.args(["-B", "-m", "unittest", "discover", "--start-directory"]).arg(&scripts);
    run_command(&mut command)?;

    println!("\n== Comparison");
    let mut command = Command::new(&python);
    command.arg("-B").arg(scripts.join("compare.py")).arg("--unmix").arg(unmix).arg("--out").arg(&out);
    let numbers = [
        ("--rounds", options.rounds.to_string()),
        ("--iterations", options.iterations.to_string()),
        ("--library-iterations", options.library_iterations.to_string()),
        ("--rank", options.rank.to_string()),
        ("--sparsity", options.sparsity.to_string()),
        ("--seed", options.seed.to_string()),
        ("--methods", options.methods.join(",")),
        ("--commit", commit(&root)),
        ("--rustc", output_of(Command::new("rustc").arg("--version"))?.trim().to_owned()),
        ("--command", as_typed("compare", args)),
    ];
    for (name, value) in numbers {
        command.arg(name).arg(value);
    }
    for file in &options.data {
        command.arg("--data").arg(file);
    }
    for [n, d, k] in &options.shapes {
        command.arg("--shape").arg(format!("{n},{d},{k}"));
    }
    command.args(options.quick.then_some("--quick"));
    run_command(&mut command)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn all_options_are_read() {
        let options = parse(
            "--rounds 3 --data a.safetensors b.safetensors --rank 40 --shape 7500,5120,100 --shape 9,8,7 --methods torch,unmix-mu \
             --iterations 200 --library-iterations 9 --sparsity 0.05 --seed 4 --out there",
        );
        let wanted = Options {
            quick: false,
            rounds: 3,
            iterations: 200,
            library_iterations: 9,
            rank: 40,
            sparsity: 0.05,
            seed: 4,
            methods: vec!["torch".to_owned(), "unmix-mu".to_owned()],
            data: vec!["a.safetensors".into(), "b.safetensors".into()],
            shapes: vec![[7500, 5120, 100], [9, 8, 7]],
            out: Some("there".into()),
        };
        assert_eq!(options, Ok(wanted));
    }

    #[test]
    fn quick_changes_what_is_not_given() {
        let options = parse("--rounds 2 --quick").unwrap();
        assert_eq!((options.rounds, options.iterations, options.methods.len()), (2, 20, METHODS.len()));
        assert_eq!(parse("").unwrap().iterations, 1500);
    }

    #[test]
    fn wrong_usage_is_told() {
        for (line, told) in [
            ("--rounds 0", "at least 1"),
            ("--iterations 1", "at least 2"),
            ("--rank", "needs a value"),
            ("--sparsity 1.5", "up to 1"),
            ("--methods torch,magic", "\"magic\" is none of"),
            ("--shape 7500,5120", "7500,5120,100"),
            ("--shape 10,20,x,3", "7500,5120,100"),
            ("--shape 10,20,11", "a rank up to them"),
            ("stray", "no argument \"stray\""),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(told), "{line}: {error}");
        }
    }
}
