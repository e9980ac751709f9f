//! Folders of fits.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use unmix::{
    ConsensusSummary, DenseMatrix, Factorization, FeatureStatistics, FitSummary, Init, Options, Solver, StopReason,
};
use unmix_data::{
    Error, FACTORIZATION_FILE, FitRecord, InputRecord, Origin, RUN_FILE, TokenColumns, TokenFilter, read_fit,
    read_matrix, write_fit,
};

fn record(seed: u64) -> FitRecord {
    let (tokens, neurons, rank) = (5usize, 4usize, 2usize);
    let options = Options {
        rank: rank as u32,
        sparsity: 0.1,
        solver: Solver::Hals,
        penalty: 1.0 / 3.0,
        init: Init::Svd,
        seed,
        max_iterations: 7,
        tolerance: 1e-5,
        patience: 3,
        ridge: 1e-7,
        sweeps: 2,
        relaxation: 0.4,
        warm_up: 8,
        revive: true,
        keep_best: false,
        unshrink: true,
        debias: true,
    };
    let summary = FitSummary {
        relative_error: 0.1 + 0.2,
        optimality: Some(unmix::Optimality { coefficients: 0.01, features: 0.1 + 0.2 }),
        iterations: 3,
        best_iteration: 3,
        stop_reason: StopReason::Converged,
        seconds: 1.25e-3,
        engine: "cpu".to_owned(),
        adapter: "a processor".to_owned(),
        tokens: tokens as u64,
        neurons: neurons as u32,
        kept_per_feature: 1,
        squared_norm: 1e17 / 3.0,
        loss_curve: vec![3.3e7, 1.0 / 3.0, 5e-324],
        start_seconds: 1e-4,
        seconds_curve: vec![4.1e-4, 7.3e-4, 1.1e-3],
        objective_curve: vec![2.0 / 7.0],
        revived: vec![(1, 0)],
        unsettled_tokens: 0,
        dead_features: vec![1],
        feature_statistics: vec![
            FeatureStatistics {
                energy_share: 0.1,
                max_coefficient: 0.3,
                nonzeros: 1,
                reproducibility: Some(0.1 + 0.7),
                found_in: Some(2),
                ..FeatureStatistics::default()
            };
            rank
        ],
        options,
        consensus: Some(ConsensusSummary {
            runs: 3,
            seeds: vec![0, 7, u64::MAX],
            iterations_each: 8,
            more_iterations: 0,
            stability: 0.1 + 0.2,
        }),
    };
    let factorization = Factorization {
        features: DenseMatrix { rows: rank, columns: neurons, values: (0..8).map(|i| i as f32 * 0.1 - 0.35).collect() },
        coefficients: DenseMatrix { rows: tokens, columns: rank, values: (0..10).map(|i| i as f32 * 0.3).collect() },
        summary,
    };
    let columns = TokenColumns {
        token_ids: Some(vec![1, 2, 3, 1 << 40, 5]),
        prompt_ids: None,
        positions: Some(vec![0, 1, 2, 0, 1]),
        rows: None,
    };
    let input = InputRecord {
        paths: vec![PathBuf::from("some/activations.npy")],
        stored_tokens: tokens as u64,
        filter: TokenFilter::default(),
        origin: Origin::default(),
        tensor: None,
        fingerprint: "blake3:00".to_owned(),
        tokens: tokens as u64,
        neurons: neurons as u64,
        element: "f16".to_owned(),
    };
    let mut record = FitRecord::new(factorization, columns, input);
    record.run.command_line = Some(vec!["unmix".to_owned(), "fit".to_owned()]);
    record
}

fn parent() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("fit");
    (folder, dir)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("listed")
        .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn same(a: &FitRecord, b: &FitRecord) {
    assert_eq!(a.run, b.run);
    assert_eq!((&a.features, &a.coefficients, &a.columns), (&b.features, &b.coefficients, &b.columns));
}

