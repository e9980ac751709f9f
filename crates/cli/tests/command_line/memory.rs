//! How much memory a fit takes, and what becomes of activations that do not fit.

use crate::harness::{Files, unmix};

/// Activations that no formula factorizes exactly.
fn activations(files: &Files, tokens: usize, neurons: usize) -> String {
    let value = |at: usize| ((at * 7919 + at / neurons * 31) % 1009) as f32 / 1009.0 - 0.4;
    files.npy("x.npy", &(0..tokens * neurons).map(value).collect::<Vec<f32>>(), neurons)
}

#[test]
fn a_streamed_fit_saves_the_same_bytes_as_a_resident_one() {
    let files = Files::new();
    let file = activations(&files, 1_999, 37);
    for engine in ["cpu", "gpu"] {
        for solver in ["projected-ls", "hals"] {
            let [resident, streamed] = ["never", "always"].map(|stream| {
                let out = files.path(&format!("{engine} {solver} {stream}"));
                let args = ["--rank", "5", "--solver", solver, "--engine", engine, "--stream", stream];
                let run =
                    unmix(&[&["fit", &file, "--max-iterations", "3", "--out", &out][..], &args].concat()).expect(0);
                assert_eq!(run.stderr.contains("streaming"), stream == "always", "{}", run.stderr);
                std::fs::read(format!("{out}/factorization.safetensors")).expect("saved")
            });
            assert!(resident == streamed, "{solver} on the engine {engine}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn activations_that_do_not_fit_are_streamed_as_inspect_foretells() {
    use crate::harness::{Run, command};

    // Threads compute in memory of their own, and processors differ in their number.
    let unmix = |args: &[&str], more: &[&str]| -> Run {
        command(&[args, more].concat()).env("RAYON_NUM_THREADS", "2").output().expect("started").into()
    };
    let files = Files::new();
    // 312 MiB. Three panels are in memory at once, each of 16 to 64 MiB, whichever suits the processor's cache.
    let file = activations(&files, 320_000, 256);
    let foretell = |asked: &[&str]| {
        let json = unmix(&["inspect", &file, "--json", "--rank", "4", "--engine", "cpu"], asked).expect(0).json();
        json["memory_of_a_fit"].clone()
    };
    let streamed = foretell(&["--stream", "always"])["host_bytes"].as_u64().expect("a number");
    let allowed = streamed + streamed / 8;
    let memory = allowed.to_string();
    let foretold = foretell(&["--memory", &memory]);
    assert_eq!(foretold["activations"], "streamed");
    let host = foretold["host_bytes"].as_u64().expect("a number");
    assert!(host <= allowed, "{host} bytes are foretold");

    let out = files.path("fit");
    let fit = ["fit", &file, "--rank", "4", "--engine", "cpu", "--max-iterations", "2", "--out", &out, "--json"];
    let run = unmix(&fit, &["--memory", &memory]).expect(0);
    assert!(run.stderr.contains("streaming"), "{}", run.stderr);
    let peak = run.json()["peak_memory_bytes"].as_u64().expect("a number");
    assert!(peak <= allowed, "{peak} bytes were taken of {allowed}");
    assert!((host as f64 / peak as f64 - 1.0).abs() < 0.1, "{host} bytes were foretold, and {peak} were taken");
}

#[test]
fn a_fit_that_does_not_fit_is_refused_before_it_begins() {
    let files = Files::new();
    let file = activations(&files, 1_000, 20);
    for (asked, words) in [
        (&["--memory", "1MiB"][..], ["streamed activations", "--memory allows"]),
        (&["--memory", "1MiB", "--stream", "never"], ["resident activations", "let it stream"]),
    ] {
        let asked = [&["--rank", "3", "--engine", "cpu"], asked].concat();
        let run = unmix(&[&["fit", &file, "--out", &files.path("fit")][..], &asked].concat()).expect(4);
        assert!(words.iter().all(|word| run.stderr.contains(word)) && run.stderr.contains("x.npy"), "{}", run.stderr);
        assert_eq!(files.names(), ["x.npy"], "nothing is written");
        let run = unmix(&[&["inspect", &file][..], &asked].concat()).expect(0);
        assert!(words.iter().all(|word| run.stdout.contains(word)), "{}", run.stdout);
    }
    for size in ["0", "2 GiB", "much"] {
        let run = unmix(&["fit", &file, "--rank", "3", "--out", &files.path("fit"), "--memory", size]).expect(2);
        assert!(run.stderr.contains("a size is needed"), "{}", run.stderr);
    }
}
