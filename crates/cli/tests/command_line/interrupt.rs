//! Ctrl-C.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::harness::{Files, Run, command, unmix};

#[test]
fn ctrl_c_saves_what_was_found() {
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
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("started");
    assert!(killed.success());
    let mut events = String::new();
    for line in stderr.lines() {
        let line = line.expect("read");
        if !line.contains("\"event\":\"iteration\"") {
            events.push_str(&line);
        }
    }
    let run = Run { stderr: events, ..child.wait_with_output().expect("ended").into() }.expect(130);
    assert!(run.stderr.contains("\"interrupt\"") && run.stderr.contains("is saved in"), "{}", run.stderr);
    assert_eq!(run.json()["stop_reason"], "interrupted");
    // What was saved is a fit like any other.
    let features = unmix(&["features", &out, "--json"]).expect(0).json();
    assert_eq!(features["features"].as_array().expect("an array").len(), 3);
    assert_eq!(files.names(), ["out", "x.safetensors"]);
}
