//! Changes to texts made of brackets, numbers, words and quoted texts: JSON, Python literals, CSV.

use std::ops::Range;

use rand::RngExt;

use super::Change;
use crate::dictionary::{NUMBERS, TEXTS, VALUES};

/// A depth at which no reader should make a call for each level.
const DEEP: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    /// Text between quotes.
    Text,
    Number,
    /// Letters, or a mark such as a comma.
    Other,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    range: Range<usize>,
}

impl Change {
    /// Makes one change to a text.
    pub(super) fn tokens(&mut self, text: &mut Vec<u8>) {
        let tokens = lex(text);
        if tokens.is_empty() {
            return self.bytes(text);
        }
        let mut at = self.random.random_range(0..tokens.len());
        // Commas and closing brackets are chosen less often, because without them nothing else is looked at.
        for _ in 0..3 {
            if matches!(tokens[at].kind, Kind::Other | Kind::Close) {
                at = self.random.random_range(0..tokens.len());
            }
        }
        let value = value_of(text, &tokens, at);
        match self.random.random_range(0..12) {
            0..=3 => {
                let other = self.instead(&text[tokens[at].range.clone()], tokens[at].kind);
                self.put(text, tokens[at].range.clone(), &other);
            }
            4 => {
                let other = *self.any(&VALUES);
                self.put(text, value, other.as_bytes());
            }
            5 => {
                let from = self.random.random_range(0..tokens.len());
                let other = text[value_of(text, &tokens, from)].to_vec();
                self.put(text, value, &other);
            }
            6 | 7 => drop(text.drain(with_comma(text, value))),
            8 | 9 => {
                let mut again = text[value.clone()].to_vec();
                again.push(b',');
                let again = again.repeat(self.times(again.len()));
                self.put(text, value.start..value.start, &again);
            }
            10 => {
                let deep = if self.random.random_ratio(1, 8) { DEEP } else { 200 };
                let depth = self.place(deep.min(self.room / 2));
                let (open, close) = *self.any(&[("[", "]"), ("{\"a\":", "}"), ("(", ")")]);
                self.put(text, value.end..value.end, close.repeat(depth).as_bytes());
                self.put(text, value.start..value.start, open.repeat(depth).as_bytes());
            }
            _ => {
                let from = self.random.random_range(0..tokens.len());
                let other = value_of(text, &tokens, from);
                // Values can only change places if they do not overlap.
                if value.end <= other.start || other.end <= value.start {
                    let (first, second) = if value.start < other.start { (value, other) } else { (other, value) };
                    let (one, two) = (text[first.clone()].to_vec(), text[second.clone()].to_vec());
                    text.splice(second, one);
                    text.splice(first, two);
                }
            }
        }
    }

    /// Something to put in the place of a token.
    fn instead(&mut self, token: &[u8], kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Number if self.random.random() => self.near(token),
            Kind::Number => self.any(&NUMBERS).as_bytes().to_vec(),
            Kind::Text => {
                let quote = token[0];
                let inner = if self.words.is_empty() || self.random.random() {
                    *self.any(&TEXTS)
                } else {
                    self.any(self.words).as_bytes()
                };
                [&[quote], inner, &[quote]].concat()
            }
            Kind::Open | Kind::Close => self.any(&["{", "}", "[", "]", "(", ")", ""]).as_bytes().to_vec(),
            Kind::Other => self.any(&[",", ":", "", ";", "\n", "null", "true", "False", "\"", "'"]).as_bytes().to_vec(),
        }
    }

    /// A number near the one in a text.
    fn near(&mut self, number: &[u8]) -> Vec<u8> {
        let number = std::str::from_utf8(number).unwrap_or_default();
        match number.parse::<i64>() {
            Ok(number) => {
                let other = match self.random.random_range(0..6) {
                    0 => number.wrapping_add(1),
                    1 => number.wrapping_sub(1),
                    2 => number.wrapping_mul(2),
                    3 => number / 2,
                    4 => number.wrapping_neg(),
                    _ => number.wrapping_add(self.random.random_range(-64..64)),
                };
                other.to_string().into_bytes()
            }
            Err(_) => format!("{number}{}", self.random.random_range(0..10)).into_bytes(),
        }
    }

    /// Puts `new` in the place of a piece, if there is room.
    fn put(&mut self, text: &mut Vec<u8>, piece: Range<usize>, new: &[u8]) {
        let growth = new.len().saturating_sub(piece.len());
        if growth <= self.room {
            self.room -= growth;
            text.splice(piece, new.iter().copied());
        }
    }
}

