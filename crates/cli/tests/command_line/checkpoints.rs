//! Fits that are stopped, and go on from a checkpoint.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Files, Run, command, unmix};

/// Iterations of a fit that is still at work long after its first checkpoint, and that can be computed to its end.
const LONG: &str = "500";

/// Writes activations whose fit takes some hundred milliseconds. Returns the command line of that fit, without `--out`.
fn activations(files: &Files) -> (String, Vec<f32>) {
    let values: Vec<f32> = (0..3_000 * 50).map(|at| ((at * 7919) % 1009) as f32 / 1009.0 - 0.4).collect();
    (files.npy("x.npy", &values, 50), values)
}

fn fit<'a>(file: &'a str, out: &'a str, engine: &'a str, iterations: &'a str) -> Vec<&'a str> {
    let options = ["--rank", "7", "--sparsity", "0.2", "--tolerance", "0", "--checkpoint-every", "1ms", "-q"];
    [&["fit", file, "--out", out, "--engine", engine, "--max-iterations", iterations][..], &options].concat()
}

/// A fit with several runs, each of so many iterations.
fn consensus<'a>(file: &'a str, out: &'a str, iterations: &'a str) -> Vec<&'a str> {
    let options = ["--rank", "7", "--sparsity", "0.2", "--runs", "25", "--checkpoint-every", "1ms", "-q"];
    [&["fit", file, "--out", out, "--engine", "cpu", "--max-iterations", iterations][..], &options].concat()
}

fn factors(out: &str) -> Vec<u8> {
    std::fs::read(Path::new(out).join("factorization.safetensors")).expect("factors")
}

