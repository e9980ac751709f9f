//! Each class of error: its exit code, and a message that says what was found and what to do.

use crate::harness::{Files, NEURONS, Run, TOKENS, command, unmix, values};

/// Runs a fit that must fail, and checks that nothing is left behind.
fn failed_fit(files: &Files, args: &[&str], code: i32, words: &[&str]) -> Run {
    let before = files.names();
    let out = files.path("out");
    let run = unmix(&[&["fit", "--engine", "cpu", "--out", &out][..], args].concat()).expect(code);
    words.iter().for_each(|word| assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr));
    assert_eq!(files.names(), before);
    run
}

#[test]
fn a_gpu_that_was_asked_for_is_not_ignored_by_commands_that_need_none() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3", "-p", "0.3"]);
    let commands: [&[&str]; 6] = [
        &["features", &fit],
        &["compare", &fit, &fit],
        &["lens", &fit, "--model", "m.safetensors"],
        &["concepts", &fit, "--labels", "labels.json"],
        &["export", &fit, "--to", "delphi", "--out", "cache"],
        &["report", &fit, "--out", "report.html"],
    ];
    for command in commands {
        for (given, option) in [(&["--engine", "gpu"][..], "--engine gpu: "), (&["--adapter", "x"], "--adapter: ")] {
            files.refused(&[command, given].concat(), &[option, command[0], "computes on the CPU alone; leave"]);
        }
    }
    unmix(&["features", &fit, "--engine", "cpu"]).expect(0);
}

#[test]
fn a_missing_file_and_a_folder() {
    let files = Files::new();
    let missing = files.path("missing.npy");
    for args in [&["inspect", &missing][..], &["features", &missing]] {
        let run = unmix(args).expect(2);
        assert!(run.stderr.contains("missing.npy") && run.stderr.contains("no such file"), "{}", run.stderr);
    }
    failed_fit(&files, &[&missing, "--rank", "2"], 2, &["missing.npy", "no such file"]);
    failed_fit(&files, &[&files.path(""), "--rank", "2"], 2, &["no .safetensors or .npy file", "name the folder"]);
}

#[test]
fn values_that_are_not_finite() {
    let files = Files::new();
    let mut x = values();
    x[5 * NEURONS + 7] = f32::NAN;
    let file = files.tensors("nan.safetensors", &[("activations", &x, &[TOKENS, NEURONS])]);
    failed_fit(&files, &[&file, "--rank", "2"], 2, &["nan.safetensors", "token 5, neuron 7", "NaN"]);
}

#[test]
fn a_wrong_tensor_or_none_of_several() {
    let files = Files::new();
    let x = values();
    let file = files.tensors("two.safetensors", &[("a", &x, &[TOKENS, NEURONS]), ("b", &x, &[TOKENS, NEURONS])]);
    failed_fit(&files, &[&file, "--rank", "2", "--tensor", "c"], 2, &["\"c\"", "a f32 [120, 24]"]);
    failed_fit(&files, &[&file, "--rank", "2"], 2, &["several", "--tensor NAME"]);
    unmix(&["inspect", &file, "--tensor", "b"]).expect(0);
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_at_once() {
    let files = Files::new();
    let pipe = files.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let file = files.activations("x.safetensors");
    let fit = files.fit(&file, "fit", &["-k", "3"]);
    for path in [pipe.as_str(), "/dev/zero"] {
        let words = [path, "this is a device or pipe"];
        files.refused(&["inspect", path], &words);
        files.refused(&["fit", path, "-k", "2", "--engine", "cpu", "--out", &files.path("o")], &words);
        files.refused(&["fit", &file, "-k", "2", "--init-coefficients", path, "--out", &files.path("o")], &words);
        files.refused(&["encode", &fit, path, "--out", &files.path("o")], &words);
        files.refused(&["features", &fit, "--tokens", path], &words);
        files.refused(&["features", &fit, "--vocabulary", path], &words);
        files.refused(&["concepts", &fit, "--labels", path], &words);
        files.refused(&["lens", &fit, "--model", path], &words);
    }
    std::fs::remove_file(files.path("fit/run.json")).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", files.path("fit/run.json")).expect("linked");
    files.refused(&["features", &fit], &["run.json", "this is a device or pipe"]);
}

#[test]
fn impossible_and_ignored_options() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    failed_fit(&files, &[&file, "--rank", "25"], 2, &["--rank 25", "120 tokens × 24 neurons", "1 to 24"]);
    failed_fit(&files, &[&file, "--rank", "0"], 2, &["--rank 0", "1 to 24"]);
    failed_fit(&files, &[&file, "--rank", "2", "--sparsity", "0"], 2, &["--sparsity", "above 0 and up to 1"]);
    failed_fit(&files, &[&file, "--rank", "2", "--tolerance", "nan"], 2, &["--tolerance", "finite"]);
    failed_fit(&files, &[&file, "--rank", "2", "--max-iterations", "0"], 2, &["--max-iterations"]);
    failed_fit(
        &files,
        &[&file, "--rank", "2", "--preset", "paper", "--penalty", "1"],
        2,
        &["--penalty", "--solver hals"],
    );
    let start = files.tensors("start.safetensors", &[("start", &[1.0; 2 * TOKENS], &[TOKENS, 2])]);
    for (ignored, needed) in [
        ("--relaxation 0.3", "--solver projected-ls"),
        ("--relaxation 3", "--solver projected-ls"),
        ("--solver mu --relaxation 0.3", "--solver projected-ls"),
        ("--preset paper --sweeps 3", "--solver paper"),
        ("--solver mu --warm-up 3", "--init kmeans with --solver hals"),
        ("--init random --warm-up 3", "--init kmeans with --solver hals"),
        (&format!("--init-coefficients {start} --warm-up 3"), "--init kmeans with --solver hals"),
    ] {
        let option = ignored.rsplit(' ').nth(1).expect("an option");
        let args = [&[file.as_str(), "--rank", "2"][..], &ignored.split(' ').collect::<Vec<_>>()].concat();
        failed_fit(&files, &args, 2, &[&format!("{option}: "), needed, "or leave it out"]);
    }
    let unshrunk = ["--solver", "projected-ls", "--unshrink"];
    failed_fit(
        &files,
        &[&[&file, "--rank", "2"], &unshrunk[..]].concat(),
        2,
        &["--unshrink: only --solver hals", "or leave it out"],
    );
    failed_fit(&files, &[&file, "--rank", "2", "--init", "given"], 2, &["--init given", "--init-coefficients FILE"]);
    failed_fit(&files, &[&file, "--rank", "2", "--adapter", "x"], 2, &["--adapter x", "--engine cpu"]);
    failed_fit(&files, &[&file, "--rank", "2", "--such-flag"], 2, &["--such-flag"]);
}

