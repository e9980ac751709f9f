//! The vocabulary of a model.

use unmix_data::Vocabulary;
use unmix_interpret::TokenNotation;

use super::refusal::refused;
use crate::{File, Form, Target};

const FILE: &str = "tokenizer.json";

/// Vocabularies in each of their forms.
pub static VOCABULARY: Target = Target {
    name: "vocabulary",
    files: &[File { name: FILE, form: Form::Text }],
    words: &[
        "version",
        "model",
        "type",
        "vocab",
        "merges",
        "added_tokens",
        "id",
        "content",
        "special",
        "normalized",
        "lstrip",
        "rstrip",
        "single_word",
        "BPE",
        "WordPiece",
        "Unigram",
        "WordLevel",
        "unk_token",
        "unk_id",
        "byte_fallback",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "normalizer",
        "pre_tokenizer",
        "decoder",
        "post_processor",
        "truncation",
        "padding",
        "ByteLevel",
        "Replace",
        "Regex",
        "String",
        "Split",
        "Sequence",
        "Precompiled",
        "precompiled_charsmap",
        "Ġ",
        "▁",
        "##",
        "<0x0A>",
    ],
    seeds: || {
        let tokenizer = |model: &str, rest: &str| {
            format!(
                r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{{"id": 7, "content": "<s>",
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}}], {rest},
                "post_processor": null, "model": {model}}}"#
            )
        };
        let plain = r#""normalizer": null, "pre_tokenizer": null, "decoder": null"#;
        let files = [
            r#"["a", " b", "é", "Ġhi"]"#.to_owned(),
            r#"{"a": 7, "model": 900, "version": -1, "Ġhi": 2}"#.to_owned(),
            tokenizer(
                r#"{"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "vocab": {"h": 0, "i": 1, "Ġ": 2, "hi": 3, "Ġhi": 4}, "merges": [["h", "i"], ["Ġ", "hi"]]}"#,
                r#""normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\w+"},
                "behavior": "Isolated", "invert": false}, "decoder": {"type": "ByteLevel", "add_prefix_space": true,
                "trim_offsets": true, "use_regex": true}"#,
            ),
            tokenizer(
                r#"{"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2}, "merges": ["h i"]}"#,
                r#""normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "pre_tokenizer": null,
                "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}"#,
            ),
            tokenizer(
                r###"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "hi": 1, "##lo": 2}}"###,
                plain,
            ),
            tokenizer(
                r#"{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁hi", -1.5], ["<0x0A>", -2.0]]}"#,
                plain,
            ),
            tokenizer(r#"{"type": "WordLevel", "vocab": {"[UNK]": 0, "hi": 1}, "unk_token": "[UNK]"}"#, plain),
        ];
        files.map(|file| vec![file.into_bytes()]).to_vec()
    },
    read: |folder| {
        let path = folder.join(FILE);
        let vocabulary = match Vocabulary::read(&path) {
            Ok(vocabulary) => vocabulary,
            Err(error) => return refused(&error),
        };
        let entries = vocabulary.len();
        assert_eq!(vocabulary.is_empty(), entries == 0);
        let notation = TokenNotation::of(&vocabulary);
        let mut found = 0;
        for id in (-1..1000).chain([i64::MIN, i64::MAX, 1 << 32]) {
            if let Some(text) = vocabulary.get(id) {
                found += 1;
                notation.text(text);
            }
        }
        assert!(found <= vocabulary.len(), "{found} ids of {} have a text", vocabulary.len());
    },
};