#[test]
fn a_fit_comes_back_to_the_bit() {
    let (parent, dir) = parent();
    let fit = record(u64::MAX);
    write_fit(&dir, &fit, false).expect("written");
    assert_eq!(names(&dir), [FACTORIZATION_FILE, RUN_FILE]);
    assert_eq!(names(parent.path()), ["fit"], "nothing else is left");
    same(&read_fit(&dir).expect("read"), &fit);

    // Other readers of safetensors see the documented tensors, aligned.
    let bytes = fs::read(dir.join(FACTORIZATION_FILE)).expect("bytes");
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("valid");
    assert_eq!(header % 8, 0);
    let info =
        |name: &str| metadata.info(name).map(|i| (i.dtype, i.shape.clone(), i.data_offsets.0 % 4)).expect("tensor");
    assert_eq!(info("features"), (safetensors::Dtype::F32, vec![2, 4], 0));
    assert_eq!(info("coefficients"), (safetensors::Dtype::F32, vec![5, 2], 0));
    assert_eq!(info("token_ids"), (safetensors::Dtype::I64, vec![5], 0));
    assert_eq!(info("positions"), (safetensors::Dtype::I32, vec![5], 0));
    let notes = metadata.metadata().clone().expect("metadata");
    assert_eq!(notes["format_version"], "1");
    assert!(notes["scale"].contains("features carry the magnitude"));

    // run.json is for people and scripts too: the summary's fields stand at the top.
    let run: serde_json::Value = serde_json::from_slice(&fs::read(dir.join(RUN_FILE)).expect("bytes")).expect("JSON");
    for field in [
        "relative_error",
        "iterations",
        "stop_reason",
        "seconds",
        "engine",
        "adapter",
        "seed",
        "options",
        "loss_curve",
        "input",
        "unmix_version",
    ] {
        assert!(!run[field].is_null(), "{field}");
    }
    assert_eq!(read_matrix(dir.join(FACTORIZATION_FILE), Some("coefficients")).expect("read"), fit.coefficients);
}

#[test]
fn the_same_fit_gives_the_same_bytes() {
    let (one, two) = (parent(), parent());
    for (_, dir) in [&one, &two] {
        write_fit(dir, &record(1), false).expect("written");
    }
    for name in [FACTORIZATION_FILE, RUN_FILE] {
        assert_eq!(fs::read(one.1.join(name)).expect("bytes"), fs::read(two.1.join(name)).expect("bytes"), "{name}");
    }
}

#[test]
fn a_fit_of_a_single_run_says_nothing_of_reproducibility_and_older_fits_are_read_as_such() {
    let (_parent, dir) = parent();
    let mut fit = record(1);
    fit.run.summary.consensus = None;
    for statistics in &mut fit.run.summary.feature_statistics {
        (statistics.reproducibility, statistics.found_in) = (None, None);
    }
    write_fit(&dir, &fit, false).expect("written");
    let text = fs::read_to_string(dir.join(RUN_FILE)).expect("text");
    assert!(["consensus", "reproducibility", "found_in"].iter().all(|name| !text.contains(name)), "{text}");
    same(&read_fit(&dir).expect("read"), &fit);
}

#[test]
fn a_reproducibility_that_is_no_mean_cosine_is_refused() {
    let (_parent, dir) = parent();
    write_fit(&dir, &record(1), false).expect("written");
    let text = fs::read_to_string(dir.join(RUN_FILE)).expect("text");
    let written = format!("\"reproducibility\": {}", 0.1 + 0.7);
    assert!(text.contains(&written), "{text}");
    fs::write(dir.join(RUN_FILE), text.replace(&written, "\"reproducibility\": 1.5")).expect("written");
    let error = read_fit(&dir).expect_err("it is above 1").to_string();
    assert!(error.contains("1.5") && error.contains("from 0 to 1"), "{error}");
}