/// The tokens of a text, without blanks. What cannot be understood is a token of one byte.
fn lex(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let run = |of: fn(u8) -> bool| rest.iter().take_while(|&&byte| of(byte)).count();
        let (kind, length) = match rest[0] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'{' | b'[' | b'(' => (Kind::Open, 1),
            b'}' | b']' | b')' => (Kind::Close, 1),
            quote @ (b'"' | b'\'') => (Kind::Text, quoted(rest, quote)),
            b'-' | b'0'..=b'9' => {
                (Kind::Number, run(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')))
            }
            byte if byte.is_ascii_alphabetic() => (Kind::Other, run(|byte| byte.is_ascii_alphanumeric())),
            _ => (Kind::Other, 1),
        };
        tokens.push(Token { kind, range: at..at + length });
        at += length;
    }
    tokens
}

/// Length of the text that begins with `quote`, including both quotes.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut escaped = false;
    let end = text[1..].iter().position(|&byte| {
        let ends = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(1, |end| end + 2)
}

/// The value that begins with token `at`, including everything inside its bracket. If it is a key, what the key stands
/// for is included.
fn value_of(text: &[u8], tokens: &[Token], at: usize) -> Range<usize> {
    let start = tokens[at].range.start;
    let is_key = tokens[at].kind == Kind::Text
        && tokens.get(at + 1).is_some_and(|next| text[next.range.clone()] == *b":")
        && at + 2 < tokens.len();
    let first = if is_key { at + 2 } else { at };
    if tokens[first].kind != Kind::Open {
        return start..tokens[first].range.end;
    }
    let mut depth = 0usize;
    for token in &tokens[first..] {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return start..token.range.end;
        }
    }
    start..text.len()
}

/// A value with the comma after it, or else the one before it.
fn with_comma(text: &[u8], value: Range<usize>) -> Range<usize> {
    let is_comma = |byte: &u8| !byte.is_ascii_whitespace();
    let after = text[value.end..].iter().position(is_comma).map(|skip| value.end + skip);
    let before = text[..value.start].iter().rposition(is_comma);
    match (after, before) {
        (Some(at), _) if text[at] == b',' => value.start..at + 1,
        (_, Some(at)) if text[at] == b',' => at..value.end,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<&str> {
        let tokens = lex(text.as_bytes());
        (0..tokens.len()).map(|at| &text[value_of(text.as_bytes(), &tokens, at)]).collect()
    }

    #[test]
    fn values_end_where_their_brackets_and_quotes_do() {
        let text = r#"{"a\"": [1, -2e5], 'b'}"#;
        let found = values(text);
        assert_eq!(&found[..4], [text, r#""a\"": [1, -2e5]"#, ":", "[1, -2e5]"]);
        assert!(found.contains(&"-2e5") && found.contains(&"'b'"));
        // A bracket that is never closed ends with the text.
        assert_eq!(values("[1, [2"), ["[1, [2", "1", ",", "[2", "2"]);
    }

    #[test]
    fn a_value_goes_with_one_comma() {
        let removed = |text: &str, value: Range<usize>| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.drain(with_comma(text.as_bytes(), value));
            String::from_utf8(bytes).expect("ASCII")
        };
        assert_eq!(removed("[1 , 2]", 1..2), "[ 2]");
        assert_eq!(removed("[1, 2]", 4..5), "[1]");
        assert_eq!(removed("[1]", 1..2), "[]");
    }
}
