//! The text of each row's token.

use unmix_data::{Error, TokenStrings};
use unmix_interpret::{Prompts, Text};

use super::refusal::refused;
use crate::{File, Form, Target};

const FILE: &str = "tokens.json";

/// Arrays of texts, one for each row.
pub static TOKEN_TEXTS: Target = Target {
    name: "token_texts",
    files: &[File { name: FILE, form: Form::Text }],
    words: &["the", " fox", "Ġfox", "▁fox", "##es", "<0x0A>", "<|endoftext|>", "\\n"],
    seeds: || {
        let files = [
            r#"["The", " quick", " fox", "es", ".", "\n"]"#,
            r#"["Ġthe", "Ġna", "Ã¯", "ve", "<|endoftext|>"]"#,
            r#"["▁the", "<0xE6>", "<0x9D>", "<0xB1>", "", "\ud83d\ude00"]"#,
            "[\"un\", \"##happi\", \"##ness\"]",
            "[]",
        ];
        files.map(|file| vec![file.as_bytes().to_vec()]).to_vec()
    },
    read: |folder| {
        let path = folder.join(FILE);
        let strings = match TokenStrings::from_rows(&path, 6) {
            // The error says how many texts there are. With that number of rows, the file must be read.
            Err(Error::ColumnLength { found, .. }) => {
                TokenStrings::from_rows(&path, found).expect("as many rows as there are texts")
            }
            Err(error) => return refused(&error),
            Ok(strings) => strings,
        };
        let tokens: Vec<&str> = (0..strings.len()).map(|row| strings.get(row).expect("a row")).collect();
        assert_eq!(strings.get(tokens.len()), None);
        assert_eq!(strings.is_empty(), tokens.is_empty());

        let prompts: Vec<i64> = (0..tokens.len() as i64).map(|row| row / 4).collect();
        let text = Text::new(&tokens, Prompts::new(tokens.len(), Some(&prompts), None));
        let mut row = 0;
        while row < tokens.len() {
            let word = text.word(row);
            assert!(word.contains(&row) && word.end <= tokens.len(), "{word:?} is the word of row {row}");
            assert_eq!(text.pieces(word.clone()).len(), word.len());
            let spelling = text.spelling(word.clone());
            assert!(!spelling.chars().any(char::is_control), "{spelling:?}");
            row = word.end;
        }
    },
};
