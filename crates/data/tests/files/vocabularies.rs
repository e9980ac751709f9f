//! Vocabularies in every form that they come in.

use proptest::prelude::*;
use unmix_data::{Error, TokenDecoder, TokenStrings, Vocabulary};

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
        let next = texts.len() as u32;
        let vocabulary = read(tokenizer(model, &[(next, "<|end|>"), (1, texts[1])])).expect("read");
        for (id, text) in texts.iter().chain(&["<|end|>"]).enumerate() {
            assert_eq!(vocabulary.get(id as i64), Some(*text));
        }
        assert_eq!(
            (vocabulary.len(), vocabulary.get(next.into()), vocabulary.get(-1)),
            (texts.len() + 1, Some("<|end|>"), None)
        );
        assert_eq!((vocabulary.known_below(2), vocabulary.known_below(99)), (2, texts.len() + 1));
    }
}

#[test]
fn added_tokens_have_the_ids_that_the_tokenizers_library_gives_them() {
    // tokenizers 0.22 and 0.23 number them from the end of the model on, whatever the file says; a file that says otherwise was
    // edited, and its own ids are known where nothing else has them.
    let vocabulary = read(tokenizer(BPE, &[(20, "<|end|>"), (4_294_967_295, "hi"), (0, "<|pad|>")])).expect("read");
    assert_eq!((vocabulary.get(5), vocabulary.get(6)), (Some("<|end|>"), Some("<|pad|>")));
    assert_eq!((vocabulary.get(3), vocabulary.get(0)), (Some("hi"), Some("h")));
    assert_eq!((vocabulary.get(20), vocabulary.get(4_294_967_295)), (Some("<|end|>"), Some("hi")));
}

#[test]
fn a_tokenizer_says_how_its_texts_are_decoded() {
    let decoder = |decoder: &str| {
        read(tokenizer(BPE, &[]).replace(r#""decoder": null"#, &format!(r#""decoder": {decoder}"#)))
            .expect("read")
            .decoder()
    };
    assert_eq!(decoder(r#"{"type": "ByteLevel", "add_prefix_space": true}"#), Some(TokenDecoder::ByteLevel));
    assert_eq!(decoder(r#"{"type": "WordPiece", "cleanup": true}"#), Some(TokenDecoder::WordPiece));
    let llama = r#"{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#;
    assert_eq!(decoder(llama), Some(TokenDecoder::SentencePiece));
    assert_eq!((decoder("null"), decoder(r#"{"type": "CTC"}"#)), (None, None));
}

/// What is no part of a list of words is passed over: it cost a panic, 8 GiB, and time without end.
#[test]
fn what_turns_text_into_tokens_is_not_read() {
    let normalizers = [
        r#"{"type": "Precompiled"}"#.to_owned(),
        // Announces a table of 2³⁰ numbers and ends.
        r#"{"type": "Precompiled", "precompiled_charsmap": "/////2FiY2Q="}"#.to_owned(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ];
    for normalizer in normalizers {
        let text = tokenizer(BPE, &[]).replace(r#""normalizer": null"#, &format!(r#""normalizer": {normalizer}"#));
        assert_eq!(read(text).expect("read").get(3), Some("hi"));
    }
}

#[test]
fn a_token_of_a_megabyte_is_cut_since_many_rows_may_have_it() {
    let long = "é".repeat(500_000) + "x";
    let vocabulary = read(tokenizer(BPE, &[(5, &long), (6, "…")])).expect("read");
    assert_eq!(vocabulary.get(5), Some("é".repeat(512).as_str()));
    let strings = TokenStrings::from_vocabulary(vocabulary, &[5, 5, 6]).expect("read");
    assert_eq!((strings.get(1).map(str::len), strings.get(2)), (Some(1024), Some("…")));
}

#[test]
fn tokens_of_rows_come_from_a_tokenizer() {
    let vocabulary = read(tokenizer(BPE, &[])).expect("read");
    let strings = TokenStrings::from_vocabulary(vocabulary.clone(), &[4, 0, 4]).expect("read");
    assert_eq!([strings.get(0), strings.get(1), strings.get(2)], [Some("Ġhi"), Some("h"), Some("Ġhi")]);
    let strings = TokenStrings::from_vocabulary(vocabulary, &[4, 99]).expect("read");
    assert_eq!(strings.get(1), Some("[id 99]"));
}

#[test]
fn what_is_no_vocabulary_is_told() {
    assert!(refused("7").contains("holds a number"));
    assert!(refused("").contains("empty"));
    assert!(refused("[1]").contains("expected entry 0 to be a string"));
    assert!(refused(r#"{"a": "b"}"#).contains("\"a\" is a string instead of an id"));
    assert!(refused(r#"{"a": 1, "b": 1}"#).contains("share the id 1"));
    assert!(refused(r#"{"a": 1.5}"#).contains("\"a\" is the number 1.5 instead of an id"));
    assert!(refused(r#"{"a": 18446744073709551615}"#).contains("is 18446744073709551615 instead of an id"));
    assert!(refused(r#"{"version": "1.0", "model": {"vocab": {"a": 0"#).contains("not valid JSON: EOF"));
    assert!(refused(format!("{{\"a\": {}", "[".repeat(1_000_000))).contains("not valid JSON: EOF"));
    assert!(refused(b"[\"\xff\"]").contains("not valid JSON: invalid unicode"));
    for tokenizer in [
        r#"{"version": "1.0", "model": {"type": "Telepathy"}}"#,
        r#"{"model": {"vocab": [["a", 0.0], [], ["b", 0.0]]}}"#,
        r#"{"model": {"vocab": [[0.5, "a"]]}}"#,
        r#"{"model": {"vocab": 7}}"#,
        r#"{"model": {"vocab": {"a": "0"}}}"#,
        r#"{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": -1e30, "content": "b"}]}"#,
        r#"{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}"#,
    ] {
        let text = refused(tokenizer);
        assert!(text.contains("this tokenizer cannot be read") && text.contains("tokenizer.json"), "{text}");
    }
    // A text of any length is cut in a message.
    assert!(refused(format!("{{\"{}\": true}}", "x".repeat(100_000))).len() < 1000);
    let empty = read(r#"{"model": {"vocab": {}}}"#).expect("read");
    assert!(empty.is_empty() && empty.get(0).is_none());
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
