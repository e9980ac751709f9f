//! Labels of prompts.

use unmix_data::PromptLabels;

use super::refusal::refused;
use crate::{File, Form, Target};

const FILE: &str = "labels.json";
/// A name for each form of labels, and one that does not show the form.
const NAMES: [&str; 4] = [FILE, "labels.jsonl", "labels.csv", "labels"];

/// Labels in each of their forms.
pub static LABELS: Target = Target {
    name: "labels",
    files: &[File { name: FILE, form: Form::Text }],
    words: &[
        "id",
        "prompt_id",
        "concept",
        "label",
        "parent",
        "split",
        "labels",
        "choose",
        "score",
        "train",
        "test",
        "fruit",
        "food",
    ],
    seeds: || {
        let files = [
            r#"[{"id": 7, "concept": "fruit", "parent": "food", "split": "train", "text": "an apple"},
                {"prompt_id": 3, "label": " dance ", "parent": null, "split": "test"}]"#,
            r#"{"labels": ["fruit", "dance", "fruit"], "by": "hand"}"#,
            "{\"id\": 0, \"concept\": \"fruit\"}\n\n{\"id\": 1, \"concept\": \"dance\", \"parent\": \"art\"}\r\n",
            "parent,concept,id,text,split\nfood,fruit,7,\"an apple,\nred\",train\n,dance,3,,test\nfood,fruit,-1,,score\n",
            "\u{feff}label\r\nfruit\r\ndance\r\n",
            r#"["fruit", "dance"]"#,
        ];
        files.map(|file| vec![file.as_bytes().to_vec()]).to_vec()
    },
    read: |folder| {
        let path = folder.join(FILE);
        let bytes = std::fs::read(&path).unwrap_or_default();
        // The form depends on the name, too.
        let labels = match NAMES[bytes.len() % NAMES.len()] {
            FILE => PromptLabels::read(path),
            name => PromptLabels::from_bytes(name, &bytes),
        };
        match labels {
            Ok(labels) => examine(&labels),
            Err(error) => refused(&error),
        }
    },
};

/// Checks that every label can be found and belongs to one prompt.
fn examine(labels: &PromptLabels) {
    let count = labels.labels().len();
    assert!(count > 0, "labels without labels");
    for label in labels.labels() {
        assert!(!label.concept.trim().is_empty(), "a concept without a name");
        assert!(label.parent.is_none_or(|parent| !parent.trim().is_empty()), "a parent without a name");
    }
    let halves = labels.labels().filter(|label| label.half.is_some()).count();
    assert!(halves == 0 || halves == count, "{halves} of {count} labels have a half");
    if !labels.is_numbered() {
        let prompts: Vec<i64> = (0..count as i64).collect();
        let entries = labels.entries(&prompts).expect("a label for each prompt");
        assert!(entries.into_iter().eq(0..count), "the order of the file counts");
    }
    let mut found: Vec<usize> = (-1..64).filter_map(|prompt| labels.entry(prompt)).collect();
    found.sort_unstable();
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "two prompts share a label");
    assert!(found.last().is_none_or(|&last| last < count), "a label that is not there");
    if let Err(error) = labels.entries(&[i64::MIN]) {
        refused(&error);
    }
}
