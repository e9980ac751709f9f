use std::path::Path;

/// A path as one word of a command, for messages that suggest a command: in quotes if the shell would take it for several words or expand
/// it. The quotes are those of POSIX shells, and double ones on Windows.
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    if cfg!(windows) {
        let is_plain = |c: char| c.is_alphanumeric() || "\\/:._-".contains(c);
        return if text.chars().all(is_plain) { text } else { format!("\"{text}\"") };
    }
    match shlex::try_quote(&text) {
        Ok(word) => word.into_owned(),
        // The path has a zero byte, and no command can have it.
        Err(_) => text,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_word_as_the_path() {
        for path in ["fit", "my fit", "it's", "$HOME/*", "a\"b", "-k", ""] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", shell_word(Path::new(path)))])
                .output();
            assert_eq!(output.expect("a shell").stdout, path.as_bytes(), "{path}");
        }
        assert_eq!(shell_word(Path::new("/tmp/fit-1.d")), "/tmp/fit-1.d");
    }
}
