//! Text from files, on its way to a terminal.

use crate::harness::{Files, NEURONS, PROMPT, TOKENS, command, unmix, values};

/// This changes the title, clears the screen, colours, turns the direction of text, and begins a line of its own.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[1mBOLD\u{9b}31m\u{202e}\r\nerror: not ours";

/// Checks that neither stream could change a terminal, and that no part of the name begins a line.
fn check(args: &[&str], code: i32) {
    let output = command(args).output().expect("started");
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    for stream in [output.stdout, output.stderr] {
        let text = String::from_utf8(stream).expect("UTF-8");
        let disturbs = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
        assert!(!text.contains(disturbs), "{args:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error: not ours")), "{args:?}: {text}");
    }
}

#[test]
fn names_in_files_and_of_files_reach_it_as_escapes() {
    let files = Files::new();
    let (x, shape) = (values(), [TOKENS, NEURONS]);
    let good = files.activations("x.safetensors");
    let one = files.tensors("one.safetensors", &[(HOSTILE, &x, &shape)]);
    let two = files.tensors("two.safetensors", &[(HOSTILE, &x, &shape), ("b", &x, &shape)]);
    let fit = files.fit(&good, "fit", &["-k", "3"]);

    check(&["inspect", &one], 0);
    check(&["inspect", &two], 2);
    check(&["inspect", &two, "--tensor", HOSTILE], 0);
    check(&["inspect", &two, "--tensor", &format!("no {HOSTILE}")], 2);
    check(&["fit", &two, "-k", "2", "--engine", "cpu", "--out", &files.path("z")], 2);
    check(&["fit", &one, "-k", "2", "--engine", "cpu", "--out", &files.path("z")], 0);
    check(&["encode", &fit, &two, "--engine", "cpu", "--out", &files.path("e.safetensors")], 2);
    check(&["lens", &fit, "--model", &two, "--layer", "0"], 2);
    check(&["lens", &fit, "--model", &two, "--down-proj", HOSTILE], 2);
    check(&["inspect", &format!("no such {HOSTILE}")], 2);
    check(&["features", &fit, &format!("--{HOSTILE}")], 2);
    // For JSON, only the way in which it is written changes.
    check(&["inspect", &one, "--json"], 0);
    assert_eq!(unmix(&["inspect", &one, "--json"]).expect(0).json()["files"][0]["tensor"], HOSTILE);
    check(&["inspect", &two, "--progress", "json"], 2);
}

#[test]
fn values_of_an_edited_record_reach_it_as_escapes() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3"]);
    let path = std::path::Path::new(&fit).join("run.json");
    let mut run: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    for field in ["adapter", "engine", "unmix_version"] {
        run[field] = HOSTILE.into();
    }
    run["input"]["path"] = format!("nope{HOSTILE}").into();
    run["input"]["tensor"] = HOSTILE.into();
    std::fs::write(&path, run.to_string()).expect("written");
    let tokens = files.write("tokens.json", serde_json::to_string(&vec![HOSTILE; TOKENS]).expect("JSON"));
    let concepts = [HOSTILE, "b", "neutral"];
    let label = |i: usize| serde_json::json!({"id": i, "concept": concepts[i % 3]}).to_string() + "\n";
    let labels = files.write("labels.jsonl", (0..TOKENS / PROMPT).map(label).collect::<String>());

    check(&["features", &fit, "--tokens", &tokens], 0);
    check(&["features", &fit, "--tokens", &tokens, "--json"], 0);
    check(&["tree", &fit, "--ranks", "2", "--tokens", &tokens, "--engine", "cpu"], 0);
    check(&["compare", &fit, &fit], 0);
    check(&["concepts", &fit, "--labels", &labels], 2);
    check(&["concepts", &fit, "--labels", &labels, "--activations", &files.path("x.safetensors")], 0);
    check(&["export", &fit, "--to", "saelens", "--out", &files.path("export")], 0);
    check(&["report", &fit, "--tokens", &tokens, "--out", &files.path("r.html")], 0);
}

#[cfg(unix)]
#[test]
fn a_file_of_a_hostile_name_is_named_by_escapes() {
    let files = Files::new();
    let name = HOSTILE.replace('/', "");
    let file = files.activations(&format!("{name}.safetensors"));
    check(&["inspect", &file], 0);
    let fit = files.path(&format!("fit {name}"));
    check(&["fit", &file, "-k", "3", "--engine", "cpu", "--out", &fit], 0);
    check(&["fit", &file, "-k", "3", "--engine", "cpu", "--out", &fit], 2);
    check(&["features", &fit], 0);
    check(&["compare", &fit, &fit], 0);
    check(&["export", &fit, "--to", "saelens", "--out", &files.path(&format!("export {name}"))], 0);
}
