//! Paths of all kinds: not UTF-8, or symbolic links.
#![cfg(unix)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::harness::{Files, PROMPT, Run, TOKENS, command, unmix};

/// A path in the folder whose name is not UTF-8.
fn odd(files: &Files, name: &[u8]) -> OsString {
    let mut path = OsString::from(files.path(""));
    path.push(OsStr::from_bytes(name));
    path
}

fn run(args: &[&OsStr]) -> Run {
    let mut command = command(&[]);
    Run::from(command.args(args).output().expect("started"))
}

fn args<'a>(args: &[&'a str]) -> Vec<&'a OsStr> {
    args.iter().map(|arg| OsStr::new(*arg)).collect()
}

#[test]
fn a_fit_of_a_file_whose_name_is_not_utf8_is_saved_and_found_again() {
    let files = Files::new();
    let (file, fit) = (odd(&files, b"caf\xe9.safetensors"), odd(&files, b"f\xe9"));
    std::fs::rename(files.activations("x.safetensors"), &file).expect("renamed");
    let run_json =
        run(&[&args(&["fit", "-k", "3", "--engine", "cpu", "--json", "--out"])[..], &[&fit, &file]].concat())
            .expect(0)
            .json();
    assert!(run_json["input"]["path"].as_str().expect("text").ends_with("caf\u{fffd}.safetensors"));
    // The command looks for the activations where they were.
    let out = odd(&files, b"e\xff");
    let export = [&args(&["export", "--to", "saelens", "--json", "--out"])[..], &[&out, &fit]].concat();
    let value = run(&export).expect(0).json();
    assert!(value["encoder"]["relative_error"].as_f64().is_some(), "{value}");
    assert!(value["out"].as_str().expect("text").ends_with("e\u{fffd}"));
    // Python reads the exact path.
    let text =
        run(&[&export[..], &args(&["--force"])].concat().into_iter().filter(|a| *a != "--json").collect::<Vec<_>>());
    assert!(text.expect(0).stdout.contains("e\\udcff"));
}

#[test]
fn no_command_panics_at_a_path_that_is_not_utf8() {
    let files = Files::new();
    let (file, fit) = (odd(&files, b"x\xff.safetensors"), odd(&files, b"f\xe9"));
    std::fs::rename(files.activations("x.safetensors"), &file).expect("renamed");
    let page = odd(&files, b"p\xe9.html");
    let encoded = odd(&files, b"e\xe9.safetensors");
    let labels = odd(&files, b"l\xe9.jsonl");
    let label = |i: usize| format!("{{\"id\": {i}, \"concept\": \"{}\"}}\n", ["a", "neutral"][i % 2]);
    std::fs::write(&labels, (0..TOKENS / PROMPT).map(label).collect::<String>()).expect("written");
    run(&[&args(&["fit", "-k", "3", "--engine", "cpu", "--out"])[..], &[&fit, &file]].concat()).expect(0);
    for json in [&["--json"][..], &[]] {
        let json = args(json);
        let runs = [
            vec![OsStr::new("inspect"), &file],
            vec![OsStr::new("features"), &fit],
            vec![OsStr::new("compare"), &fit, &fit],
            [&[OsStr::new("tree"), &fit][..], &args(&["--ranks", "2", "--engine", "cpu"])].concat(),
            [&[OsStr::new("encode"), &fit, &file][..], &args(&["--force", "--out"]), &[&encoded]].concat(),
            [&[OsStr::new("report"), &fit][..], &args(&["--force", "--out"]), &[&page]].concat(),
            [&[OsStr::new("concepts"), &fit][..], &args(&["--permutations", "0", "--labels"]), &[&labels]].concat(),
        ];
        for args in runs {
            let run = run(&[&args[..], &json].concat()).expect(0);
            if !json.is_empty() {
                run.json();
            }
        }
    }
}

#[test]
fn a_link_stays_a_link_whatever_is_written_to_it() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fit = files.fit(&file, "fit", &["-k", "3"]);
    let commands = [
        ("page", vec!["report", &fit]),
        ("encoded", vec!["encode", &fit, &file]),
        ("export", vec!["export", &fit, "--to", "saelens"]),
        ("other", vec!["fit", &file, "-k", "2"]),
    ];
    for (name, args) in commands {
        let (link, target) = (files.path(&format!("{name}-link")), files.path(name));
        std::os::unix::fs::symlink(name, &link).expect("linked");
        // First the link leads to nothing, and then to what is there.
        for force in [&[][..], &["--force"]] {
            unmix(&[&args[..], &["--engine", "cpu", "-q", "--out", &link], force].concat()).expect(0);
            assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink(), "{name}");
            assert!(std::fs::symlink_metadata(&target).is_ok_and(|found| !found.is_symlink()), "{name}");
        }
    }
}