#[test]
fn initial_coefficients_that_do_not_fit() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let start = files.tensors(
        "start.safetensors",
        &[("short", &[1.0; 6], &[3, 2]), ("negative", &[-1.0; 2 * TOKENS], &[TOKENS, 2])],
    );
    let with = |tensor: &str| format!("{start}:{tensor}");
    let fit = |given: &str, words: &[&str]| {
        failed_fit(&files, &[&file, "--rank", "2", "--init-coefficients", given], 2, words);
    };
    fit(&with("short"), &["3 × 2", "120 tokens × 2 features"]);
    fit(&with("negative"), &["-1 at token 0, feature 0", "at least 0"]);
    fit(&with("other"), &["\"other\"", "short f32 [3, 2]"]);
    fit(&start, &["several", ":NAME"]);
    failed_fit(
        &files,
        &[&file, "--rank", "2", "--init", "svd", "--init-coefficients", &with("short")],
        2,
        &["--init svd", "contradicts"],
    );
}

#[test]
fn a_result_folder_that_must_not_be_replaced() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fit = |out: &str, force: &[&str]| {
        unmix(&[&["fit", &file, "--rank", "2", "--engine", "cpu", "--out", out][..], force].concat())
    };
    let own = files.path("own");
    std::fs::create_dir(&own).expect("created");
    files.write("own/thesis.tex", "years of work");
    let run = fit(&own, &[]).expect(2);
    assert!(run.stderr.contains("already exists") && run.stderr.contains("--force"), "{}", run.stderr);
    let run = fit(&own, &["--force"]).expect(2);
    assert!(run.stderr.contains("thesis.tex"), "{}", run.stderr);
    let run = fit(&files.path("no/such/parent"), &[]).expect(2);
    assert!(run.stderr.contains("does not exist"), "{}", run.stderr);
    assert_eq!(files.names(), ["own", "x.safetensors"]);

    let out = files.path("out");
    fit(&out, &[]).expect(0);
    fit(&out, &[]).expect(2);
    fit(&out, &["--force"]).expect(0);
}

#[test]
fn no_such_adapter() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let run = unmix(&["fit", &file, "--rank", "2", "--out", &files.path("out"), "--adapter", "no such one"]).expect(3);
    assert!(run.stderr.contains("no such one"), "{}", run.stderr);
    let run = unmix(&["doctor", "--require", "gpu", "--adapter", "no such one", "-q"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("--require gpu"), "{}", run.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn more_memory_than_there_is() {
    let files = Files::new();
    // Half a terabyte of zeros that takes no space on the disk, and a fit of three features.
    let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (16777216, 16384), }";
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    let file = files.write("huge.npy", &bytes);
    let handle = std::fs::File::options().write(true).open(&file).expect("opened");
    handle.set_len(bytes.len() as u64 + 16_777_216 * 16_384 * 2).expect("extended");
    failed_fit(&files, &[&file, "--rank", "16384"], 4, &["huge.npy", "TiB", "smaller rank"]);
}

#[cfg(target_os = "linux")]
#[test]
fn stdout_that_cannot_be_written() {
    let files = Files::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("opened");
    let file = files.activations("x.safetensors");
    let run: Run = command(&["inspect", &file]).stdout(full).output().expect("started").into();
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("writing to stdout failed"), "{}", run.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let run: Run = command(&["inspect", &file]).stdout(writer).output().expect("started").into();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn errors_as_json() {
    let run = unmix(&["inspect", "missing.npy", "--progress", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    let event: serde_json::Value = serde_json::from_str(&run.stderr).expect("one JSON object");
    assert_eq!(event["event"], "error");
    assert_eq!(event["exit_code"], 2);
    assert!(event["message"].as_str().expect("text").contains("no such file"));
}

#[test]
fn tokens_that_do_not_fit() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let out = files.path("out");
    unmix(&["fit", &file, "--rank", "3", "--engine", "cpu", "--out", &out]).expect(0);
    let features = |args: &[&str]| unmix(&[&["features", &out][..], args].concat()).expect(2).stderr;
    let short = files.write("short.json", r#"["a", "b"]"#);
    assert!(features(&["--tokens", &short]).contains("has 2 entries, but there are 120 tokens"));
    let wrong = files.write("wrong.json", r#"{"a": "b"}"#);
    assert!(features(&["--tokens", &wrong]).contains("one string a row"));
    let vocabulary = files.write("vocabulary.json", r#"["a"]"#);
    assert!(features(&["--vocabulary", &vocabulary]).contains("lacks 80 of 120 token ids, the first in row 1: 1"));
    assert!(features(&["--feature", "3"]).contains("features 0 to 2"));
}
