//! `unmix doctor`.

use crate::harness::unmix;

#[test]
fn the_cpu_engine_is_healthy() {
    let run = unmix(&["doctor", "--engine", "cpu"]).expect(0);
    assert!(run.stdout.contains("engine cpu") && run.stdout.contains("ok, off by"), "{}", run.stdout);
    let json = unmix(&["doctor", "--engine", "cpu", "--json", "-q"]).expect(0).json();
    let engine = &json["engines"][0];
    assert_eq!((&engine["engine"], &engine["passed"]), (&"cpu".into(), &true.into()));
    let checks = engine["checks"].as_array().expect("an array").iter();
    let solvers: Vec<&str> = checks.map(|check| check["solver"].as_str().expect("text")).collect();
    assert_eq!(
        solvers,
        ["solver hals", "solver projected-ls", "solver paper", "larger, projected-ls", "larger, k-means"]
    );
}

#[test]
fn requirements_that_contradict_are_refused() {
    let run = unmix(&["doctor", "--engine", "cpu", "--require", "gpu", "-q"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("--require gpu"), "{}", run.stderr);
}

/// On a machine without any adapter, the requirement fails with its own exit code. With one that works, it does not
/// fail.
#[test]
fn a_required_gpu_decides_the_exit_code() {
    let run = unmix(&["doctor", "--require", "gpu", "--json", "-q"]);
    let engines = run.json()["engines"].as_array().expect("an array").clone();
    let good = engines.iter().any(|engine| engine["engine"] == "gpu" && engine["passed"] == true);
    assert_eq!(run.code, if good { 0 } else { 3 }, "{}", run.stderr);
}
