//! The data that come with the command line tool.

use std::path::Path;

use unmix::{ActivationSource, ElementType};
use unmix_data::{ActivationSet, OpenOptions, TokenStrings, check_finite, inspect};

#[test]
fn the_bundled_activations_are_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/data/demo");
    let paths = [folder.join("activations.safetensors")];
    let file = ActivationSet::open(&paths, &OpenOptions::default()).expect("opened");
    assert_eq!((file.tokens(), file.neurons(), file.element()), (1767, 1536, ElementType::F16));
    check_finite(&file).expect("finite");
    let look = inspect(&file).expect("inspected");
    assert!((0.4..0.6).contains(&look.negative_share), "{}", look.negative_share);
    assert!(look.fits_f16);

    let columns = file.token_columns().clone();
    assert_eq!(columns.names(), ["token_ids", "prompt_ids", "positions"]);
    let strings = TokenStrings::from_rows(folder.join("tokens.json"), file.tokens()).expect("strings");

    // Each prompt's tokens put together are its text, so rows, strings and prompts belong together.
    let prompts: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(folder.join("prompts.json")).expect("read")).expect("JSON");
    let (ids, positions) = (columns.prompt_ids.expect("ids"), columns.positions.expect("positions"));
    let mut row = 0;
    for prompt in &prompts {
        let mut text = String::new();
        let start = row;
        while row < ids.len() && Some(ids[row]) == prompt["id"].as_i64() {
            assert_eq!(positions[row], (row - start) as i64);
            text.push_str(strings.get(row).expect("string"));
            row += 1;
        }
        assert_eq!(text, prompt["text"].as_str().expect("text"));
    }
    assert_eq!(row, ids.len());
}
