//! Labels of prompts in each of their forms, and what is said about bad ones.

use proptest::prelude::*;
use unmix_data::{Error, Half, PromptLabels};

use crate::bytes::scratch;

fn read(name: &str, content: &str) -> Result<PromptLabels, Error> {
    PromptLabels::read(&scratch(name, content.as_bytes()).path)
}

fn refused(name: &str, content: &str) -> String {
    let error = read(name, content).expect_err("must be refused");
    assert!(error.is_usage(), "{error}");
    let text = error.to_string();
    assert!(text.contains(name), "the file is not named: {text}");
    text
}

/// Concept, parent and half for each of some prompts.
fn found(labels: &PromptLabels, prompts: &[i64]) -> Vec<(String, Option<String>, Option<Half>)> {
    let entry = |&prompt: &i64| {
        let label = labels.label(labels.entry(prompt).expect("a label"));
        (label.concept.to_owned(), label.parent.map(str::to_owned), label.half)
    };
    prompts.iter().map(entry).collect()
}

#[test]
fn every_form_says_the_same() {
    let objects = [
        r#"{"id": 7, "concept": "fruit", "parent": "food", "split": "train", "text": "an apple"}"#,
        r#"{"id": 3, "concept": " dance ", "parent": null, "split": "test"}"#,
        r#"{"id": -1, "label": "fruit", "parent": "food", "split": "score"}"#,
    ];
    let array = format!("[{}]", objects.join(",\n"));
    let expected = [
        ("fruit".to_owned(), Some("food".to_owned()), Some(Half::Choosing)),
        ("dance".to_owned(), None, Some(Half::Scoring)),
        ("fruit".to_owned(), Some("food".to_owned()), Some(Half::Scoring)),
    ];
    let csv =
        "parent,concept,id,text,split\nfood,fruit,7,\"an apple,\nred\",train\n,dance,3,,test\nfood,fruit,-1,,score\n";
    let forms = [
        ("a.json", array.clone()),
        ("a.txt", format!("  {{\"labels\": {array}, \"by\": \"hand\"}}")),
        ("a.jsonl", objects.join("\n\n") + "\r\n"),
        (
            "a.jsonl",
            objects.join("\n").replace("\"id\"", "\"Prompt ID\"").replace("7,", "\"7\",").replace("3,", "3.0,"),
        ),
        ("a.json", objects.join("\n")),
        ("a.csv", csv.to_owned()),
        ("a", csv.replace('\n', "\r\n").replace("concept", "label").replace(",id,", ", prompt_id ,")),
        ("a.csv", csv.replace(",7,", ",7.0,").replace(",3,", ", 3 ,").replace(",id,", ",SEQUENCE_ID,")),
        ("a.csv", format!("\u{feff}{csv}").replace("parent,concept", "parent,concept")),
    ];
    for (name, content) in forms {
        let labels = read(name, &content).unwrap_or_else(|error| panic!("{content}: {error}"));
        assert_eq!(found(&labels, &[7, 3, -1]), expected, "{content}");
        assert!(labels.is_numbered());
        assert_eq!(labels.entry(0), None);
        assert_eq!(labels.entries(&[-1, 7, 7]).expect("labelled"), [2, 0, 0]);
    }
}

