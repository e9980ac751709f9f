//! Several files, folders, indexes and batches as one matrix.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use proptest::prelude::*;
use unmix::{ActivationSource, ElementType};
use unmix_data::{ActivationSet, Error, Fingerprinting, OpenOptions, RowRange, fingerprint};

use crate::bytes::{f16s, f32s, i32s, npy, open_set, safetensors, swapped, values};

/// A folder of files, by name and content.
fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

fn open(folder: &Path, names: &[&str], tensor: Option<&str>) -> Result<ActivationSet, Error> {
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    ActivationSet::open(&paths, &OpenOptions { tensor: tensor.map(str::to_owned) })
}

fn refused(folder: &Path, names: &[&str]) -> String {
    let error = open(folder, names, None).expect_err("must be refused");
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

/// `rows` rows of three numbers from `first` on, one file.
fn shard(first: usize, rows: usize) -> Vec<u8> {
    npy(1, "<f4", false, &[rows, 3], &f32s(&numbers(first, rows)))
}

fn numbers(first: usize, rows: usize) -> Vec<f32> {
    (3 * first..3 * (first + rows)).map(|i| i as f32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shards_are_the_matrix_that_they_were_cut_from(
        cuts in prop::collection::vec(1usize..6, 1..8),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let rows: usize = cuts.iter().sum();
        let mut first = 0;
        let files: Vec<(String, Vec<u8>)> = cuts.iter().enumerate().map(|(i, &rows)| {
            first += rows;
            (format!("x-{i}.npy"), shard(first - rows, rows))
        }).collect();
        let named: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        let place = folder(&named);
        let set = ActivationSet::open(&[place.path().to_owned()], &OpenOptions::default()).expect("opened");
        prop_assert_eq!((set.tokens(), set.files().len()), (rows as u64, cuts.len()));
        let whole = open_set("whole.npy", &shard(0, rows), None).expect("opened");
        prop_assert_eq!(fingerprint(&set).expect("hashed"), fingerprint(&whole).expect("hashed"));
        let (a, b) = (from.index(rows + 1), to.index(rows + 1));
        let range = a.min(b) as u64..a.max(b) as u64;
        let mut bytes = vec![0; (range.end - range.start) as usize * 12];
        set.read_rows(range.clone(), &mut bytes).expect("read");
        prop_assert_eq!(&bytes, &f32s(&numbers(range.start as usize, (range.end - range.start) as usize)));
        // Bytes in place are those bytes, and there are some wherever the rows lie in one file.
        match set.shared_rows(range.clone()) {
            Some(shared) => prop_assert_eq!(&shared[..], &bytes[..]),
            None => prop_assert_ne!(set.locate(range.start).path, set.locate(range.end - 1).path),
        }
    }
}

#[test]
fn files_of_a_folder_are_read_in_the_order_in_which_people_count() {
    let place = folder(&[
        ("x-10.npy", shard(2, 1)),
        ("x-9.npy", shard(1, 1)),
        ("x-1.npy", shard(0, 1)),
        (".x-0.npy", shard(9, 1)),
        ("notes.txt", b"notes".to_vec()),
    ]);
    std::fs::create_dir(place.path().join("more")).expect("created");
    let set = open(place.path(), &[""], None).expect("opened");
    assert_eq!(values(&set, 2), numbers(0, 3));
    let given = open(place.path(), &["x-10.npy", "x-1.npy"], None).expect("opened");
    assert_eq!(
        values(&given, 1),
        [numbers(2, 1), numbers(0, 1)].concat(),
        "files that are named are read as they are named"
    );
    assert_eq!(given.locate(1), unmix_data::StoredRow { path: &place.path().join("x-1.npy"), row: 0 });
}

#[test]
fn folders_without_activations_say_what_they_hold() {
    let empty = folder(&[]);
    assert!(refused(empty.path(), &[""]).contains("is empty"));
    let other = folder(&[("a.pt", vec![1]), ("b.pt", vec![1]), ("README", vec![1])]);
    let text = refused(other.path(), &[""]);
    assert!(text.contains("1 without an ending, 2 of .pt") && text.contains("numpy.save"), "{text}");
    let fit = folder(&[("run.json", b"{}".to_vec()), ("factorization.safetensors", vec![1])]);
    assert!(refused(fit.path(), &[""]).contains("the folder of a fit"));
    assert!(refused(Path::new(""), &[]).contains("no path was given"));
}

#[test]
fn files_that_are_no_parts_of_one_matrix_are_refused() {
    let named = |name, bytes| safetensors(&[(name, "F32", &[1usize, 3][..], bytes)]);
    let place = folder(&[
        ("a.npy", shard(0, 2)),
        ("wide.npy", npy(1, "<f4", false, &[1, 4], &f32s(&[0.0; 4]))),
        ("half.npy", npy(1, "<f2", false, &[1, 3], &f16s(&[0.0; 3]))),
        ("big.npy", npy(1, ">f4", false, &[1, 3], &swapped(&f32s(&[6.0, 7.0, 8.0]), 4))),
        ("x.safetensors", named("layer.0", f32s(&[0.0; 3]))),
        ("y.safetensors", named("layer.1", f32s(&[0.0; 3]))),
        (
            "ids.safetensors",
            safetensors(&[("layer.0", "F32", &[1, 3], f32s(&[0.0; 3])), ("token_ids", "I32", &[1], i32s(&[1]))]),
        ),
    ]);
    for (second, words) in [
        ("wide.npy", ["wide.npy: has 4 neurons", "a.npy has 3 neurons"]),
        ("half.npy", ["half.npy: has numbers of f16", "a.npy has numbers of f32"]),
        ("x.safetensors", ["has them in the tensor \"layer.0\"", "a.npy is an array without a name"]),
        ("a.npy", ["a.npy: this file is given twice", "name it once"]),
        ("none.npy", ["none.npy", "no such file"]),
    ] {
        let text = refused(place.path(), &["a.npy", second]);
        words.iter().for_each(|word| assert!(text.contains(word), "no {word:?} in {text}"));
    }
    // Two layers are no rows of one matrix.
    assert!(refused(place.path(), &["x.safetensors", "y.safetensors"]).contains("layer.1"));
    let text = refused(place.path(), &["x.safetensors", "ids.safetensors"]);
    assert!(text.contains("ids.safetensors: has the columns token_ids") && text.contains("has no columns"), "{text}");
    let both = open(place.path(), &["a.npy", "big.npy"], None).expect("the order of bytes does not matter");
    assert_eq!(values(&both, 2), numbers(0, 3));
}

#[test]
fn an_index_names_the_files_that_hold_the_tensor() {
    let part = |first| safetensors(&[("x", "F32", &[1usize, 3][..], f32s(&numbers(first, 1)))]);
    let other = safetensors(&[("y", "F32", &[2usize, 2][..], f32s(&[0.0; 4])), ("z", "I32", &[1], i32s(&[1]))]);
    let index = r#"{"metadata": {}, "weight_map": {"x": "s-2.safetensors", "b": "s-10.safetensors", "z": "other.safetensors"}}"#;
    let mut files = vec![
        ("s-10.safetensors", part(1)),
        ("s-2.safetensors", part(0)),
        ("stray.safetensors", part(7)),
        ("other.safetensors", other),
        ("x.safetensors.index.json", index.into()),
    ];
    let place = folder(&files);
    for name in ["x.safetensors.index.json", ""] {
        let set = open(place.path(), &[name], Some("x")).expect("opened");
        assert_eq!(values(&set, 1), numbers(0, 2), "{name}");
    }
    assert!(matches!(open(place.path(), &[""], Some("none")), Err(Error::NoSuchTensor { .. })));
    std::fs::remove_file(place.path().join("s-10.safetensors")).expect("removed");
    let text = open(place.path(), &[""], Some("x")).expect_err("refused").to_string();
    assert!(text.contains("s-10.safetensors: no such file") && text.contains("index.json names it"), "{text}");
    files.push(("y.safetensors.index.json", index.into()));
    assert!(refused(folder(&files).path(), &[""]).contains("2 indexes of shards"));
    let bad = folder(&[("a.json", br#"{"weight_map": {"x": "../secret"}}"#.to_vec()), ("b.json", b"[1]".to_vec())]);
    assert!(refused(bad.path(), &["a.json"]).contains("instead of the name of a file"));
    assert!(refused(bad.path(), &["b.json"]).contains("no object \"weight_map\""));
}

#[test]
fn columns_are_joined_and_prompts_of_different_files_stay_apart() {
    let part = |ids: &[i32]| {
        let zeros = f32s(&vec![0.0; ids.len()]);
        safetensors(&[
            ("x", "F32", &[ids.len(), 1], zeros),
            ("token_ids", "I32", &[ids.len()], i32s(ids)),
            ("prompt_ids", "I32", &[ids.len()], i32s(ids)),
        ])
    };
    let place =
        folder(&[("a.safetensors", part(&[0, 0, 1])), ("b.safetensors", part(&[0, 1])), ("c.safetensors", part(&[9]))]);
    let set = open(place.path(), &["a.safetensors", "b.safetensors"], None).expect("opened");
    assert_eq!(set.token_columns().token_ids, Some(vec![0, 0, 1, 0, 1]));
    assert_eq!(set.token_columns().prompt_ids, Some(vec![0, 0, 1, 2, 3]));
    assert_eq!((set.token_columns().rows.as_ref(), set.prompts_were_renumbered()), (None, true));
    let set = open(place.path(), &["a.safetensors", "c.safetensors"], None).expect("opened");
    assert_eq!((&set.token_columns().prompt_ids, set.prompts_were_renumbered()), (&Some(vec![0, 0, 1, 9]), false));
}

/// A batch of three sequences of four tokens with two neurons, with padding on the left and on the right.
fn batch(more: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let mut tensors = vec![("activations", "F32", &[3usize, 4, 2][..], f32s(&values))];
    tensors.extend_from_slice(more);
    safetensors(&tensors)
}

const MASK: [u8; 12] = [1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0];

#[test]
fn a_batch_is_read_without_its_padding() {
    let rows = [0u64, 1, 2, 3, 6, 7, 8, 9, 10];
    let expected: Vec<f32> = rows.iter().flat_map(|row| [2 * row, 2 * row + 1]).map(|i| i as f32).collect();
    let float: Vec<f32> = MASK.iter().map(|&one| one.into()).collect();
    let long: Vec<u8> = MASK.iter().flat_map(|&one| i64::from(one).to_le_bytes()).collect();
    let masks =
        [("attention_mask", "BOOL", MASK.to_vec()), ("mask", "I64", long), ("attention_mask", "F16", f16s(&float))];
    for (name, dtype, bytes) in masks {
        let ids = i32s(&(0..12).collect::<Vec<_>>());
        let file = batch(&[(name, dtype, &[3, 4], bytes), ("input_ids", "I32", &[3, 4], ids)]);
        let set = open_set("b.safetensors", &file, None).expect("opened");
        assert_eq!(values(&set, 2), expected, "{name} {dtype}");
        assert_eq!((set.stored_tokens(), set.left_out().by_attention_mask, set.left_out().total()), (12, 3, 3));
        let columns = set.token_columns();
        assert_eq!(columns.token_ids, Some(vec![0, 1, 2, 3, 6, 7, 8, 9, 10]));
        assert_eq!(columns.prompt_ids, Some(vec![0, 0, 0, 0, 1, 1, 2, 2, 2]));
        assert_eq!(columns.positions, Some(vec![0, 1, 2, 3, 0, 1, 0, 1, 2]), "padding has no position");
        assert_eq!(columns.rows, Some(rows.map(|row| row as i64).into()));
        assert_eq!(set.locate(4).row, 6);
        // Without the padding it is the same matrix as one that never had any.
        let plain = npy(1, "<f4", false, &[9, 2], &f32s(&expected));
        let plain = open_set("plain.npy", &plain, None).expect("opened");
        assert_eq!(fingerprint(&set).expect("hashed"), fingerprint(&plain).expect("hashed"));
    }
}

#[test]
fn a_batch_without_a_mask_is_all_tokens_and_its_own_columns_go_before() {
    let file = batch(&[
        ("prompt_ids", "I32", &[3], i32s(&[7, 8, 7])),
        ("position_ids", "I32", &[3, 4], i32s(&[1; 12])),
        ("token_ids", "I32", &[12], i32s(&[5; 12])),
    ]);
    let set = open_set("b.safetensors", &file, None).expect("opened");
    let columns = set.token_columns();
    assert_eq!(columns.prompt_ids, Some([[7; 4], [8; 4], [7; 4]].concat()));
    assert_eq!(
        (&columns.positions, &columns.token_ids, &columns.rows),
        (&Some(vec![1; 12]), &Some(vec![5; 12]), &None)
    );
    assert_eq!((set.tokens(), set.files()[0].batch()), (12, Some([3, 4])));
    let cube = npy(1, "<f2", false, &[2, 1, 3], &f16s(&[1.0; 6]));
    assert_eq!(open_set("c.npy", &cube, None).expect("opened").token_columns().prompt_ids, Some(vec![0, 1]));
}

#[test]
fn masks_and_columns_that_do_not_fit_a_batch_are_refused() {
    let text = |more: (&str, &str, &[usize], Vec<u8>)| {
        let error = open_set("b.safetensors", &batch(&[more]), None).expect_err("refused");
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    let shape = text(("attention_mask", "BOOL", &[4, 3], MASK.to_vec()));
    assert!(shape.contains("has shape [4, 3]; expected shape [3, 4], an entry a token"), "{shape}");
    assert!(text(("input_ids", "I32", &[3], i32s(&[0; 3]))).contains("has shape [3]; expected shape [3, 4]"));
    assert!(text(("token_ids", "F32", &[3, 4], f32s(&[0.0; 12]))).contains("holds f32; expected whole numbers"));
    let mut added = [0.0; 12];
    added[3] = f32::NEG_INFINITY;
    assert!(text(("mask", "F32", &[3, 4], f32s(&added))).contains("holds -inf; expected a mask"));
    assert!(text(("mask", "U8", &[3, 4], vec![0; 12])).contains("leaves out every position"));
    let fortran = npy(1, "<f4", true, &[1, 2, 3], &f32s(&[0.0; 6]));
    let text = open_set("f.npy", &fortran, None).expect_err("refused").to_string();
    assert!(text.contains("ascontiguousarray"), "{text}");
}

#[test]
fn a_file_that_is_cut_short_is_an_error_of_reading_that_names_it() {
    let place = folder(&[("a.npy", shard(0, 4)), ("b.npy", shard(4, 4))]);
    let set = open(place.path(), &[""], None).expect("opened");
    let before = fingerprint(&set).expect("hashed");
    set.check_unchanged(&before).expect("unchanged");
    let file = std::fs::File::options().write(true).open(place.path().join("b.npy")).expect("opened");
    file.set_len(file.metadata().expect("looked at").len() - 1).expect("cut short");
    let error = set.read_rows(2..8, &mut [0; 72]).expect_err("cut short");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("b.npy: the file was cut short"), "{error}");
    set.read_rows(0..4, &mut [0; 48]).expect("the other file is whole");
    for error in [set.check_whole(), set.check_unchanged(&before), set.check_untouched()] {
        let error = error.expect_err("cut short");
        assert!(matches!(&error, Error::CutShort(path) if path.ends_with("b.npy")) && !error.is_usage(), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn files_that_are_changed_or_replaced_are_told() {
    let place = folder(&[("a.npy", shard(0, 4)), ("b.npy", shard(4, 4)), ("new.npy", shard(4, 4))]);
    let set = open(place.path(), &["a.npy", "b.npy"], None).expect("opened");
    let before = fingerprint(&set).expect("hashed");
    std::fs::rename(place.path().join("new.npy"), place.path().join("b.npy")).expect("replaced");
    let error = set.check_unchanged(&before).expect_err("replaced");
    assert!(matches!(&error, Error::Replaced(path) if path.ends_with("b.npy")), "{error}");
    let set = open(place.path(), &["a.npy", "b.npy"], None).expect("opened");
    std::fs::write(place.path().join("a.npy"), shard(1, 4)).expect("written");
    let error = set.check_unchanged(&before).expect_err("changed");
    assert!(matches!(&error, Error::Changed(path) if path.ends_with("a.npy")), "{error}");
}

/// Counts the bytes that are read.
struct Counting<S> {
    source: S,
    read: Mutex<Vec<u64>>,
}

impl<S: ActivationSource> ActivationSource for Counting<S> {
    fn tokens(&self) -> u64 {
        self.source.tokens()
    }
    fn neurons(&self) -> u64 {
        self.source.neurons()
    }
    fn element(&self) -> ElementType {
        self.source.element()
    }
    fn read_rows(&self, rows: std::ops::Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.read.lock().expect("no panic").push(rows.end - rows.start);
        self.source.read_rows(rows, out)
    }
    fn shared_rows(&self, _: std::ops::Range<u64>) -> Option<Bytes> {
        None
    }
}

#[test]
fn a_fingerprint_is_taken_while_others_read() {
    let set = open_set("x.npy", &shard(0, 50), None).expect("opened");
    let expected = fingerprint(&set).expect("hashed");
    for first in [0u64, 20, 50] {
        let counting = Fingerprinting::new(Counting { source: set.clone(), read: Mutex::default() });
        let mut row = [0; 12];
        // Rows out of order, and again, do not count.
        counting.read_rows(40..41, &mut row).expect("read");
        for start in 0..first {
            counting.read_rows(start..start + 1, &mut row).expect("read");
            counting.read_rows(start..start + 1, &mut row).expect("read");
        }
        let before: u64 = counting.source().read.lock().expect("no panic").iter().sum();
        assert_eq!(counting.fingerprint().expect("hashed"), expected);
        let all: u64 = counting.source().read.lock().expect("no panic").iter().sum();
        assert_eq!(all - before, 50 - first, "only what had not been seen is read");
    }
    // Bytes in place count as well, also through a part of the rows.
    let shared = Fingerprinting::new(set);
    for start in (0..50).step_by(10) {
        assert!(RowRange::new(shared.clone(), start..start + 10).shared_rows(0..10).is_some());
    }
    assert_eq!(shared.fingerprint().expect("hashed"), expected);
}
