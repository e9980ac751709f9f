//! Names for text that cannot be read as a word: punctuation, blanks, line breaks, and characters without a glyph.

use crate::one_line::{disturbs_a_terminal, one_line};

/// Most runs of equal characters that are named one by one.
const MOST_RUNS: usize = 3;
/// The name of U+FFFD, which stands for bytes that are no whole character.
const PART: &str = "part of a character";

/// What to call a piece of text. A word is its own name, on one line and without blanks at its ends. Text without a
/// letter, a digit or another symbol that speaks for itself gets the names of its characters, and the characters in
/// quotation marks if they can be seen: `full stop “.”`, `2 line breaks`.
pub fn glyph_name(text: &str) -> String {
    let trimmed = text.trim_matches(|c: char| c.is_whitespace());
    // Blanks at the ends are named only if there is nothing else.
    let named = if trimmed.is_empty() { text } else { trimmed };
    if named.is_empty() {
        return "no text".to_owned();
    }
    let mut runs: Vec<(char, usize)> = Vec::new();
    for c in named.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == c => *count += 1,
            _ => runs.push((c, 1)),
        }
    }
    let names: Option<Vec<String>> =
        runs.iter().take(MOST_RUNS + 1).map(|&(c, count)| Some(counted(&name(c)?, count))).collect();
    let shown = one_line(named);
    match names {
        Some(names) if names.len() <= MOST_RUNS => {
            let is_seen = named.chars().any(|c| !is_unseen(c));
            names.join(" and ") + &if is_seen { format!(" “{shown}”") } else { String::new() }
        }
        Some(_) if named.chars().all(is_unseen) => counted("unseen character", named.chars().count()),
        _ => shown,
    }
}

fn counted(name: &str, count: usize) -> String {
    match count {
        1 => name.to_owned(),
        _ if name == PART => format!("{count} parts of characters"),
        _ if name.ends_with('h') => format!("{count} {name}es"),
        _ => format!("{count} {name}s"),
    }
}

/// Whether nothing can be seen of a character.
fn is_unseen(c: char) -> bool {
    c.is_whitespace() || disturbs_a_terminal(c) || is_invisible(c) || c == char::REPLACEMENT_CHARACTER
}

/// Whether a character has no width or no glyph of its own.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x34f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2060..=0x206f | 0x3164
            | 0xe000..=0xf8ff | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xe0000..=0x10ffff)
}

/// The name of a character that is no word by itself, or nothing if the character speaks for itself.
fn name(c: char) -> Option<String> {
    let name = match c {
        ' ' => "blank",
        '\n' | '\u{2028}' | '\u{2029}' => "line break",
        '\r' => "carriage return",
        '\t' => "tab",
        '\u{a0}' | '\u{202f}' => "no-break blank",
        '.' => "full stop",
        ',' => "comma",
        ';' => "semicolon",
        ':' => "colon",
        '!' => "exclamation mark",
        '?' => "question mark",
        '\'' | '’' => "apostrophe",
        '‘' | '“' | '«' => "opening quotation mark",
        '”' | '»' => "closing quotation mark",
        '"' => "quotation mark",
        '(' => "opening parenthesis",
        ')' => "closing parenthesis",
        '[' => "opening bracket",
        ']' => "closing bracket",
        '{' => "opening brace",
        '}' => "closing brace",
        '-' | '‐' | '‑' => "hyphen",
        '–' | '—' => "dash",
        '…' => "ellipsis",
        '/' => "slash",
        '\\' => "backslash",
        '|' => "vertical bar",
        '_' => "underscore",
        '*' => "asterisk",
        '#' => "number sign",
        '`' => "backtick",
        '~' => "tilde",
        '^' => "caret",
        '=' => "equals sign",
        '+' => "plus sign",
        '<' => "less-than sign",
        '>' => "greater-than sign",
        '&' => "ampersand",
        '@' => "at sign",
        '%' => "percent sign",
        '•' | '·' => "dot",
        char::REPLACEMENT_CHARACTER => PART,
        c if c.is_whitespace() => "blank",
        c if c.is_control() => return Some(format!("control character U+{:04X}", u32::from(c))),
        c if is_unseen(c) => return Some(format!("unseen character U+{:04X}", u32::from(c))),
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_their_own_names() {
        for (text, name) in
            [(" September", "September"), ("don't", "don't"), ("C++", "C++"), ("a\nb ", "a⏎b"), ("€", "€")]
        {
            assert_eq!(glyph_name(text), name);
        }
    }

    #[test]
    fn what_is_no_word_has_a_name() {
        for (text, name) in [
            (".", "full stop “.”"),
            (" ,", "comma “,”"),
            ("---", "3 hyphens “---”"),
            ("——", "2 dashes “——”"),
            (".\"", "full stop and quotation mark “.\"”"),
            ("\n\n", "2 line breaks"),
            ("  \n", "2 blanks and line break"),
            ("\t", "tab"),
            ("", "no text"),
            ("\u{fffd}\u{fffd}", "2 parts of characters"),
            ("\u{200b}", "unseen character U+200B"),
            ("\u{7}", "control character U+0007"),
            ("\u{e000}", "unseen character U+E000"),
            ("\u{200b}\u{feff}\u{200d}\u{200c}", "4 unseen characters"),
        ] {
            assert_eq!(glyph_name(text), name);
        }
        // Too many kinds of punctuation for names are shown as they are.
        assert_eq!(glyph_name("'}),"), "'}),");
    }

    #[test]
    fn a_name_never_disturbs_a_terminal_and_is_never_empty() {
        for code in (0..0x3000).chain(0xd7f0..0x1_0400) {
            let Some(c) = char::from_u32(code) else { continue };
            for text in [c.to_string(), format!("{c}{c}"), format!("a{c}b"), format!(".{c}")] {
                let name = glyph_name(&text);
                assert!(!name.trim().is_empty() && !name.contains(disturbs_a_terminal), "{code:x}: {name:?}");
            }
        }
    }
}
