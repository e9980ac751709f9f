//! Ctrl-C, and the signals by which batch systems and closing terminals end a program.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::harness::{Files, Run, command, unmix};

#[test]
fn ctrl_c_saves_what_was_found() {
    saves_what_was_found("INT", 130);
}

#[test]
fn the_signals_of_batch_systems_and_closing_terminals_save_as_ctrl_c_does() {
    saves_what_was_found("TERM", 143);
    saves_what_was_found("HUP", 129);
}

/// A fit that the signal stops after some iterations.
fn saves_what_was_found(signal: &str, code: i32) {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let args = ["fit", &file, "-k", "3", "--engine", "cpu", "--out", &out, "--progress", "json", "--json"];
    let mut child = command(&[&args[..], &["--tolerance", "0", "--max-iterations", "4000000000"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("\"iteration\":3") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("read") > 0, "ended early");
    }
    let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().expect("started");
    assert!(killed.success());
    let mut events = String::new();
    for line in stderr.lines() {
        let line = line.expect("read");
        if !line.contains("\"event\":\"iteration\"") {
            events.push_str(&line);
        }
    }
    let run = Run { stderr: events, ..child.wait_with_output().expect("ended").into() }.expect(code);
    assert!(run.stderr.contains("\"interrupt\"") && run.stderr.contains("is saved in"), "{}", run.stderr);
    assert_eq!(run.json()["stop_reason"], "interrupted");
    // The result is a fit like any other.
    let features = unmix(&["features", &out, "--json"]).expect(0).json();
    assert_eq!(features["features"].as_array().expect("an array").len(), 3);
    // A checkpoint is left as well, so that the fit can go on.
    assert_eq!(files.names(), ["out", "out.partial", "x.safetensors"]);
}

#[test]
fn a_warm_up_hears_ctrl_c() {
    let files = Files::new();
    let values: Vec<f32> = (0..3_000 * 16).map(|at| ((at * 7919) % 1009) as f32 / 1009.0 - 0.5).collect();
    let (file, out) = (files.npy("x.npy", &values, 16), files.path("out"));
    let args = ["fit", &file, "-k", "3", "--solver", "projected-ls", "--engine", "cpu", "--out", &out];
    let args = [&args[..], &["--progress", "json", "--warm-up", "4000000000"]].concat();
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("warming up") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("read") > 0, "ended early");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("started");
    assert!(killed.success());
    let said: String = stderr.lines().map(|line| line.expect("read")).collect();
    let run = Run { stderr: said, ..child.wait_with_output().expect("ended").into() }.expect(130);
    assert!(run.stderr.contains("is saved in"), "{}", run.stderr);
    unmix(&["features", &out]).expect(0);
}
