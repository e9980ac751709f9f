//! Columns of tokens beside the activations.

use unmix_data::{Error, TokenStrings, Vocabulary};

use crate::bytes::{f32s, i32s, npy, open, safetensors, scratch};

fn with(columns: &[(&str, &str, &[usize], Vec<u8>)]) -> Result<unmix_data::TokenColumns, Error> {
    let mut tensors = vec![("x", "F32", &[3usize, 1][..], f32s(&[1.0, 2.0, 3.0]))];
    tensors.extend_from_slice(columns);
    open("x.safetensors", &safetensors(&tensors), Some("x")).expect("opened").token_columns()
}

#[test]
fn integers_of_any_width() {
    let columns = with(&[
        ("token_ids", "U16", &[3], vec![1, 0, 0xff, 0xff, 3, 0]),
        ("sequence_ids", "I64", &[3], [-1i64, 5, 1 << 40].iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("positions", "U8", &[3], vec![0, 1, 255]),
    ])
    .expect("read");
    assert_eq!(columns.token_ids, Some(vec![1, 65_535, 3]));
    assert_eq!(columns.prompt_ids, Some(vec![-1, 5, 1 << 40]));
    assert_eq!(columns.positions, Some(vec![0, 1, 255]));
    assert_eq!(columns.names(), ["token_ids", "prompt_ids", "positions"]);
}

#[test]
fn columns_may_be_absent() {
    assert_eq!(with(&[]).expect("read").names(), [""; 0]);
    let file = open("x.npy", &npy(1, "<f4", false, &[1, 1], &f32s(&[1.0])), None).expect("opened");
    assert_eq!(file.token_columns().expect("read"), unmix_data::TokenColumns::default());
}

#[test]
fn columns_that_do_not_fit() {
    let text = |column| with(&[column]).expect_err("refused").to_string();
    assert!(
        text(("token_ids", "I32", &[2], i32s(&[1, 2]))).contains("token_ids has 2 entries, but there are 3 tokens")
    );
    assert!(text(("positions", "F32", &[3], f32s(&[0.0; 3]))).contains("holds f32; expected whole numbers"));
    assert!(text(("positions", "BOOL", &[3], vec![0; 3])).contains("holds bool"));
    assert!(text(("prompt_ids", "I32", &[3, 1], i32s(&[0; 3]))).contains("shape [3, 1]; expected one dimension of 3"));
    let huge = [0, 0, u64::MAX].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(text(("token_ids", "U64", &[3], huge)).contains("18446744073709551615 in row 2"));
}

#[test]
fn texts_of_the_tokens() {
    let ids = with(&[("token_ids", "I16", &[3], vec![2, 0, 0, 0, 1, 0])]).expect("read").token_ids.expect("ids");
    let vocabulary = scratch("vocabulary.json", br#"["a", "b", "c"]"#);
    let strings = TokenStrings::from_vocabulary(Vocabulary::read(&vocabulary.path).expect("read"), &ids).expect("read");
    assert_eq!(
        [strings.get(0), strings.get(1), strings.get(2), strings.get(3)],
        [Some("c"), Some("a"), Some("b"), None]
    );
}