#[test]
fn folders_that_exist_are_replaced_only_by_force() {
    let (parent, dir) = parent();
    write_fit(&dir, &record(1), false).expect("written");
    assert!(matches!(write_fit(&dir, &record(2), false), Err(Error::Exists(_))));
    assert_eq!(read_fit(&dir).expect("read").run.seed, 1);
    write_fit(&dir, &record(2), true).expect("replaced");
    assert_eq!(read_fit(&dir).expect("read").run.seed, 2);
    assert_eq!(names(parent.path()), ["fit"], "nothing of the earlier fit is left");

    let empty = parent.path().join("empty");
    fs::create_dir(&empty).expect("created");
    assert!(matches!(write_fit(&empty, &record(3), false), Err(Error::Exists(_))));
    write_fit(&empty, &record(3), true).expect("replaced");
    write_fit(parent.path().join("new"), &record(4), true).expect("force is no error on a new folder");
}

#[test]
fn nobody_elses_files_are_deleted() {
    let (parent, dir) = parent();
    let refused = |what: &str| {
        let error = write_fit(&dir, &record(1), true).expect_err("refused");
        assert!(matches!(error, Error::NotReplaceable { .. }) && error.is_usage(), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(names(parent.path()), ["fit"]);
    };
    fs::write(&dir, "a file").expect("written");
    refused("no folder");
    fs::remove_file(&dir).expect("removed");

    fs::create_dir(&dir).expect("created");
    fs::write(dir.join("thesis.txt"), "years of work").expect("written");
    refused("thesis.txt");
    fs::remove_file(dir.join("thesis.txt")).expect("removed");
    fs::write(dir.join(RUN_FILE), "{}").expect("written");
    refused("only one of");
    // A folder of the right name is no file of a fit.
    fs::create_dir(dir.join(FACTORIZATION_FILE)).expect("created");
    refused(FACTORIZATION_FILE);
    fs::remove_dir_all(&dir).expect("removed");

    write_fit(&dir, &record(1), false).expect("written");
    fs::write(dir.join("notes.txt"), "mine").expect("written");
    refused("notes.txt");
    assert_eq!(names(&dir).len(), 3);
}

#[test]
fn places_that_are_none() {
    let (parent, _) = parent();
    let error = write_fit(parent.path().join("no/such/place"), &record(1), false).expect_err("refused");
    assert!(matches!(error, Error::BadTarget { .. }) && error.to_string().contains("create it first"), "{error}");
    fs::write(parent.path().join("file"), "x").expect("written");
    assert!(write_fit(parent.path().join("file/fit"), &record(1), false).expect_err("refused").is_usage());
    assert!(write_fit("", &record(1), false).expect_err("refused").is_usage());
    assert_eq!(names(parent.path()), ["file"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_are_the_users_own() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, dir) = parent();
    write_fit(&dir, &record(1), false).expect("written");
    let link = parent.path().join("latest");
    std::os::unix::fs::symlink(&dir, &link).expect("linked");
    write_fit(&link, &record(2), true).expect("replaced");
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(read_fit(&dir).expect("read").run.seed, 2);

    fs::create_dir(parent.path().join("plain")).expect("created");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), mode(&parent.path().join("plain")));
    fs::write(parent.path().join("plain.txt"), "").expect("written");
    assert_eq!(mode(&dir.join(RUN_FILE)), mode(&parent.path().join("plain.txt")));

    fs::remove_file(&link).expect("removed");
    std::os::unix::fs::symlink("nowhere yet", &link).expect("linked");
    write_fit(&link, &record(3), false).expect("written");
    assert_eq!(read_fit(parent.path().join("nowhere yet")).expect("read").run.seed, 3);
}

