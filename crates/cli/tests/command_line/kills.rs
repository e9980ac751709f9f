//! Programs that are killed while they write.
#![cfg(unix)]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{Files, command, unmix};

/// All bytes of a file, or of the files in a folder.
fn content(path: &Path) -> Vec<(String, Vec<u8>)> {
    let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    if path.is_file() {
        return vec![(name, std::fs::read(path).expect("read"))];
    }
    let entries = std::fs::read_dir(path).expect("listed").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries.flat_map(|path| content(&path)).collect();
    all.sort();
    all
}

/// Kills `args`, which write `out`, at moments spread over a run. Checks that `out` is each time either what it was or
/// what it becomes, and that only `names` are there after the next run.
fn check(files: &Files, args: &[&str], out: &str, is_whole: impl Fn()) {
    const KILLS: u32 = 12;
    unmix(args).expect(0);
    let names = files.names();
    let start = Instant::now();
    unmix(args).expect(0);
    let whole = start.elapsed();
    for kill in 1..=KILLS {
        let earlier = content(Path::new(out));
        let mut child = command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        // The end of a run matters more than its beginning, because results are written there.
        std::thread::sleep(whole.mul_f64(0.5 + 0.6 * f64::from(kill) / f64::from(KILLS)).min(Duration::from_secs(20)));
        // The process may have ended already.
        let _ = child.kill();
        child.wait().expect("ended");
        if content(Path::new(out)) != earlier {
            is_whole();
        }
    }
    unmix(args).expect(0);
    is_whole();
    assert_eq!(files.names(), names);
}

#[test]
fn a_killed_fit_leaves_an_old_or_a_new_fit_and_nothing_after_the_next_run() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let args = ["fit", &file, "-k", "3", "--engine", "cpu", "-q", "--force", "--out", &out];
    check(&files, &args, &out, || drop(unmix(&["features", &out, "--json"]).expect(0)));
}

#[test]
fn a_killed_encoding_report_or_export_leaves_an_old_or_a_new_one_and_nothing_after_the_next_run() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fit = files.fit(&file, "fit", &["-k", "3"]);
    let encoded = files.path("encoded.safetensors");
    let args = ["encode", &fit, &file, "--engine", "cpu", "-q", "--force", "--out", &encoded];
    check(&files, &args, &encoded, || drop(unmix(&["inspect", &encoded, "--tensor", "coefficients"]).expect(0)));

    let page = files.path("page.html");
    let args = ["report", &fit, "--engine", "cpu", "-q", "--force", "--out", &page];
    check(&files, &args, &page, || {
        assert!(std::fs::read_to_string(&page).expect("read").trim_end().ends_with("</html>"));
    });

    let export = files.path("export");
    let args = ["export", &fit, "--to", "saelens", "-q", "--force", "--out", &export];
    check(&files, &args, &export, || {
        let names: Vec<String> = content(Path::new(&export)).into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"cfg.json".to_owned()) && names.contains(&"sae_weights.safetensors".to_owned()));
    });
}
