//! `unmix bench`.

use crate::harness::{command, unmix};

/// A small shape whose sides are multiples of nothing.
const SHAPE: [&str; 7] = ["bench", "--tokens", "255", "--neurons", "501", "-k", "7"];

fn bench(options: &[&str]) -> crate::harness::Run {
    unmix(&[&SHAPE[..], options].concat())
}

fn number(value: &serde_json::Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {value}"))
}

#[test]
fn a_small_bench_measures_both() {
    let options = ["--iterations", "2", "--engine", "cpu"];
    let json = bench(&[&options[..], &["--json", "-q"]].concat()).expect(0).json();
    for key in ["iteration_seconds", "product_seconds", "iteration_per_product", "product_gflops"] {
        assert!(number(&json, key) > 0.0, "{key}");
    }
    let table = command(&[&SHAPE[..], &options].concat()).output().expect("started");
    assert!(String::from_utf8_lossy(&table.stdout).contains("iteration / product"));
}

/// The output matches the recording, and the activations are read once if a panel fits in the cache.
#[test]
fn the_roofline_of_a_device_needs_no_device() {
    // Activations of 2 MB.
    let shape = ["bench", "--tokens", "2000", "--neurons", "500", "-k", "16", "-p", "0.1", "--json"];
    let roofline = |options: &[&str]| unmix(&[&shape[..], options].concat()).expect(0).json();
    let sum = |json: &serde_json::Value, key: &str| -> f64 {
        json["stages"].as_array().expect("an array").iter().map(|stage| number(stage, key)).sum()
    };
    let device = ["--roofline", "bandwidth=100,peak=2,cache=1"];
    let one = roofline(&device);
    let panels = roofline(&[&device[..], &["--panel-rows", "600"]].concat());
    let size = 2000.0 * 500.0 * 2.0;
    assert_eq!((&one["panels"], &panels["panels"]), (&1.into(), &4.into()));
    assert_eq!(number(&one, "activations_bytes"), size);
    assert_eq!(number(&one, "activations_bytes_from_memory"), 2.0 * size);
    assert_eq!(number(&panels, "activations_bytes_from_memory"), size);
    for json in [one, panels] {
        let total = &json["total"];
        for key in ["launches", "bytes_from_memory", "bytes_from_cache", "bytes_to_memory", "flops"] {
            assert_eq!(sum(&json, key), number(total, key), "{key}");
        }
        let seconds = number(total, "seconds");
        assert!((sum(&json, "seconds") - seconds).abs() <= 1e-9 * seconds);
        // The time is no less than either bound alone.
        let moved = number(total, "bytes_from_memory") + number(total, "bytes_to_memory");
        assert!(seconds >= (moved / 100e9).max(number(total, "flops") / 2e12) * (1.0 - 1e-9), "{json}");
    }
    // Twice the bandwidth and peak take half the time.
    let slow = number(&roofline(&["--roofline", "bandwidth=100,peak=2,cache=1"])["total"], "seconds");
    let fast = number(&roofline(&["--roofline", "bandwidth=200,peak=4,cache=1"])["total"], "seconds");
    assert!((slow / fast - 2.0).abs() < 1e-9, "{slow} {fast}");
}

#[test]
fn options_that_a_roofline_would_ignore_are_refused() {
    for options in [["--cache", "4"], ["--engine", "cpu"], ["--adapter", "foo"]] {
        let error = bench(&[&["--roofline", "h100"], &options[..]].concat()).expect(2).stderr;
        assert!(error.contains("--roofline"), "{error}");
    }
}

#[test]
fn the_roofline_is_printed_for_every_solver() {
    for solver in ["projected-ls", "hals", "mu", "paper"] {
        let run = bench(&["--roofline", "H100", "--solver", solver]).expect(0);
        assert_eq!(run.stderr, "");
        for word in ["at the roofline of h100", "cross_product", "loss", "total", "memory"] {
            assert!(run.stdout.contains(word), "no {word} in {}", run.stdout);
        }
    }
}

