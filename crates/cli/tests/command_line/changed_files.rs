//! Files that another process changes, or cuts short, while a fit reads them.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::harness::{Files, Run, command};

/// Fits a file, resident or streamed, that `change` changes as soon as the start is being chosen.
fn fit_while(stream: &str, change: impl FnOnce(&std::fs::File, u64)) -> Run {
    let files = Files::new();
    // This is enough work to last until the file has been changed.
    let (tokens, neurons) = (20_000, 256);
    let values: Vec<f32> = (0..tokens * neurons).map(|at| ((at * 7919) % 1009) as f32 / 1009.0 - 0.5).collect();
    let path = files.npy("big.npy", &values, neurons);
    let out = files.path("fit");
    let mut child = command(&[
        "fit",
        &path,
        "--rank",
        "20",
        "--engine",
        "cpu",
        "--tolerance",
        "0",
        "--max-iterations",
        "200",
        "--stream",
        stream,
        "--out",
        &out,
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let (mut said, mut line) = (String::new(), String::new());
    while stderr.read_line(&mut line).expect("read") > 0 && !line.starts_with("choosing the start") {
        said.push_str(&std::mem::take(&mut line));
    }
    let file = std::fs::File::options().write(true).open(&path).expect("opened");
    change(&file, file.metadata().expect("looked at").len());
    stderr.read_to_string(&mut said).expect("read");
    let mut run = Run::from(child.wait_with_output().expect("ended"));
    run.stderr = said;
    assert!(!files.names().contains(&"fit".to_owned()), "nothing is saved");
    assert!(run.stderr.contains("big.npy"), "the file is named: {}", run.stderr);
    run
}

#[cfg(unix)]
#[test]
fn a_file_that_is_cut_short_during_a_fit_is_an_error_that_names_it() {
    for stream in ["never", "always"] {
        let run = fit_while(stream, |file, bytes| file.set_len(bytes / 2).expect("cut short")).expect(1);
        assert!(run.stderr.contains("cut short"), "{}", run.stderr);
    }
}

#[cfg(unix)]
#[test]
fn numbers_that_are_changed_during_a_fit_are_an_error_whatever_they_are() {
    use std::os::unix::fs::FileExt;
    for (value, stream) in [(f32::NAN, "never"), (1.0, "never"), (f32::NAN, "always"), (1.0, "always")] {
        let bytes: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), 10_000).flatten().collect();
        let run = fit_while(stream, |file, end| file.write_all_at(&bytes, end - bytes.len() as u64).expect("written"))
            .expect(1);
        assert!(run.stderr.contains("was changed while it was read"), "{}", run.stderr);
    }
}