/// The number in the variable `UNMIX_KILLS`, or `usual` without it.
fn kills(usual: u32) -> u32 {
    std::env::var("UNMIX_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Kills fits at moments spread over their time. Checks that each of them goes on to the same bits as a fit that was
/// not killed.
fn killed_fits_end_with_the_same_bits(fit: impl for<'a> Fn(&'a str, &'a str) -> Vec<&'a str>, kills: u32) {
    let files = Files::new();
    let ((file, _), whole) = (activations(&files), files.path("whole"));
    let started = Instant::now();
    unmix(&fit(&file, &whole)).expect(0);
    let (time, expected) = (started.elapsed(), factors(&whole));
    let mut resumed = 0;
    for kill in 0..kills {
        let out = files.path("killed");
        let begin = fit(&file, &out);
        let mut child = command(&begin).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        // The golden ratio spreads any number of moments evenly. One kill comes after a checkpoint, however fast the
        // machine is.
        let share = (f64::from(kill) * 0.618_033_988_75).fract();
        if kill == 0 {
            wait_for_checkpoint(&out);
        } else {
            std::thread::sleep(time.mul_f64(share));
        }
        // The process may have ended already.
        let _ = child.kill();
        child.wait().expect("ended");
        if !Path::new(&out).exists() || Path::new(&format!("{out}.partial")).exists() {
            let run = unmix(&["fit", "--resume", &out, "-q"]);
            match run.code {
                0 => resumed += 1,
                // The fit was killed before its first checkpoint. It can start anew, because nothing is in its way.
                _ => {
                    assert!(run.expect(2).stderr.contains("no checkpoint is there"));
                    unmix(&begin).expect(0);
                }
            }
        }
        assert!(factors(&out) == expected, "kill {kill}, after {share:.3} of {time:?}");
        assert_eq!(files.names(), ["killed", "whole", "x.npy"], "kill {kill}");
        std::fs::remove_dir_all(&out).expect("removed");
    }
    assert!(resumed > 0, "no kill came after a checkpoint");
}

#[test]
fn a_fit_that_is_killed_at_any_moment_goes_on_to_the_same_bits() {
    killed_fits_end_with_the_same_bits(|file, out| fit(file, out, "cpu", "300"), kills(8));
}

#[test]
fn a_fit_on_the_gpu_engine_that_is_killed_goes_on_to_the_same_bits() {
    killed_fits_end_with_the_same_bits(|file, out| fit(file, out, "gpu", "40"), kills(10).div_ceil(5));
}

#[test]
fn several_runs_that_are_killed_at_any_moment_go_on_to_the_same_bits() {
    killed_fits_end_with_the_same_bits(|file, out| consensus(file, out, "20"), kills(8));
}

/// Starts a fit without an end, waits for its first checkpoint, and returns the process.
fn begun(file: &str, out: &str, iterations: &str) -> Child {
    started(&fit(file, out, "cpu", iterations), out)
}

/// Starts a fit that writes to `out`, waits for its first checkpoint, and returns the process.
fn started(args: &[&str], out: &str) -> Child {
    let child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    wait_for_checkpoint(out);
    child
}

/// Sends a signal to a process, and waits for its end.
fn signalled(child: Child, signal: &str) -> Run {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("started").success());
    Run::from(child.wait_with_output().expect("ended"))
}

fn wait_for_checkpoint(out: &str) {
    let patience = Instant::now();
    let partial = format!("{out}.partial");
    let has_checkpoint = || {
        let entries = std::fs::read_dir(&partial).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("checkpoint-"))
    };
    while !has_checkpoint() {
        assert!(patience.elapsed() < Duration::from_secs(60), "no checkpoint of {out}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_interrupted_fit_saves_its_best_and_goes_on_as_if_it_had_not_been_interrupted() {
    let files = Files::new();
    let ((file, _), out, whole) = (activations(&files), files.path("out"), files.path("whole"));
    unmix(&fit(&file, &whole, "cpu", "1000")).expect(0);
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let child = begun(&file, &out, "1000");
        let run = signalled(child, signal).expect(code);
        assert!(run.stderr.contains("is saved in") && run.stderr.contains("fit --resume"), "{}", run.stderr);
        let record = std::fs::read_to_string(Path::new(&out).join("run.json")).expect("read");
        assert!(record.contains("\"stop_reason\": \"interrupted\""), "{record}");
        // A new fit does not replace one that can go on.
        files.refused(&fit(&file, &out, "cpu", "3"), &["already exists"]);
        unmix(&["fit", "--resume", &out, "-q"]).expect(0);
        assert!(factors(&out) == factors(&whole), "{signal}");
        assert_eq!(files.names(), ["out", "whole", "x.npy"]);
        let again = unmix(&["fit", "--resume", &out]).expect(0);
        assert!(again.stdout.contains("nothing to resume"), "{}", again.stdout);
        std::fs::remove_dir_all(&out).expect("removed");
    }
}

#[test]
fn several_runs_that_are_interrupted_save_what_they_have_and_go_on_to_the_same_bits_and_the_same_runs() {
    let files = Files::new();
    let ((file, _), out, whole) = (activations(&files), files.path("out"), files.path("whole"));
    let kept = |out: &str| (1..=25).map(|run| factors(&format!("{out}.runs/{run:02}"))).collect::<Vec<_>>();
    // The runs are far from their end when the first checkpoint is there.
    let iterations = "300";
    unmix(&[&consensus(&file, &whole, iterations)[..], &["--keep-runs"]].concat()).expect(0);
    let child = started(&[&consensus(&file, &out, iterations)[..], &["--keep-runs"]].concat(), &out);
    let run = signalled(child, "INT").expect(130);
    assert!(run.stderr.contains("runs") && run.stderr.contains("is saved in"), "{}", run.stderr);
    assert!(run.stderr.contains("fit --resume"), "{}", run.stderr);
    let resumed = unmix(&["fit", "--resume", &out]).expect(0);
    assert!(
        resumed.stderr.contains("going on with") && resumed.stderr.contains("of 25 runs done"),
        "{}",
        resumed.stderr
    );
    assert!(factors(&out) == factors(&whole) && kept(&out) == kept(&whole));
    assert_eq!(files.names(), ["out", "out.runs", "whole", "whole.runs", "x.npy"]);
    let again = unmix(&["fit", "--resume", &out]).expect(0);
    assert!(again.stdout.contains("nothing to resume"), "{}", again.stdout);
}

#[test]
fn a_new_fit_leaves_the_checkpoints_of_an_unfinished_one_alone_unless_it_is_forced() {
    let files = Files::new();
    let ((file, _), out) = (activations(&files), files.path("out"));
    let mut child = begun(&file, &out, "1000000");
    // Neither a new fit nor a second process may write there while the first one lives.
    files.refused(&["fit", "--resume", &out], &["another process"]);
    child.kill().expect("killed");
    child.wait().expect("ended");
    files.refused(&fit(&file, &out, "cpu", "3"), &["unfinished fit", "--resume", "--force"]);
    unmix(&[&fit(&file, &out, "cpu", "3")[..], &["--force"]].concat()).expect(0);
    assert_eq!(files.names(), ["out", "x.npy"]);
}

#[test]
fn a_fit_does_not_go_on_with_other_activations() {
    let files = Files::new();
    let ((file, mut values), out) = (activations(&files), files.path("out"));
    let mut child = begun(&file, &out, LONG);
    child.kill().expect("killed");
    child.wait().expect("ended");
    let original = std::fs::read(&file).expect("read");
    values[77] += 1.0;
    files.npy("x.npy", &values, 50);
    files.refused(&["fit", "--resume", &out], &["x.npy", "changed since the fit"]);
    std::fs::remove_file(&file).expect("removed");
    files.refused(&["fit", "--resume", &out], &["x.npy", "no such file"]);
    // The checkpoint can still be used.
    std::fs::write(&file, original).expect("written");
    // The folder of the checkpoints stands for the fit.
    unmix(&["fit", "--resume", &format!("{out}.partial"), "-q"]).expect(0);
    let whole = files.path("whole");
    unmix(&fit(&file, &whole, "cpu", LONG)).expect(0);
    assert!(factors(&out) == factors(&whole));
}

#[test]
fn activations_that_are_cut_short_leave_a_checkpoint_that_is_intact() {
    let files = Files::new();
    let ((file, _), out) = (activations(&files), files.path("out"));
    let original = std::fs::read(&file).expect("read");
    let child = begun(&file, &out, "1000000");
    std::fs::File::options().write(true).open(&file).expect("opened").set_len(1000).expect("cut short");
    let run = Run::from(child.wait_with_output().expect("ended")).expect(1);
    assert!(run.stderr.contains("x.npy") && run.stderr.contains("cut short"), "{}", run.stderr);
    assert_eq!(files.names(), ["out.partial", "x.npy"]);
    std::fs::write(&file, original).expect("written");
    // The fit goes on until it is killed.
    let mut child = command(&["fit", "--resume", &out, "--progress", "json"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("\"event\":\"iteration\"") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("read") > 0, "ended early");
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn a_fit_goes_on_within_its_memory_or_within_other_memory() {
    let files = Files::new();
    let ((file, _), out, whole) = (activations(&files), files.path("out"), files.path("whole"));
    unmix(&fit(&file, &whole, "cpu", LONG)).expect(0);
    for given in [&["--memory", "1GiB"][..], &["--stream", "always"], &["--memory", "1GiB", "--stream", "never"], &[]] {
        let mut child = begun(&file, &out, LONG);
        child.kill().expect("killed");
        child.wait().expect("ended");
        let run = unmix(&["fit", "--resume", &out, "--memory", "1KiB"]).expect(4);
        assert!(run.stderr.contains("--memory allows 1.0 KiB"), "{}", run.stderr);
        unmix(&[&["fit", "--resume", &out, "-q"][..], given].concat()).expect(0);
        assert!(factors(&out) == factors(&whole), "{given:?}");
        std::fs::remove_dir_all(&out).expect("removed");
    }
}

#[test]
fn what_a_complete_fit_left_of_its_checkpoints_when_it_was_killed_is_deleted() {
    let files = Files::new();
    let ((file, _), out) = (activations(&files), files.path("out"));
    unmix(&fit(&file, &out, "cpu", "3")).expect(0);
    std::fs::create_dir(files.path("out.partial")).expect("created");
    files.write("out.partial/request.json", "{}");
    assert!(unmix(&["fit", "--resume", &out]).expect(0).stdout.contains("nothing to resume"));
    assert_eq!(files.names(), ["out", "x.npy"]);
}

#[test]
fn options_that_a_fit_began_with_are_not_given_again() {
    let files = Files::new();
    let ((file, _), out) = (activations(&files), files.path("out"));
    let mut child = begun(&file, &out, "1000000");
    child.kill().expect("killed");
    child.wait().expect("ended");
    for (given, word) in [
        (&["--rank", "5"][..], "--rank"),
        (&["--out", "other"], "--out"),
        (&["--seed", "5"], "--seed"),
        (&["--engine", "gpu"], "--engine"),
        (&[file.as_str()], "FILE"),
    ] {
        files.refused(&[&["fit", "--resume", &out][..], given].concat(), &[word]);
    }
    // Only what was given is named.
    let several = ["fit", "--resume", &out, "--segments", "8", "--penalty", "0.1", "--skip-first", "1"];
    let error = unmix(&several).expect(2).stderr;
    for (option, is_given) in [
        ("--segments", true),
        ("--penalty", true),
        ("--skip-first", true),
        ("--sparsity", false),
        ("--seed", false),
        ("--tensor", false),
    ] {
        assert_eq!(error.contains(option), is_given, "{option}: {error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_that_cannot_be_written_is_an_error_that_names_it() {
    let files = Files::new();
    let ((file, _), out) = (activations(&files), files.path("out"));
    let args = fit(&file, &out, "cpu", "1000");
    let program = command(&args);
    let mut shell = Command::new("sh");
    // Writing more than this number of blocks of 512 bytes fails, as on a full disk.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]).arg(program.get_program()).args(&args);
    let run = Run::from(shell.output().expect("started")).expect(1);
    assert!(run.stderr.contains("out.partial") && run.stderr.contains("checkpoint"), "{}", run.stderr);
    assert!(!files.names().contains(&"out".to_owned()));
    // What the failed fit left does not get in the way of the next one.
    unmix(&fit(&file, &out, "cpu", "3")).expect(0);
    assert_eq!(files.names(), ["out", "x.npy"]);
}

#[test]
fn several_runs_neither_delete_the_checkpoints_of_another_fit_nor_disturb_it() {
    let files = Files::new();
    let ((file, _), out) = (activations(&files), files.path("out"));
    let runs = ["fit", &file, "-k", "7", "-p", "0.2", "--engine", "cpu", "--runs", "2", "-q", "--out", &out];
    let mut child = begun(&file, &out, "1000000");
    let error = unmix(&runs).expect(2).stderr;
    assert!(error.contains("another process"), "{error}");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let error = unmix(&runs).expect(2).stderr;
    assert!(error.contains("--force") && error.contains("--resume"), "{error}");
    assert_eq!(files.names(), ["out.partial", "x.npy"]);
    unmix(&[&runs[..], &["--force"]].concat()).expect(0);
    assert_eq!(files.names(), ["out", "x.npy"]);
}
