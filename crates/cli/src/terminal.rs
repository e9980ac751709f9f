//! Makes text fit for a terminal. Everything that the program prints passes through here, whatever file, name or driver
//! it comes from.
//!
//! Characters that could move the cursor, change the terminal or turn the direction of text appear as escapes, such as
//! `\u{1b}`.

use unmix_interpret::disturbs_a_terminal;

/// The marks of [`Style`](crate::output::Style), and the mark that ends them.
pub const STRONG: &str = "\x1b[1m";
/// What may be overlooked.
pub const FAINT: &str = "\x1b[2m";
/// What went well.
pub const GOOD: &str = "\x1b[32m";
/// What went wrong.
pub const ERROR: &str = "\x1b[1;31m";
/// Ends any of the other marks.
pub const END: &str = "\x1b[0m";

/// Whether our own marks stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// They stay.
    Kept,
    /// They are escaped like any others.
    Escaped,
}

/// Makes text on one line fit.
pub fn line(text: &str, marks: Marks) -> String {
    escaped(text, marks, |c| c.escape_default().to_string())
}

/// Makes text of several lines fit.
pub fn lines(text: &str, marks: Marks) -> String {
    escaped(text, marks, |c| if c == '\n' { c.to_string() } else { c.escape_default().to_string() })
}

/// Makes JSON fit without changing what it means. Only strings contain characters that have to be escaped.
pub fn json(text: &str) -> String {
    escaped(text, Marks::Escaped, |c| if c == '\n' { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) })
}

fn escaped(text: &str, marks: Marks, escape: impl Fn(char) -> String) -> String {
    let mut fit = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(disturbs_a_terminal) {
        let (plain, disturbing) = rest.split_at(at);
        fit.push_str(plain);
        let mark = [STRONG, FAINT, GOOD, ERROR, END].into_iter().find(|mark| disturbing.starts_with(*mark));
        rest = match (mark, disturbing.chars().next()) {
            (Some(mark), _) if marks == Marks::Kept => {
                fit.push_str(mark);
                &disturbing[mark.len()..]
            }
            (_, Some(c)) => {
                fit.push_str(&escape(c));
                &disturbing[c.len_utf8()..]
            }
            (_, None) => disturbing,
        };
    }
    fit.push_str(rest);
    fit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_disturbs_a_terminal_is_left() {
        let text = "a\x1b]0;owned\x07\n\u{9b}2J\u{202e}b\tc\r\u{2028}d";
        assert_eq!(line(text, Marks::Kept), "a\\u{1b}]0;owned\\u{7}\\n\\u{9b}2J\\u{202e}b\\tc\\r\\u{2028}d");
        assert_eq!(lines("a\nb\rc", Marks::Kept), "a\nb\\rc");
        assert_eq!(line("naïve 東京 👩\u{200d}🚀", Marks::Escaped), "naïve 東京 👩\u{200d}🚀");
    }

    #[test]
    fn own_marks_stay_where_they_may() {
        let marked = format!("{STRONG}a\x1b[31m{END}");
        assert_eq!(line(&marked, Marks::Kept), "\x1b[1ma\\u{1b}[31m\x1b[0m");
        assert_eq!(line(&marked, Marks::Escaped), "\\u{1b}[1ma\\u{1b}[31m\\u{1b}[0m");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({"a\u{9b}\x1b\n": ["\u{202e}", "\u{7f}é"]});
        let text = json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(!text.contains(|c| c != '\n' && disturbs_a_terminal(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}
