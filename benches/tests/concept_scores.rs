//! Runs the program behind the records of concept scores on the activations of the demo.

use std::path::Path;
use std::process::Command;

#[test]
fn every_solver_is_scored_in_json_and_in_a_table() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cli/data/demo");
    let run = Command::new(env!("CARGO_BIN_EXE_concept_scores"))
        .args([demo.join("activations.safetensors"), demo.join("prompts.json")])
        .arg("1")
        .output()
        .expect("started");
    let out = String::from_utf8(run.stdout).expect("UTF-8");
    assert!(run.status.success(), "{out}{}", String::from_utf8_lossy(&run.stderr));
    let fits: Vec<serde_json::Value> =
        out.lines().take_while(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(fits.len(), 4);
    for fit in &fits {
        let (found, chance) = (&fit["summary"]["auc_mean"], &fit["baseline"]["auc_mean"]["mean"]);
        assert!(found.as_f64().expect("a number") > chance.as_f64().expect("a number"), "{fit}");
        assert_eq!(fit["baseline"]["permutations"], 100);
    }
    let columns: Vec<usize> =
        out.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
    assert_eq!(columns, [11; 7]);
}
