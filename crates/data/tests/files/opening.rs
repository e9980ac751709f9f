//! Which file and which tensor is meant, and what is wrong with it.

use unmix::{ActivationSource, ElementType};
use unmix_data::{ActivationFile, Error, Format, OpenOptions, read_matrix};

use crate::bytes::{
    bf16s, f16s, f32s, f64s, i32s, npy, open, open_set, raw_npy, raw_safetensors, refused, safetensors, scratch,
    swapped, values,
};

const SIX: [f32; 6] = [1.0, -2.0, 3.5, 0.0, -0.25, 6.0];

#[test]
fn the_only_matrix_of_floats_is_meant() {
    let file = safetensors(&[
        ("bias", "F32", &[3], f32s(&[0.0; 3])),
        ("x", "F16", &[2, 3], f16s(&SIX)),
        ("ids", "I32", &[2, 1], i32s(&[1, 2])),
        ("flag", "BOOL", &[2, 1], vec![0, 1]),
    ]);
    let file = open("a.safetensors", &file, None).expect("opened");
    assert_eq!((file.tensor(), file.format(), file.element()), (Some("x"), Format::Safetensors, ElementType::F16));
    assert_eq!((file.tokens(), file.neurons()), (2, 3));
    assert_eq!(file.metadata()["model"], "tiny");
    assert_eq!(file.tensors().iter().map(|t| t.dtype.as_str()).collect::<Vec<_>>(), ["f32", "f16", "i32", "bool"]);
    assert!(file.path().ends_with("a.safetensors"));
    assert_eq!(values(&file, 1), SIX);
}

#[test]
fn one_of_several_is_named() {
    let file = safetensors(&[("a", "F32", &[2, 3], f32s(&SIX)), ("b", "BF16", &[3, 2], bf16s(&SIX))]);
    let text = refused("two.safetensors", &file, None);
    assert!(text.contains("a f32 [2, 3], b bf16 [3, 2]; name the tensor that is meant"), "{text}");
    let b = open("two.safetensors", &file, Some("b")).expect("opened");
    assert_eq!((b.tokens(), b.element()), (3, ElementType::Bf16));
    let text = refused("two.safetensors", &file, Some("c"));
    assert!(text.contains("no tensor named \"c\"") && text.contains("a f32 [2, 3]"), "{text}");
}

#[test]
fn a_mask_is_not_taken_for_the_activations_whatever_lies_beside_it() {
    let cube = ("activations", "F32", &[1usize, 3, 2][..], f32s(&SIX));
    let mask = ("attention_mask", "F32", &[1usize, 3][..], f32s(&[1.0; 3]));
    let set = open_set("x.safetensors", &safetensors(&[cube.clone(), mask.clone()]), None).expect("opened");
    assert_eq!((set.tokens(), set.neurons(), set.files()[0].tensor()), (3, 2, Some("activations")));
    // A matrix beside the batch may be the activations as well, or anything else.
    let lone = ("x", "F32", &[1usize, 3][..], f32s(&[1.0; 3]));
    let text = refused("x.safetensors", &safetensors(&[cube.clone(), lone, mask.clone()]), None);
    assert!(text.contains("several tensors could be meant: activations f32 [1, 3, 2], x f32 [1, 3];"), "{text}");
    let text = refused("x.safetensors", &safetensors(std::slice::from_ref(&mask)), None);
    assert!(text.contains("masks or columns of tokens by their names: attention_mask"), "{text}");
    assert_eq!(open("x.safetensors", &safetensors(&[cube, mask]), Some("attention_mask")).expect("opened").tokens(), 1);
}

#[test]
fn what_cannot_be_activations_beside_them_does_not_matter() {
    let file = safetensors(&[
        ("activations", "F16", &[2, 3], f16s(&SIX)),
        ("token_ids", "I32", &[2, 5], i32s(&[0; 10])),
        ("causal_mask", "F32", &[1, 3, 3], f32s(&[0.0; 9])),
        ("padding_mask", "U8", &[2, 5], vec![1; 10]),
        ("scale", "F32", &[3], f32s(&[1.0; 3])),
    ]);
    assert_eq!(open("a.safetensors", &file, None).expect("opened").tensor(), Some("activations"));
}

#[test]
fn scales_of_quantised_activations_are_not_taken_for_them() {
    for (dtype, bytes) in [("I8", 6), ("F8_E4M3", 6), ("F32", 24)] {
        let shape: &[usize] = if dtype == "F32" { &[6] } else { &[2, 3] };
        let file = safetensors(&[("q", dtype, shape, vec![0; bytes]), ("scales", "F32", &[2, 1], f32s(&[1.0; 2]))]);
        let text = refused("q.safetensors", &file, None);
        assert!(text.contains("several tensors could be meant: q ") && text.contains("scales f32 [2, 1]"), "{text}");
    }
}

