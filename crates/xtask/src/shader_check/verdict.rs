//! What a compiler says of a shader.

use std::collections::HashMap;
use std::process::Command;

use crate::process::{output_of, words};

/// What a compiler says of one shader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub is_good: bool,
    pub milliseconds: u64,
    /// What it says of a failure.
    pub message: String,
}

/// Verdicts by the name of the file without its extensions.
pub type Verdicts = HashMap<String, Verdict>;

/// Runs a program that prints a line for each file, with its name, `ok` or `failed`, milliseconds, and a message.
pub fn ask(command: &mut Command) -> Result<Verdicts, String> {
    let text = output_of(command)?;
    let verdicts: Verdicts = text.lines().filter_map(read).collect();
    if verdicts.is_empty() { Err(format!("`{}` says nothing of any shader", words(command))) } else { Ok(verdicts) }
}

fn read(line: &str) -> Option<(String, Verdict)> {
    let mut fields = line.trim_end_matches('\r').splitn(4, '\t');
    let name = fields.next()?.rsplit(['/', '\\']).next()?;
    let stem = name.split('.').next()?.to_owned();
    let is_good = match fields.next()? {
        "ok" => true,
        "failed" => false,
        _ => return None,
    };
    let milliseconds = fields.next()?.parse().ok()?;
    let message = fields.next().unwrap_or_default().trim().to_owned();
    Some((stem, Verdict { is_good, milliseconds, message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_verdict_and_other_lines_are_not() {
        let (stem, verdict) = read("/a.b/cholesky-f32-portable.fxc.hlsl\tfailed\t51\terror X3663: no\tgood\r").unwrap();
        assert_eq!(stem, "cholesky-f32-portable");
        let expected = Verdict { is_good: false, milliseconds: 51, message: "error X3663: no\tgood".to_owned() };
        assert_eq!(verdict, expected);
        assert_eq!(
            read("a.wgsl\tok\t3\t"),
            Some(("a".to_owned(), Verdict { is_good: true, milliseconds: 3, message: String::new() }))
        );
        assert_eq!(read("wine: something else"), None);
        assert_eq!(read("a\tperhaps\t3\t"), None);
    }
}
