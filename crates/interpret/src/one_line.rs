//! Makes text from files fit to print.

/// The text on one line, without anything that could disturb what it is printed in. A line break becomes a sign. Other
/// control characters become blanks, and so do marks that turn the direction of text, which would also turn what
/// follows.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\u{2028}' | '\u{2029}' => '⏎',
            c if disturbs_a_terminal(c) => ' ',
            c => c,
        })
        .collect()
}

/// Whether a character does more to a terminal than to be shown: control characters, including line breaks, and
/// Unicode's explicit formatting characters for bidirectional text.
pub fn disturbs_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_turns_the_text_is_left() {
        assert_eq!(one_line("a\nb\tc\u{1b}[2Jd\u{202e}e\u{2028}f"), "a⏎b c [2Jd e⏎f");
        assert_eq!(one_line("naïve 東京 👩\u{200d}🚀"), "naïve 東京 👩\u{200d}🚀");
    }
}