#[test]
fn a_replacement_that_was_interrupted_is_finished_when_the_fit_is_read_or_written() {
    for is_read in [true, false] {
        let (parent, dir) = parent();
        write_fit(&dir, &record(1), false).expect("written");
        // What a process leaves that is killed between two renames, where names cannot be exchanged at a stroke.
        let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
        let staging = parent.path().join(format!(".unmix-{}-{}-a1b2c3", hash("fit"), hash("some machine")));
        fs::create_dir(&staging).expect("created");
        fs::rename(&dir, staging.join("old")).expect("moved");
        write_fit(staging.join("new"), &record(2), false).expect("written");
        if is_read {
            assert_eq!(read_fit(&dir).expect("read").run.seed, 2);
        } else {
            assert!(matches!(write_fit(&dir, &record(3), false), Err(Error::Exists(_))));
        }
        assert_eq!(names(parent.path()), ["fit"]);
    }
}

#[test]
fn a_fit_that_is_replaced_while_it_is_read_is_the_one_or_the_other() {
    let (_parent, dir) = parent();
    // Features that say of which fit they are.
    let marked = |seed: u64| {
        let mut fit = record(seed);
        fit.features.values[0] = seed as f32;
        fit
    };
    write_fit(&dir, &marked(0), false).expect("written");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..=30).for_each(|seed| write_fit(&dir, &marked(seed), true).expect("replaced")));
        while !writer.is_finished() {
            match read_fit(&dir) {
                Ok(fit) => assert_eq!(fit.features.values[0], fit.run.seed as f32),
                // Where names cannot be exchanged at a stroke, there is a moment with nothing.
                Err(error) => assert!(matches!(error, Error::NotFound(_) | Error::NotAFit { .. }), "{error}"),
            }
        }
    });
}

/// Features over no neurons, consistently so.
fn without_neurons(fit: &mut FitRecord) {
    fit.features = DenseMatrix { rows: 2, columns: 0, values: Vec::new() };
    (fit.run.summary.neurons, fit.run.input.neurons) = (0, 0);
}

#[test]
fn contradictions_are_not_written() {
    let (parent, dir) = parent();
    let refused = |change: &dyn Fn(&mut FitRecord), what: &str| {
        let mut fit = record(1);
        change(&mut fit);
        let error = write_fit(&dir, &fit, true).expect_err("refused");
        assert!(error.to_string().contains(what), "{error}");
        assert!(names(parent.path()).is_empty());
    };
    refused(&|f| f.features.values[3] = f32::NAN, "the features hold NaN in row 0, column 3");
    refused(&|f| f.coefficients.values[5] = f32::INFINITY, "the coefficients hold inf in row 2, column 1");
    refused(&|f| f.coefficients.values[5] = -1.0, "token 2, feature 1 is -1");
    refused(&|f| f.features.values.truncate(7), "it has 7 values");
    refused(&|f| f.run.summary.options.rank = 3, "rank 3");
    refused(&|f| f.run.summary.tokens = 6, "6 tokens");
    refused(&|f| f.run.input.neurons = 9, "5 × 9");
    refused(&|f| f.columns.positions = Some(vec![1]), "1 entries long");
    refused(&|f| f.run.summary.loss_curve[0] = f64::NAN, "not finite");
    refused(&|f| f.run.summary.feature_statistics[1].norm = f64::INFINITY, "not finite");
    refused(&|f| f.run.summary.feature_statistics.truncate(1), "statistics is of 1 features, but there are 2");
    refused(&|f| f.run.summary.dead_features = vec![1, 2], "a dead feature is number 2");
    refused(&without_neurons, "2 × 0");
}

#[test]
fn a_fit_that_could_not_be_read_is_not_written() {
    let (parent, dir) = parent();
    let changes: [fn(&mut FitRecord); 7] = [
        |f| f.run.summary.seconds = f64::NAN,
        |f| f.run.summary.start_seconds = f64::INFINITY,
        |f| f.run.summary.seconds_curve[1] = f64::NAN,
        |f| f.run.summary.objective_curve = vec![f64::NAN],
        |f| f.run.summary.squared_norm = f64::NEG_INFINITY,
        |f| f.run.summary.options.tolerance = f64::NAN,
        |f| f.run.format_version += 1,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut fit = record(1);
        change(&mut fit);
        let error = write_fit(&dir, &fit, true).expect_err("refused");
        assert!(matches!(error, Error::Inconsistent { .. }) && error.to_string().contains(RUN_FILE), "{i}: {error}");
        assert!(names(parent.path()).is_empty(), "{i}");
    }
}

