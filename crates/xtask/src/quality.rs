//! `cargo xtask quality`: scores of features on held-out prompts, for several settings of a fit.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{build_unmix, root, run as run_command, target};
use crate::python;
use crate::record::{as_typed, commit};

/// What is compared unless the command line says otherwise: a name, and options of `unmix fit`.
const SETTINGS: [&str; 3] = ["default=", "projected-ls=--solver projected-ls", "paper=--preset paper"];

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Options {
    data: Vec<PathBuf>,
    corpus: PathBuf,
    settings: Vec<String>,
    seeds: Vec<u32>,
    ranks: Vec<u32>,
    out: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Options {
            data: Vec::new(),
            corpus: PathBuf::new(),
            settings: Vec::new(),
            seeds: vec![0, 1, 2],
            ranks: vec![100],
            out: None,
        };
        let mut rest = args.iter().map(String::as_str).peekable();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value"));
            match name {
                "--data" => {
                    options.data.push(value()?.into());
                    while let Some(file) = rest.next_if(|word| !word.starts_with("--")) {
                        options.data.push(file.into());
                    }
                }
                "--corpus" => options.corpus = value()?.into(),
                "--setting" => options.settings.push(setting(value()?)?),
                "--seeds" => options.seeds = numbers(name, value()?, 0)?,
                "--ranks" => options.ranks = numbers(name, value()?, 1)?,
                "--out" => options.out = Some(value()?.into()),
                other => return Err(format!("`quality` takes no argument {other:?}")),
            }
        }
        if options.data.is_empty() || options.corpus.as_os_str().is_empty() {
            return Err("`quality` needs --data FILE... and --corpus FILE.jsonl".to_owned());
        }
        if options.settings.is_empty() {
            options.settings = SETTINGS.map(str::to_owned).to_vec();
        }
        Ok(options)
    }
}

fn setting(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("--setting {text:?}: NAME=OPTIONS is needed, as in 'strong=--penalty 0.1'")),
    }
}

fn numbers(name: &str, text: &str, least: u32) -> Result<Vec<u32>, String> {
    let parsed = text.split(',').map(|part| part.parse().ok().filter(|&number| number >= least)).collect();
    let parsed: Option<Vec<u32>> = parsed;
    parsed.ok_or_else(|| format!("{name} {text}: whole numbers of at least {least} are needed, separated by commas"))
}

pub fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args).map_err(Failure::Usage)?;
    if let Some(file) = options.data.iter().chain([&options.corpus]).find(|file| !file.is_file()) {
        return Err(Failure::Usage(format!("{}: there is no such file", file.display())));
    }
    let root = root()?;
    let work = target()?.join("xtask-quality");
    let out = options.out.clone().unwrap_or_else(|| work.join("results"));
    fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    let scripts = root.join("crates/xtask/quality");
    let python = python::environment(&work, &scripts.join("requirements.txt"), &python::OF_TOOLS)?;
    let unmix = build_unmix()?;

    println!("\n== The scores, on data whose scores are known");
    let mut command = Command::new(&python);
    command.args(["-B", "-m", "unittest", "discover", "--start-directory"]).arg(&scripts);
    run_command(&mut command)?;

    println!("\n== Fits");
    let list = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut command = Command::new(&python);
    command.arg("-B").arg(scripts.join("quality.py")).arg("--unmix").arg(unmix).arg("--work").arg(work.join("scores"));
    command.arg("--out").arg(&out).arg("--corpus").arg(&options.corpus).arg("--data").args(&options.data);
    command.args(["--seeds", &list(&options.seeds), "--ranks", &list(&options.ranks), "--commit", &commit(&root)]);
    command.args(["--command", &as_typed("quality", args)]);
    for setting in &options.settings {
        command.arg("--setting").arg(setting);
    }
    Ok(run_command(&mut command)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn all_options_are_read() {
        let words =
            ["--data", "a", "b", "--corpus", "c", "--setting", "x=--penalty 0.1", "--seeds", "3,4", "--ranks", "50"];
        let options = parse(&[&words[..], &["--out", "there"]].concat());
        let wanted = Options {
            data: vec!["a".into(), "b".into()],
            corpus: "c".into(),
            settings: vec!["x=--penalty 0.1".to_owned()],
            seeds: vec![3, 4],
            ranks: vec![50],
            out: Some("there".into()),
        };
        assert_eq!(options, Ok(wanted));
        assert_eq!(parse(&["--data", "a", "--corpus", "c"]).unwrap().settings, SETTINGS);
    }

    #[test]
    fn wrong_usage_is_told() {
        for (words, told) in [
            (&["--data", "a"][..], "--corpus"),
            (&["--corpus", "c"], "--data"),
            (&["--seeds", "1,x"], "separated by commas"),
            (&["--ranks", "0"], "at least 1"),
            (&["--setting", "--penalty 0.1"], "NAME=OPTIONS"),
            (&["--setting", "=--penalty"], "NAME=OPTIONS"),
            (&["--out"], "needs a value"),
            (&["stray"], "no argument \"stray\""),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(told), "{words:?}: {error}");
        }
    }
}
