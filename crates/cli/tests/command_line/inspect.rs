//! `unmix inspect`.

use crate::harness::{Files, NEURONS, TOKENS, bundled, unmix, values};

#[test]
fn everything_of_a_file_is_shown() {
    let file = bundled("activations.safetensors");
    let run = unmix(&["inspect", file.to_str().expect("UTF-8"), "--rank", "40"]).expect(0);
    assert_eq!(run.stderr, "");
    for words in
        ["1,767 × 1,536", "50.2% negative", "f16 holds them all", "token_ids, prompt_ids, positions", "--rank 40"]
    {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
}

#[test]
fn json_has_the_memory_of_a_fit() {
    let files = Files::new();
    let json = unmix(&["inspect", &files.activations("x.safetensors"), "--rank", "3", "--json"]).expect(0).json();
    let memory = &json["memory_of_a_fit"];
    let (activations, working) = (TOKENS * NEURONS * 4, 3 * 4 * (3 * TOKENS + 4 * NEURONS));
    assert_eq!(memory["activations_bytes"], activations);
    assert_eq!(memory["working_bytes"], working);
    assert_eq!(json["tokens"], TOKENS);
    assert_eq!(json["fits_f16"], true);
}

#[test]
fn what_is_not_finite_is_shown_and_is_no_failure() {
    let files = Files::new();
    let mut x = values();
    x[3 * NEURONS + 2] = f32::INFINITY;
    let file = files.tensors("x.safetensors", &[("activations", &x, &[TOKENS, NEURONS])]);
    let run = unmix(&["inspect", &file]).expect(0);
    assert!(run.stdout.contains("the first at token 3, neuron 2"), "{}", run.stdout);
}
