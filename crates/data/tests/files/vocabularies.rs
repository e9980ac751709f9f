//! Vocabularies in every form that they come in.

use proptest::prelude::*;
use unmix_data::{Error, TokenStrings, Vocabulary};

use crate::bytes::scratch;

/// A tokenizer.json with this model and these added tokens.
fn tokenizer(model: &str, added: &[(u32, &str)]) -> String {
    let added: Vec<serde_json::Value> = added
        .iter()
        .map(|(id, content)| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": {}, "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": {model}}}"#,
        serde_json::json!(added)
    )
}

const BPE: &str = r#"{"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
    "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
    "vocab": {"h": 0, "i": 1, "Ġ": 2, "hi": 3, "Ġhi": 4}, "merges": [["h", "i"], ["Ġ", "hi"]]}"#;
const WORD_PIECE: &str = r#"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "",
    "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "hi": 1, "lo": 2}}"#;
const UNIGRAM: &str = r#"{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁hi", -1.5], ["lo", -2.0]]}"#;

fn read(content: impl AsRef<[u8]>) -> Result<Vocabulary, Error> {
    Vocabulary::read(&scratch("vocabulary.json", content.as_ref()).path)
}

fn refused(content: impl AsRef<[u8]>) -> String {
    let error = read(content).expect_err("must be refused");
    assert!(error.is_usage() && error.to_string().contains("vocabulary.json"), "{error}");
    error.to_string()
}

#[test]
fn arrays_and_objects() {
    let array = read(r#"["a", " b", "é"]"#).expect("read");
    assert_eq!((array.len(), array.get(1), array.get(3), array.get(-1)), (3, Some(" b"), None, None));
    assert!(!array.is_empty());
    // An object may have holes, and words that a tokenizer.json has as keys.
    let object = read(r#"{"a": 7, "model": 900, "version": -1}"#).expect("read");
    assert_eq!(
        (object.len(), object.get(7), object.get(900), object.get(-1)),
        (3, Some("a"), Some("model"), Some("version"))
    );
    assert_eq!(object.get(0), None);
    assert_eq!(array.texts().collect::<Vec<_>>(), ["a", " b", "é"]);
}

#[test]
fn tokenizers_of_each_kind_with_their_added_tokens() {
    for (model, texts) in [
        (BPE, &["h", "i", "Ġ", "hi", "Ġhi"][..]),
        (WORD_PIECE, &["[UNK]", "hi", "lo"]),
        (UNIGRAM, &["<unk>", "▁hi", "lo"]),
    ] {
        let vocabulary = read(tokenizer(model, &[(20, "<|end|>")])).expect("read");
        for (id, text) in texts.iter().enumerate() {
            assert_eq!(vocabulary.get(id as i64), Some(*text));
        }
        assert!(vocabulary.texts().any(|text| text == "<|end|>"));
        assert_eq!(vocabulary.len(), texts.len() + 1);
    }
}

#[test]
fn tokens_of_rows_come_from_a_tokenizer() {
    let file = scratch("tokenizer.json", tokenizer(BPE, &[]).as_bytes());
    let strings = TokenStrings::from_vocabulary(&file.path, &[4, 0, 4]).expect("read");
    assert_eq!([strings.get(0), strings.get(1), strings.get(2)], [Some("Ġhi"), Some("h"), Some("Ġhi")]);
    let text = TokenStrings::from_vocabulary(&file.path, &[4, 99]).expect_err("refused").to_string();
    assert!(text.contains("token id 99 (row 1) in a vocabulary of 5 entries"), "{text}");
}

#[test]
fn what_is_no_vocabulary_is_told() {
    assert!(refused("7").contains("holds a number"));
    assert!(refused("").contains("empty"));
    assert!(refused("[1]").contains("entry 0 is a number"));
    assert!(refused(r#"{"a": "b"}"#).contains("\"a\" is a string instead of an id"));
    assert!(refused(r#"{"a": 1, "b": 1}"#).contains("share the id 1"));
    let text = refused(r#"{"version": "1.0", "model": {"type": "Telepathy"}}"#);
    assert!(text.contains("this tokenizer cannot be read") && text.contains("tokenizer.json"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_tokenizer_never_panics(
        model in prop::sample::select(vec![BPE, WORD_PIECE, UNIGRAM]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"0123456789{}[],:\"-e.naul ".to_vec())), 1..4),
    ) {
        let mut bytes = tokenizer(model, &[(20, "<|end|>"), (21, "x")]).into_bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Err(error) = read(&bytes) {
            prop_assert!(error.is_usage(), "{}", error);
        }
    }
}
