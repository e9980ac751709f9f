//! Tokens that are left out.

use unmix::ActivationSource;
use unmix_data::{ActivationSet, NormLimit, TokenFilter, fingerprint};

use crate::bytes::{f32s, i32s, npy, open_set, safetensors, values};

/// Eight tokens of two prompts, whose norms are 1 to 8, with a mask; the rows of the prompts are shuffled.
fn tokens() -> ActivationSet {
    let x: Vec<f32> = (1..=8).flat_map(|norm| [0.0, norm as f32]).collect();
    let file = safetensors(&[
        ("x", "F32", &[8, 2], f32s(&x)),
        ("token_ids", "I32", &[8], i32s(&[0, 5, 0, 6, 7, 5, 8, 9])),
        ("prompt_ids", "I32", &[8], i32s(&[1, 1, 0, 0, 1, 0, 1, 0])),
        ("positions", "I32", &[8], i32s(&[3, 0, 1, 0, 1, 2, 2, 9])),
        ("good", "F32", &[8], f32s(&[1.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0])),
    ]);
    open_set("x.safetensors", &file, Some("x")).expect("opened")
}

fn rows(filter: &TokenFilter) -> Vec<i64> {
    let set = tokens().filtered(filter).expect("filtered");
    let rows = set.token_columns().rows.clone().unwrap_or_else(|| (0..set.tokens() as i64).collect());
    let norms: Vec<f32> = values(&set, 3).into_iter().skip(1).step_by(2).collect();
    assert_eq!(norms, rows.iter().map(|&row| row as f32 + 1.0).collect::<Vec<_>>(), "the numbers of those rows");
    assert_eq!(set.left_out().total(), 8 - set.tokens());
    assert_eq!(set.token_columns().positions.as_ref().expect("positions").len(), rows.len());
    rows
}

#[test]
fn each_reason_leaves_out_its_tokens() {
    let none = TokenFilter::default;
    assert_eq!(rows(&none()), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(rows(&TokenFilter { skip_token_ids: vec![0, 9], ..none() }), [1, 3, 4, 5, 6]);
    // Prompt 0 is rows 3, 2, 5, 7 and prompt 1 rows 1, 4, 6, 0 in the order of positions.
    assert_eq!(rows(&TokenFilter { skip_first: 1, ..none() }), [0, 2, 4, 5, 6, 7]);
    assert_eq!(rows(&TokenFilter { skip_first: 3, ..none() }), [0, 7]);
    assert_eq!(rows(&TokenFilter { keep: Some("good".to_owned()), ..none() }), [0, 2, 3, 4, 5, 6, 7]);
    assert_eq!(rows(&TokenFilter { max_norm: Some(NormLimit::Norm(3.0)), ..none() }), [0, 1, 2]);
    // The median of eight is the larger of the middle two, 5.
    assert_eq!(rows(&TokenFilter { max_norm: Some(NormLimit::TimesMedian(1.2)), ..none() }), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn reasons_add_up_and_each_token_counts_for_the_first() {
    let filter = TokenFilter {
        skip_token_ids: vec![5],
        skip_first: 1,
        max_norm: Some(NormLimit::TimesMedian(1.1)),
        keep: Some("good".to_owned()),
    };
    let set = tokens().filtered(&filter).expect("filtered");
    // Row 1 by the mask, 5 by its id, 3 by its place; of 1, 3, 5, 7 and 8 the median norm is 5.
    assert_eq!(set.token_columns().rows, Some(vec![0, 2, 4]));
    let left_out = set.left_out();
    assert_eq!((left_out.by_mask, left_out.by_token_id, left_out.by_place, left_out.by_norm), (1, 1, 1, 2));
    assert!((left_out.norm_limit.expect("a limit") - 5.5).abs() < 1e-12);
    assert_eq!(set.filter(), &filter);
}

#[test]
fn what_is_left_is_the_file_without_those_rows() {
    let x: Vec<f32> = (0..30).map(|i| if i / 3 % 4 == 0 { 1000.0 } else { i as f32 * 0.25 }).collect();
    let kept: Vec<f32> = (0..30).filter(|i| i / 3 % 4 != 0).map(|i| x[i]).collect();
    let file = |values: &[f32]| open_set("x.npy", &npy(1, "<f4", false, &[values.len() / 3, 3], &f32s(values)), None);
    let filter = TokenFilter { max_norm: Some(NormLimit::TimesMedian(10.0)), ..TokenFilter::default() };
    let set = file(&x).expect("opened").filtered(&filter).expect("filtered");
    let plain = file(&kept).expect("opened");
    assert_eq!(values(&set, 2), kept);
    assert_eq!(fingerprint(&set).expect("hashed"), fingerprint(&plain).expect("hashed"));
    assert!(set.shared_rows(0..3).is_some() && set.shared_rows(2..4).is_none(), "in place where rows lie together");
}

#[test]
fn numbers_that_are_not_finite_are_no_reason() {
    let x = [1.0, 1.0, f32::NAN, f32::INFINITY, 50.0];
    let set = open_set("x.npy", &npy(1, "<f4", false, &[5, 1], &f32s(&x)), None).expect("opened");
    let filter = TokenFilter { max_norm: Some(NormLimit::Norm(2.0)), ..TokenFilter::default() };
    let set = set.filtered(&filter).expect("filtered");
    assert_eq!(set.token_columns().rows, Some(vec![0, 1, 2, 3]));
    assert!(unmix_data::check_finite(&set).is_err());
}

#[test]
fn what_is_missing_for_a_reason_is_told() {
    let plain = open_set("x.npy", &npy(1, "<f4", false, &[2, 1], &f32s(&[1.0, 2.0])), None).expect("opened");
    let none = TokenFilter::default;
    for (filter, words) in [
        (TokenFilter { skip_token_ids: vec![1], ..none() }, ["x.npy: no column `token_ids`", "save it"]),
        (TokenFilter { skip_first: 1, ..none() }, ["no column `prompt_ids`", "first tokens of each prompt"]),
        (TokenFilter { keep: Some("good".to_owned()), ..none() }, ["no tensor named \"good\"", "x.npy"]),
        (TokenFilter { max_norm: Some(NormLimit::Norm(0.5)), ..none() }, ["no token is left of 2", "raise the limit"]),
    ] {
        let error = plain.filtered(&filter).expect_err("refused");
        assert!(error.is_usage(), "{error}");
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "no {word:?} in {error}"));
    }
    let error = tokens().filtered(&TokenFilter { keep: Some("x".to_owned()), ..none() }).expect_err("refused");
    assert!(error.to_string().contains("has shape [8, 2]; expected one dimension of 8"), "{error}");
    let all = TokenFilter { skip_first: 9, ..none() };
    assert!(tokens().filtered(&all).expect_err("refused").to_string().contains("leave out fewer"));
}
