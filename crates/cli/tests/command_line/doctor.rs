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
    for engine in engines.iter().filter(|engine| engine["engine"] == "gpu" && engine["passed"] == true) {
        let chosen = engine["cross_products"].as_array().expect("an array");
        assert_eq!(chosen.len(), 3, "a variant for each type of activations: {chosen:?}");
        // Each is among those that were checked.
        for variant in chosen.iter().map(|chosen| chosen["variant"].as_str().expect("text")) {
            let name = format!("larger, projected-ls, cross_product {variant}");
            assert!(
                engine["checks"].as_array().expect("an array").iter().any(|check| check["solver"] == *name),
                "{name}"
            );
        }
    }
    assert_eq!(run.code, if good { 0 } else { 3 }, "{}", run.stderr);
}