#[test]
fn unaligned_tensors_are_read() {
    let file = safetensors(&[("odd", "U8", &[1], vec![7]), ("x", "F32", &[2, 3], f32s(&SIX))]);
    assert_eq!(values(&open("x.safetensors", &file, None).expect("opened"), 2), SIX);
}

#[test]
fn shared_bytes_are_not_copied() {
    let file = open("x.npy", &npy(1, "<f4", false, &[2, 3], &f32s(&SIX)), None).expect("opened");
    let (one, two) = (file.shared_rows(0..2).expect("in place"), file.clone().shared_rows(0..2).expect("in place"));
    assert_eq!(one.as_ptr(), two.as_ptr());
    drop(file);
    assert_eq!(&one[..], &f32s(&SIX)[..], "bytes live on without the file");
    for descr in [">f4", "<f8"] {
        let data = if descr == "<f8" { f64s(&SIX.map(f64::from)) } else { swapped(&f32s(&SIX), 4) };
        let file = open("x.npy", &npy(1, descr, false, &[2, 3], &data), None).expect("opened");
        assert!(file.shared_rows(0..2).is_none());
        assert_eq!(values(&file, 1), SIX);
    }
}

#[test]
fn content_goes_before_the_name() {
    let array = npy(1, "<f4", false, &[2, 3], &f32s(&SIX));
    assert_eq!(open("x.safetensors", &array, None).expect("opened").format(), Format::Npy);
    assert_eq!(
        open("x", &safetensors(&[("x", "F32", &[2, 3], f32s(&SIX))]), None).expect("opened").format(),
        Format::Safetensors
    );
}

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().expect("folder");
    let none = OpenOptions::default();
    let error = ActivationFile::open(folder.path(), &none).expect_err("refused");
    assert!(matches!(error, Error::NotAFile { .. }) && error.to_string().contains("folder"), "{error}");
    let error = ActivationFile::open(folder.path().join("no.npy"), &none).expect_err("refused");
    assert!(matches!(error, Error::NotFound(_)) && error.to_string().contains("no.npy"));
    assert!(refused("empty.npy", b"", None).contains("empty"));
}

#[test]
fn other_formats_are_recognized() {
    assert!(refused("a.npz", b"PK\x03\x04abcdefgh", None).contains("zip archive"));
    assert!(refused("a.pt", b"\x80\x02ccollections", None).contains("pickle"));
    assert!(refused("a.gguf", b"GGUF\x03\x00\x00\x00\x01", None).contains("GGUF"));
    assert!(refused("a.bin", b"hello, you", None).contains("unknown content, starting with \"hello, y\""));
    assert!(refused("model.safetensors.index.json", b"[\"weights\"]", None).contains("shards"));
    assert!(refused("a.npy", b"hello, you", None).contains("instead of"));
}

