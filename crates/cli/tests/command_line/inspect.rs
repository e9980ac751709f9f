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
    let file = files.activations("x.safetensors");
    let json = unmix(&["inspect", &file, "--rank", "3", "--engine", "cpu", "--json"]).expect(0).json();
    let memory = &json["memory_of_a_fit"];
    let activations = TOKENS * NEURONS * 4;
    assert_eq!((&memory["activations_bytes"], &memory["activations"]), (&activations.into(), &"resident".into()));
    assert_eq!((&memory["engine"], &memory["device_bytes"]), (&"cpu".into(), &0.into()));
    assert!(memory["host_bytes"].as_u64().expect("a number") > activations as u64);
    assert_eq!((&json["tokens"], &json["stored_bytes"]), (&TOKENS.into(), &activations.into()));
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

#[test]
fn the_size_of_f64_is_that_of_the_file_beside_that_in_memory() {
    let files = Files::new();
    let header = format!("{:<117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 8), }");
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    npy.extend((0..8000).flat_map(|i| f64::from(i).to_le_bytes()));
    let file = files.write("x.npy", npy);
    let json = unmix(&["inspect", &file, "--engine", "cpu", "--json"]).expect(0).json();
    assert_eq!(
        (&json["stored_bytes"], &json["memory_of_a_fit"]["activations_bytes"]),
        (&64_000.into(), &32_000.into())
    );
    let run = unmix(&["inspect", &file]).expect(0);
    assert!(
        run.stdout.contains("8 neurons of f64, 62.5 KiB (") && run.stdout.contains("in memory, as f32)"),
        "{}",
        run.stdout
    );
}

#[test]
fn memory_is_estimated_at_a_rank_that_the_activations_can_have() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    assert_eq!(unmix(&["inspect", &file, "--json"]).expect(0).json()["memory_of_a_fit"]["rank"], NEURONS);
    for rank in ["25", "0"] {
        files.refused(&["inspect", &file, "--rank", rank], &[&format!("--rank {rank}"), "1 to 24"]);
    }
}

#[test]
fn a_zarr_folder_is_called_one() {
    let files = Files::new();
    std::fs::create_dir(files.path("x.zarr")).expect("created");
    files.write("x.zarr/.zarray", "{}");
    files.refused(&["inspect", &files.path("x.zarr")], &["x.zarr", "a Zarr array", "numpy.save"]);
}