#[cfg(unix)]
#[test]
fn a_fit_to_a_file_whose_name_is_not_utf8_is_not_lost() {
    use std::os::unix::ffi::OsStrExt;
    let (parent, dir) = parent();
    let mut fit = record(1);
    fit.run.input.paths = vec![std::ffi::OsStr::from_bytes(b"caf\xe9.npy").into()];
    write_fit(&dir, &fit, false).expect("written");
    same(&read_fit(&dir).expect("read"), &fit);
    let dir = parent.path().join(std::ffi::OsStr::from_bytes(b"f\xe9"));
    write_fit(&dir, &fit, false).expect("written");
    write_fit(&dir, &fit, true).expect("replaced");
    same(&read_fit(&dir).expect("read"), &fit);
}

#[test]
fn damaged_fits_are_refused() {
    let (_parent, dir) = parent();
    let fit = record(1);
    let text = || read_fit(&dir).expect_err("refused").to_string();
    assert!(text().contains("no such"));
    fs::write(&dir, "x").expect("written");
    assert!(text().contains("it is a file"));
    fs::remove_file(&dir).expect("removed");
    fs::create_dir(&dir).expect("created");
    assert!(text().contains("run.json is missing"));
    write_fit(&dir, &fit, true).expect("written");

    let (run, tensors) = (dir.join(RUN_FILE), dir.join(FACTORIZATION_FILE));
    let (good_run, good_tensors) = (fs::read_to_string(&run).expect("text"), fs::read(&tensors).expect("bytes"));
    fs::remove_file(&tensors).expect("removed");
    assert!(text().contains("factorization.safetensors is missing"));
    fs::write(&tensors, &good_tensors[..good_tensors.len() - 4]).expect("written");
    assert!(text().contains("truncated"));
    let mut poisoned = good_tensors.clone();
    // The features follow the wide column and the coefficients; the positions come last.
    let end = poisoned.len() - 5 * 4;
    poisoned[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&tensors, &poisoned).expect("written");
    assert!(text().contains("the features hold NaN in row 1, column 3"), "{}", text());
    fs::write(&tensors, &good_tensors).expect("written");

    let rewritten = |from: &str, to: &str| {
        assert!(good_run.contains(from), "{from}");
        fs::write(&run, good_run.replace(from, to)).expect("written");
        text()
    };
    assert!(
        rewritten("\"format_version\": 1", "\"format_version\": 2")
            .contains("format version 2, but this unmix reads version 1")
    );
    assert!(rewritten("\"format_version\": 1,", "").contains("no format_version"));
    assert!(rewritten("\"iterations\": 3", "\"iterations\": \"3\"").contains("invalid type"));
    assert!(rewritten("\"loss_curve\"", "\"lost_curve\"").contains("missing field `loss_curve`"));
    let contradiction = rewritten("\"rank\": 2", "\"rank\": 3");
    assert!(contradiction.contains("rank 3") && contradiction.contains(&dir.display().to_string()), "{contradiction}");
    assert!(contradiction.contains("fit again"), "{contradiction}");
    let dead = rewritten("\"dead_features\": [\n    1\n  ]", "\"dead_features\": [\n    7\n  ]");
    assert!(dead.contains("a dead feature is number 7"), "{dead}");
    fs::write(&run, &good_run[..good_run.len() / 2]).expect("written");
    assert!(text().contains("not valid JSON: EOF"));
    fs::write(&run, "").expect("written");
    assert!(text().contains("empty"));
    fs::write(&run, &good_run).expect("written");
    same(&read_fit(&dir).expect("read"), &fit);
}