#[test]
fn damaged_safetensors() {
    let good = safetensors(&[("x", "F32", &[2, 3], f32s(&SIX))]);
    assert!(refused("a.safetensors", b"abc", None).contains("3 bytes, shorter than"));
    assert!(refused("a.safetensors", &good[..40], None).contains("only 32 bytes follow"));
    let text = refused("a.safetensors", &good[..good.len() - 1], None);
    assert!(text.contains("24 bytes are announced, but 23 bytes follow") && text.contains("truncated"), "{text}");
    let mut long = good.clone();
    long.push(0);
    assert!(refused("a.safetensors", &long, None).contains("after the last tensor"));
    let mut huge = good;
    huge[7] = 0xff;
    assert!(refused("a.safetensors", &huge, None).contains("limit"));
    assert!(refused("a.safetensors", &raw_safetensors("{\"x\":", b""), None).contains("cannot be understood"));
    let ragged = raw_safetensors(r#"{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}}"#, &[0; 20]);
    assert!(refused("a.safetensors", &ragged, None).contains("cannot be understood"));
    let overlapping = raw_safetensors(
        r#"{"x":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}"#,
        &[0; 4],
    );
    assert!(refused("a.safetensors", &overlapping, None).contains("cannot be understood"));
    let side = 1u64 << 62;
    let header = format!(r#"{{"x":{{"dtype":"F32","shape":[{side},{side}],"data_offsets":[0,4]}}}}"#);
    assert!(refused("a.safetensors", &raw_safetensors(&header, &[0; 4]), None).contains("cannot be understood"));
    let deep = "[".repeat(100_000);
    assert!(
        refused("a.safetensors", &raw_safetensors(&format!("{{\"x\":{deep}"), b""), None)
            .contains("cannot be understood")
    );
}

#[test]
fn a_tensor_that_is_listed_twice_is_refused() {
    let entry = r#""x":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}"#;
    let text = refused("a.safetensors", &raw_safetensors(&format!("{{{entry},{entry}}}"), b""), None);
    assert!(text.contains("two entries \"x\""), "{text}");
    let metadata = r#""__metadata__":{"a":"b"}"#;
    let text = refused("a.safetensors", &raw_safetensors(&format!("{{{metadata},{metadata}}}"), b""), None);
    assert!(text.contains("two entries \"__metadata__\""), "{text}");
}

#[test]
fn long_names_shapes_and_words_are_cut_in_messages() {
    let entry = |name: &str, dtype: &str, shape: &str| {
        let header = format!(r#"{{"{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[0,0]}}}}"#);
        refused("a.safetensors", &raw_safetensors(&header, b""), None)
    };
    let long = "n".repeat(70_000);
    for text in [entry(&long, "F32", "0,4"), entry("x", &long, "0,4"), entry("x", "F32", &vec!["0"; 70_000].join(","))]
    {
        assert!(text.len() < 2000, "{} bytes: {}", text.len(), &text[..2000]);
    }
}

#[test]
fn damaged_npy() {
    let good = npy(1, "<f4", false, &[2, 3], &f32s(&SIX));
    assert!(refused("a.npy", &good[..9], None).contains("9 bytes end within the header"));
    assert!(refused("a.npy", &good[..20], None).contains("only 10 bytes follow"));
    let text = refused("a.npy", &good[..good.len() - 3], None);
    assert!(text.contains("needs 24 bytes, but 21 bytes follow") && text.contains("truncated"), "{text}");
    let mut long = good.clone();
    long.extend([0; 4]);
    assert!(refused("a.npy", &long, None).contains("after the array"));
    let mut version = good;
    version[6] = 9;
    assert!(refused("a.npy", &version, None).contains("version 9.0 is unknown"));
    assert!(refused("a.npy", &raw_npy(1, "{'descr': '<f4'}", b""), None).contains("fortran_order"));
    assert!(refused("a.npy", &raw_npy(1, "nonsense", b""), None).contains("cannot be understood"));
    assert!(refused("a.npy", &raw_npy(2, &"(".repeat(9_000), b""), None).contains("nested"));
    assert!(refused("a.npy", &raw_npy(2, &" ".repeat(70_000), b""), None).contains("70001 bytes"));
    // NumPy refuses longer headers too.
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
    let padded = |length: usize| raw_npy(2, &format!("{header:<0$}", length - 1), &[0; 4]);
    assert!(refused("a.npy", &padded(10_000), None).contains("two dimensions"));
    assert!(refused("a.npy", &padded(10_001), None).contains("a header of 10001 bytes"));
    assert!(refused("a.npy", &npy(1, "<f4", false, &[usize::MAX, 3], b""), None).contains("larger than any memory"));
}

#[test]
fn wrong_types_and_shapes() {
    assert!(
        refused("i.npy", &npy(1, "<i4", false, &[2, 3], &[0; 24]), None).contains("the array holds i32; expected f32")
    );
    assert!(refused("c.npy", &npy(1, "<c8", false, &[2, 3], &[0; 48]), None).contains("NumPy type <c8"));
    assert!(refused("v.npy", &npy(1, "|V2", false, &[2, 3], &[0; 12]), None).contains("bfloat16?"));
    assert!(refused("o.npy", &npy(1, "|O", false, &[2, 3], &[0; 12]), None).contains("pickled"));
    let records =
        raw_npy(1, "{'descr': [('a', '<f4'), ('b', '<i4', (2,))], 'fortran_order': False, 'shape': (2,), }", &[0; 24]);
    assert!(refused("r.npy", &records, None).contains("structured records"));
    assert!(
        refused("1.npy", &npy(1, "<f4", false, &[6], &f32s(&SIX)), None).contains("shape [6]; expected two dimensions")
    );
    assert!(
        refused("3.npy", &npy(1, "<f4", false, &[1, 2, 3], &f32s(&SIX)), None).contains("merge the leading dimensions")
    );
    assert!(refused("0.npy", &npy(1, "<f4", false, &[0, 3], b""), None).contains("at least one row"));
    assert!(refused("n.npy", &npy(1, "<f4", false, &[2, 3], &f32s(&SIX)), Some("x")).contains("leave the name out"));

    let file = safetensors(&[
        ("ids", "I64", &[2, 1], vec![0; 16]),
        ("cube", "F32", &[1, 1, 2, 3], f32s(&SIX)),
        ("f8", "F8_E4M3", &[2, 3], vec![0; 6]),
    ]);
    let text = refused("a.safetensors", &file, None);
    assert!(text.contains("no two- or three-dimensional tensor") && text.contains("cube f32 [1, 1, 2, 3]"), "{text}");
    assert!(text.contains("merge the leading dimensions"), "{text}");
    assert!(refused("a.safetensors", &file, Some("ids")).contains("holds i64"));
    assert!(refused("a.safetensors", &file, Some("cube")).contains("merge"));
    assert!(refused("a.safetensors", &file, Some("f8")).contains("holds f8_e4m3"));
    assert!(refused("a.safetensors", &safetensors(&[]), None).contains("no tensors"));
}

#[test]
fn long_lists_of_candidates_are_cut() {
    let names: Vec<String> = (0..30).map(|i| format!("layer{i:02}")).collect();
    let tensors: Vec<_> = names.iter().map(|n| (n.as_str(), "F32", &[1usize, 1][..], f32s(&[1.0]))).collect();
    let text = refused("a.safetensors", &safetensors(&tensors), None);
    assert!(text.contains("layer11") && !text.contains("layer12") && text.contains("and 18 more"), "{text}");
}

#[test]
fn f64_beyond_f32_is_refused_where_it_stands() {
    let mut wide = [1.0f64, f64::NAN, 3.0, f64::INFINITY, 5.0, 6.0];
    for (order, at) in [(false, 4usize), (true, 3)] {
        // Row 1, column 1 in both orders.
        wide[at] = -1e300;
        let file = open("w.npy", &npy(1, "<f8", order, &[2, 3], &f64s(&wide)), None).expect("opened");
        let text = unmix_data::fingerprint(&file).expect_err("refused").to_string();
        assert!(text.contains("row 1, column 1 is -1e300"), "{text}");
        wide[at] = 0.0;
    }
    // NaN and infinity are no overflow: they are told apart by the check for finite values.
    let file = open("w.npy", &npy(1, "<f8", false, &[2, 3], &f64s(&[f64::NAN; 6])), None).expect("opened");
    assert!(values(&file, 2).iter().all(|v| v.is_nan()));
}

#[test]
fn rows_of_f64_that_are_all_below_f32_are_refused_where_they_stand() {
    for tiny in [1e-100f64, -3e-42] {
        for (order, at) in [(false, 3usize), (true, 1)] {
            let mut wide = [1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0];
            let row: [usize; 3] = if order { [1, 3, 5] } else { [3, 4, 5] };
            row.iter().for_each(|&element| wide[element] = 0.0);
            wide[at] = tiny;
            let file = open("w.npy", &npy(1, "<f8", order, &[2, 3], &f64s(&wide)), None).expect("opened");
            let text = unmix_data::fingerprint(&file).expect_err("refused").to_string();
            assert!(text.contains(&format!("row 1 is {tiny:e}, in column 0")) && text.contains("multiply"), "{text}");
        }
    }
    // A tiny number beside others of its row is nothing, and zeros are zeros.
    let file = open("w.npy", &npy(1, "<f8", false, &[2, 3], &f64s(&[1e-300, 1.0, 0.0, 0.0, -0.0, 0.0])), None);
    assert_eq!(values(&file.expect("opened"), 2), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn rows_outside_are_refused() {
    let file = open("x.npy", &npy(1, "<f4", false, &[2, 3], &f32s(&SIX)), None).expect("opened");
    assert!(file.read_rows(1..3, &mut [0; 24]).is_err());
    assert!(file.read_rows(0..1, &mut [0; 11]).is_err());
    #[expect(clippy::reversed_empty_ranges)]
    let reversed = 2..1;
    assert!(file.read_rows(reversed, &mut []).is_err());
    assert!(file.read_rows(2..2, &mut []).is_ok());
}

#[test]
fn matrices_are_read_whole() {
    let six = scratch("m.npy", &npy(1, "<f8", true, &[3, 2], &f64s(&[1.0, 3.0, 5.0, 2.0, 4.0, 6.0])));
    let matrix = read_matrix(&six.path, None).expect("read");
    assert_eq!((matrix.rows, matrix.columns, matrix.row(1)), (3, 2, &[3.0f32, 4.0][..]));
    let file = scratch(
        "m.safetensors",
        &safetensors(&[("a", "F64", &[1, 2], f64s(&[0.5, 2.0])), ("b", "F16", &[1, 1], f16s(&[f32::NAN]))]),
    );
    assert_eq!(read_matrix(&file.path, Some("a")).expect("read").values, [0.5, 2.0]);
    let text = read_matrix(&file.path, Some("b")).expect_err("refused").to_string();
    assert!(text.contains("m.safetensors: the numbers hold NaN in row 0, column 0"), "{text}");
    assert!(matches!(read_matrix(&file.path, None), Err(Error::AmbiguousTensor { .. })));
}