/// The model counts what the roofline leaves out, so that no kernel is faster.
#[test]
fn the_model_of_cycles_is_above_the_roofline() {
    let json = bench(&["--roofline", "h100", "--model", "--json"]).expect(0).json();
    let (stages, model) = (json["stages"].as_array().expect("an array"), &json["model"]);
    let estimates = model["stages"].as_array().expect("an array");
    assert_eq!(stages.len(), estimates.len());
    let mut whole = 0.0;
    for (stage, estimate) in stages.iter().zip(estimates) {
        assert!(number(estimate, "seconds") > number(stage, "seconds"), "{stage} {estimate}");
        assert!(number(estimate, "launch_seconds") > 0.0, "{estimate}");
        whole += number(estimate, "seconds");
    }
    assert!((number(model, "seconds") - whole).abs() <= 1e-9 * whole);
    let text = bench(&["--roofline", "h100", "--model"]).expect(0).stdout;
    assert!(text.contains("By the model of cycles") && text.contains("launches take"), "{text}");
    let refused = bench(&["--roofline", "bandwidth=100,peak=2,cache=1", "--model"]).expect(2);
    assert!(refused.stderr.contains("--model needs a device that unmix knows by name"), "{}", refused.stderr);
    bench(&["--model"]).expect(2);
}

#[test]
fn an_unknown_device_is_refused_with_those_that_are_known() {
    for device in ["h1000", "bandwidth=1", "bandwidth=1,peak=x,cache=1", ""] {
        let run = bench(&["--roofline", device]).expect(2);
        assert!(run.stderr.contains("bandwidth=GB/s,peak=TFLOP/s,cache=MB"), "{}", run.stderr);
    }
    let run = bench(&["--roofline", "geforce"]).expect(2);
    assert!(run.stderr.contains("h100, h200, a100"), "{}", run.stderr);
    let run = unmix(&["bench", "--roofline", "h100", "--tokens", "255", "-k", "256"]).expect(2);
    assert!(run.stderr.contains("--rank 256"), "{}", run.stderr);
    bench(&["--roofline", "h100", "--stages"]).expect(2);
    bench(&["--panel-rows", "3"]).expect(2);
    let huge = ["bench", "--roofline", "h100", "--neurons", "1048576", "--panel-rows", "2000"];
    assert!(unmix(&huge).expect(2).stderr.contains("--panel-rows 2000"));
}

/// Every stage is timed, on the CPU and on an adapter.
#[test]
fn stages_are_timed_on_every_engine() {
    for engine in ["cpu", "gpu"] {
        let options = ["--stages", "--engine", engine, "--iterations", "1", "--cache", "4"];
        let json = bench(&[&options[..], &["--json", "-q"]].concat()).expect(0).json();
        assert_eq!(json["engine"], engine);
        assert_eq!(number(&json["device"], "cache_bytes"), 4e6);
        for key in ["bandwidth_bytes_per_second", "peak_flops_per_second", "product_peak_flops_per_second"] {
            assert!(number(&json["device"], key) > 1e6, "{key}: {json}");
        }
        let stages = json["stages"].as_array().expect("an array");
        let kernels: Vec<&str> = stages.iter().map(|stage| stage["kernel"].as_str().expect("text")).collect();
        for kernel in ["hals_coefficients", "cross_product", "inner_product", "loss"] {
            assert!(kernels.contains(&kernel), "{kernels:?}");
        }
        let mut whole = 0.0;
        for stage in stages {
            let (seconds, least) = (number(stage, "seconds"), number(stage, "roofline_seconds"));
            assert!(seconds > 0.0, "{stage}");
            assert!((number(stage, "share_of_roofline") - least / seconds).abs() <= 1e-9 * least / seconds, "{stage}");
            whole += seconds;
        }
        assert!((number(&json, "seconds") - whole).abs() <= 1e-9 * whole);
    }
    let table = bench(&["--stages", "--engine", "cpu", "--iterations", "1", "-q"]).expect(0);
    for word in ["measured here", "cross_product", "at the roofline"] {
        assert!(table.stdout.contains(word), "{}", table.stdout);
    }
}
