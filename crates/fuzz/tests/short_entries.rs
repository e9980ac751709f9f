//! Large files in the forms that take the most memory for each of their bytes.

use unmix_fuzz::{Target, execute};

/// Runs the reader `target` on files that `content` makes from one of its valid inputs.
fn withstands(target: &str, content: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let target = Target::named(target).expect("a target");
    let seed = (target.seeds)().swap_remove(0).swap_remove(0);
    execute(target, &content(seed));
}

/// A safetensors file that consists only of a header.
fn header(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// There is only one test, because memory is counted for the whole program.
#[test]
fn readers_take_little_memory_for_many_short_entries() {
    const MANY: usize = 2_000_000;
    withstands("labels", |_| format!("[{}\"a\"]", "\"a\",".repeat(MANY)).into_bytes());
    withstands("labels", |_| format!("[{}3]", "\"a\",".repeat(MANY)).into_bytes());
    withstands("labels", |_| format!("concept\n{}", "x\n".repeat(MANY)).into_bytes());
    withstands("labels", |_| format!("concept\n{}", "x\n".repeat(MANY) + "\n\n").into_bytes());
    withstands("labels", |_| ",".repeat(4 * MANY + 3).into_bytes());
    withstands("labels", |_| {
        let objects: Vec<String> = (0..MANY / 5).map(|id| format!("{{\"concept\":\"a\",\"id\":{id}}}")).collect();
        format!("[{}]", objects.join(",")).into_bytes()
    });
    withstands("safetensors", |_| {
        let sides = "5,".repeat(MANY);
        header(&format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":[{sides}5],\"data_offsets\":[0,4]}}}}"))
    });
    withstands("fit_folder", |run| {
        let run = String::from_utf8(run).expect("text");
        let losses = format!("\"loss_curve\":[{}", "0,".repeat(2 * MANY));
        let (before, after) = run.split_once("\"loss_curve\": [").expect("losses");
        format!("{before}{losses}{after}").into_bytes()
    });
}
