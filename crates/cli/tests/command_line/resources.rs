//! More threads and memory than there are.

use crate::harness::{Files, Run, command};

#[test]
fn absurd_numbers_of_threads_are_cut_with_a_warning() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    for (variable, count, is_told) in [
        ("RAYON_NUM_THREADS", "10000", true),
        ("RAYON_RS_NUM_CPUS", "10000", true),
        ("RAYON_NUM_THREADS", "many", true),
        ("RAYON_NUM_THREADS", "1", false),
    ] {
        let mut command = command(&["inspect", &file]);
        let run = Run::from(command.env(variable, count).output().expect("started")).expect(0);
        assert_eq!(run.stderr.contains(&format!("{variable}={count}")), is_told, "{}", run.stderr);
    }
}

/// Runs the command with so many kibibytes of address space.
#[cfg(target_os = "linux")]
fn within(kibibytes: u64, args: &[&str]) -> Run {
    let unmix = command(args);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"")]).arg(unmix.get_program()).args(args);
    // Every thread takes address space of its own.
    Run::from(shell.env("RAYON_NUM_THREADS", "1").output().expect("started"))
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_runs_out_has_an_exit_code_and_a_message() {
    const LIMIT: u64 = 600_000;
    let files = Files::new();
    // A gigabyte of zeros. It takes no space on the disk, but it takes address space as soon as it is mapped.
    let file = files.npy("x.npy", &[0.0; 64], 64);
    let header = std::fs::metadata(&file).expect("there").len() - 64 * 4;
    let text = std::fs::read(&file).expect("read")[..header as usize].to_vec();
    let text = String::from_utf8_lossy(&text[10..]).replace("(1, 64)", "(4194304, 64)").trim_end().to_owned();
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(118u16.to_le_bytes());
    bytes.extend(format!("{text:<117}\n").bytes());
    let large = files.write("large.npy", &bytes);
    let handle = std::fs::File::options().write(true).open(&large).expect("opened");
    handle.set_len(bytes.len() as u64 + 4_194_304 * 64 * 4).expect("extended");
    let run = within(LIMIT, &["inspect", &large]).expect(4);
    assert!(run.stderr.contains("large.npy"), "{}", run.stderr);

    // Two gigabytes that nothing foresees, so that the system refuses an allocation.
    let bench =
        ["bench", "--tokens", "4000000", "--neurons", "256", "--rank", "4", "--engine", "cpu", "--element", "f16"];
    let run = within(LIMIT, &bench).expect(4);
    assert!(run.stderr.contains("error: out of memory: the system refused"), "{}", run.stderr);
    let run = within(LIMIT, &[&bench[..], &["--progress", "json"]].concat());
    assert_eq!(run.code, 4, "{}", run.stderr);
    let last = run.stderr.lines().last().expect("a line");
    let event: serde_json::Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {last}"));
    assert_eq!((&event["event"], &event["exit_code"]), (&"error".into(), &4.into()));
}