#[test]
fn without_numbers_the_order_counts() {
    let forms = [
        ("a.json", r#"["x", "y", "x"]"#),
        ("a.json", r#"{"labels": ["x", "y", "x"]}"#),
        ("a.jsonl", "{\"concept\": \"x\"}\n{\"concept\": \"y\"}\n{\"concept\": \"x\"}"),
        ("a.csv", ",concept,text\n0,x,7\n1,y,8\n2,x,many\n"),
        (
            "a.jsonl",
            "{\"index\": 1, \"concept\": \"x\"}\n{\"index\": 2, \"concept\": \"y\"}\n{\"index\": 3, \"concept\": \"x\"}",
        ),
        ("a.csv", "concept\nx\ny\nx\n"),
    ];
    for (name, content) in forms {
        let labels = read(name, content).unwrap_or_else(|error| panic!("{content}: {error}"));
        assert!(!labels.is_numbered(), "{content}");
        let concepts: Vec<&str> = labels.labels().map(|label| label.concept).collect();
        assert_eq!(concepts, ["x", "y", "x"], "{content}");
        assert_eq!((labels.entry(1), labels.entry(3), labels.entry(-1)), (Some(1), None, None));
    }
}

#[test]
fn a_prompt_without_a_label_is_named() {
    let numbered = read("a.csv", "id,concept\n5,x\n6,y\n").expect("read");
    let text = numbered.entries(&[5, 6, 7, 8]).expect_err("refused").to_string();
    for part in ["a.csv", "prompt 7 (row 2", "among 2", "by their id"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let in_order = read("a.json", r#"["x", "y"]"#).expect("read");
    let text = in_order.entries(&[0, 2]).expect_err("refused").to_string();
    assert!(text.contains("prompt 2") && text.contains("in the order"), "{text}");
}

#[test]
fn an_id_that_is_no_number_is_refused_rather_than_the_order_taken() {
    for (name, content, parts) in [
        ("a.jsonl", "{\"id\": \"p17\", \"concept\": \"x\"}", ["line 1", "the id is \"p17\""]),
        ("a.csv", "id,concept\n1,x\nsecond,y\n", ["line 3", "the id is \"second\""]),
        ("a.csv", "id,concept\n1,x\n2.5,y\n", ["line 3", "the id is \"2.5\""]),
        ("a.csv", "id,concept\n1,x\n,y\n", ["line 3", "the id is \"\""]),
        ("a.json", r#"[{"id": 1, "concept": "x"}, {"id": null, "concept": "y"}]"#, ["entry 1", "the id is null"]),
        ("a.json", r#"[{"id": true, "concept": "x"}]"#, ["entry 0", "the id is a truth value"]),
        ("a.json", r#"[{"id": 1, "concept": "x"}, "y"]"#, ["entry 1", "number all of them"]),
    ] {
        let text = refused(name, content);
        for part in parts {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
}

#[test]
fn a_count_in_another_order_than_the_files_is_refused_rather_than_ignored() {
    let shuffled = [
        ("a.csv", "Unnamed: 0,concept\n2,x\n0,y\n1,x\n", "line 2"),
        ("a.csv", ",concept\n0,x\n2,y\n1,x\n", "line 3"),
        ("a.json", r#"[{"row": "1", "concept": "x"}, {"row": "0", "concept": "y"}]"#, "entry 1"),
        ("a.jsonl", "{\"sample_id\": 3, \"concept\": \"x\"}\n{\"sample_id\": 4, \"concept\": \"y\"}", "line 1"),
    ];
    for (name, content, place) in shuffled {
        let text = refused(name, content);
        for part in [place, "another order", "call it `id`"] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
    // Where an id says which prompt is meant, nothing else counts.
    let labels = read("a.csv", "index,prompt_id,id,concept\n9,1,a,x\n4,0,b,y\n").expect("read");
    assert_eq!(labels.entries(&[0, 1]).expect("labelled"), [1, 0]);
}

#[test]
fn more_labels_than_prompts_need_ids() {
    let text = read("a.json", r#"["x", "y", "z"]"#).expect("read").entries(&[0, 1]).expect_err("refused").to_string();
    for part in ["a.json", "3 labels without ids", "end with number 1", "`id`"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let numbered = read("a.csv", "id,concept\n0,x\n1,y\n2,z\n").expect("read");
    assert_eq!(numbered.entries(&[0, 1]).expect("labelled"), [0, 1]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let cases: [(&str, &str, &[&str]); 23] = [
        ("a.jsonl", "{\"concept\": \"x\"}\n\n{\"concept\": ", &["line 3: not valid JSON: EOF", "column 12"]),
        ("a.jsonl", "{\"concept\": \"x\"}\n[1]\n", &["line 2", "not a JSON object"]),
        ("a.jsonl", "{\"concept\": \"x\"}\n{\"name\": \"x\"}", &["line 2", "concept is missing"]),
        ("a.jsonl", "{\"concept\": 3}", &["line 1", "\"concept\" is no string"]),
        ("a.jsonl", "{\"concept\": \"  \"}", &["line 1", "missing or empty"]),
        ("a.jsonl", "{\"id\": 1, \"concept\": \"x\"}\n{\"concept\": \"y\"}", &["line 2", "number all of them"]),
        (
            "a.jsonl",
            "{\"id\": 1, \"concept\": \"x\"}\n{\"id\": 1, \"concept\": \"y\"}",
            &["line 2", "id 1", "of line 1"],
        ),
        (
            "a.jsonl",
            "{\"id\": 1, \"concept\": \"x\"}\n{\"prompt_id\": 2, \"concept\": \"y\"}",
            &["line 2", "called `prompt_id`", "`id` in line 1"],
        ),
        ("a.jsonl", "{\"id\": 1, \"Id\": 2, \"concept\": \"x\"}", &["line 1", "both \"id\" and \"Id\""]),
        ("a.csv", "id,concept,concept\n1,x,y\n", &["line 1", "`concept` twice"]),
        ("a.jsonl", "{\"id\": 1.5, \"concept\": \"x\"}", &["line 1", "1.5"]),
        ("a.jsonl", "{\"id\": 18446744073709551615, \"concept\": \"x\"}", &["line 1", "range of i64"]),
        ("a.jsonl", "{\"concept\": \"x\", \"split\": \"dev\"}", &["line 1", "\"dev\"", "choose or train"]),
        ("a.csv", "concept,split\nx,train\ny,\n", &["line 3", "no split"]),
        ("a.json", r#"["x", {"concept": "y"}, 3]"#, &["entry 2", "neither a string nor an object"]),
        ("a.json", r#"{"labels": "x"}"#, &["\"labels\" is no array"]),
        ("a.json", r#"{"labels": ["x", "#, &["not valid JSON: EOF"]),
        ("a.json", "[1, 2", &["not valid JSON"]),
        ("a.json", "[]", &["no labels"]),
        ("a.json", "3", &["neither an array nor an object"]),
        ("a.csv", "id,name\n1,x\n", &["line 1", "no column `concept` or `label`", "\"name\""]),
        ("a.csv", "id,concept\n1,x\n2,y,z\n", &["not CSV", "line: 3"]),
        ("a.csv", "id,concept\n1,\n", &["line 2", "concept is missing"]),
    ];
    for (name, content, parts) in cases {
        let text = refused(name, content);
        parts.iter().for_each(|part| assert!(text.contains(part), "no {part:?} in {text}"));
        assert!(text.contains("expected the labels of prompts"), "{text}");
    }
    assert!(refused("a.csv", "").contains("empty"));
    assert!(refused("a.csv", "concept\n").contains("no labels"));
    assert!(matches!(PromptLabels::read("/no/such/labels.csv"), Err(Error::NotFound(_))));
    let folder = tempfile::tempdir().expect("folder");
    assert!(matches!(PromptLabels::read(folder.path()), Err(Error::NotAFile { .. })));
}

#[test]
fn what_is_there_twice_is_refused() {
    for (content, part) in [
        (r#"[{"concept": "x", "concept": "y"}]"#, "entry 0: the field `concept` is there twice"),
        (r#"[{"concept": "x", "id": 1, "id": 2}]"#, "both \"id\" and \"id\" could be the id"),
        (r#"{"labels": ["x"], "labels": ["y"]}"#, "\"labels\" is there twice"),
    ] {
        let text = refused("a.json", content);
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_mistake_before_the_end_does_not_hide_that_the_file_is_cut_short() {
    let text = refused("a.json", r#"{"labels": ["x", 3, {"concept": "#);
    assert!(text.contains("not valid JSON: EOF"), "{text}");
}

#[test]
fn long_texts_are_cut_in_messages() {
    let long = "n".repeat(70_000);
    for (name, content) in [
        ("a.csv", format!("{long},b\n1,x\n")),
        ("a.csv", format!("concept,split\nx,{long}\n")),
        ("a.csv", format!("concept,id\nx,{long}\n")),
        ("a.json", format!(r#"[{{"concept": "x", "split": "{long}"}}]"#)),
        ("a.json", format!(r#"[{{"concept": "x", "unnamed{long}": 7}}]"#)),
    ] {
        let text = refused(name, &content);
        assert!(text.len() < 1000, "{} bytes: {}", text.len(), &text[..1000]);
    }
}

#[test]
fn a_table_of_many_columns_is_refused() {
    for content in [format!("concept{}\n", ",".repeat(4096)), format!("concept\nx\n{}\n", ",".repeat(5000))] {
        assert!(refused("a.csv", &content).contains("more than 4096 columns"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_never_panic(
        name in prop::sample::select(vec!["a.json", "a.jsonl", "a.csv", "a"]),
        mut bytes in prop::sample::select(vec![
            br#"[{"id": 1, "concept": "x", "parent": "p"}, {"id": 2, "concept": "y", "split": "test"}]"#.to_vec(),
            b"{\"id\": 1, \"concept\": \"x\"}\n{\"id\": 2, \"label\": \"y\"}\n".to_vec(),
            br#"{"labels": ["x", "y", "z"]}"#.to_vec(),
            b"id,concept,parent\n1,x,p\n2,\"y\",q\n".to_vec(),
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..8),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        prompts in prop::collection::vec(any::<i64>(), 0..4),
    ) {
        for (at, value, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] = b"{}[],:\"\n0129ex"[usize::from(value) % 14],
                2 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        match PromptLabels::read(&scratch(name, &bytes).path) {
            Ok(labels) => {
                prop_assert!(labels.labels().len() > 0);
                prop_assert!(labels.labels().all(|label| !label.concept.is_empty()));
                let _ = labels.entries(&prompts);
            }
            Err(error) => prop_assert!(error.is_usage(), "{}", error),
        }
    }
}
