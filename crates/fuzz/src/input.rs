//! Several files in one input.

use std::io;
use std::path::Path;

use crate::Target;

/// The separator of two files in an input. The last file holds everything that is left, whatever it contains.
const SEPARATOR: &[u8] = b"\n===== next file =====\n";

/// The files of an input, at most `count`. There are fewer if separators are missing.
pub fn split(input: &[u8], count: usize) -> Vec<&[u8]> {
    let mut files = Vec::with_capacity(count);
    let mut rest = input;
    while files.len() + 1 < count {
        let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) else { break };
        files.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    files.push(rest);
    files
}

/// The input that consists of these files.
pub fn join<F: AsRef<[u8]>>(files: &[F]) -> Vec<u8> {
    files.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(SEPARATOR)
}

/// Writes the files of an input to `folder`. A file that the input does not have is not there afterwards.
pub fn write(target: &Target, input: &[u8], folder: &Path) -> io::Result<()> {
    let contents = split(input, target.files.len());
    for (place, file) in target.files.iter().enumerate() {
        let path = folder.join(file.name);
        match contents.get(place) {
            Some(content) => std::fs::write(path, content)?,
            None => match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        let files = [&b"{}"[..], b"", b"\n=====\x00"];
        assert_eq!(split(&join(&files), 3), files);
        assert_eq!(split(b"one", 3), [b"one"]);
        // The last file may hold anything.
        assert_eq!(split(&join(&files), 1), [&join(&files)]);
    }
}
