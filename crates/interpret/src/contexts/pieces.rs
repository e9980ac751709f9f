//! Turns token strings, as tokenizers write them, into plain text.

use unmix_data::{TokenDecoder, Vocabulary};

/// How a vocabulary writes its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenNotation(pub(super) Notation);

impl TokenNotation {
    /// The notation of a vocabulary: the one that its tokenizer names, or else the one that most entries look like.
    pub fn of(vocabulary: &Vocabulary) -> TokenNotation {
        TokenNotation(match vocabulary.decoder() {
            Some(TokenDecoder::ByteLevel) => Notation::ByteLevel,
            Some(TokenDecoder::SentencePiece) => Notation::SentencePiece,
            Some(TokenDecoder::WordPiece) => Notation::Bare,
            None => Notation::of(vocabulary.texts()),
        })
    }

    /// The text of one entry, including the blank that it begins with, if there is one. A part of a character is shown
    /// as `�`. The text is no more to be trusted than the entry: [`one_line`](crate::one_line) makes it fit to print.
    pub fn text(self, entry: &str) -> String {
        let mut bytes = Vec::new();
        self.0.decode(entry, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How a vocabulary writes blanks and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// As in plain text.
    Plain,
    /// That of GPT-2: every byte is a printable character, and a blank is `Ġ`.
    ByteLevel,
    /// That of SentencePiece: a blank is `▁`, and a single byte is `<0x0A>`.
    SentencePiece,
    /// Without any blanks, as when each token is decoded by itself. WordPiece's `##` continues a word.
    Bare,
}

impl Notation {
    /// The notation of these strings.
    pub fn of<'a>(strings: impl Iterator<Item = &'a str> + Clone) -> Notation {
        let (mut plain, mut byte_level, mut sentence_piece, mut blanks) = (0u64, 0u64, 0u64, false);
        for text in strings.clone() {
            match text.chars().next() {
                Some(' ') => plain += 1,
                Some('Ġ') => byte_level += 1,
                Some('▁') => sentence_piece += 1,
                _ => {}
            }
            blanks |= text.ends_with(' ');
        }
        // The most frequent sign decides, because tokens that were added to a vocabulary, such as runs of blanks, are
        // not in its notation.
        match plain.max(byte_level).max(sentence_piece) {
            0 if !blanks && are_bytes(strings) => Notation::ByteLevel,
            0 if !blanks => Notation::Bare,
            0 => Notation::Plain,
            most if most == plain => Notation::Plain,
            most if most == byte_level => Notation::ByteLevel,
            _ => Notation::SentencePiece,
        }
    }

    /// Appends the bytes that `piece` stands for. They need not be whole characters.
    pub fn decode(self, piece: &str, out: &mut Vec<u8>) {
        match self {
            Notation::Plain => out.extend(piece.bytes()),
            Notation::SentencePiece => match lone_byte(piece) {
                Some(byte) => out.push(byte),
                None => out.extend(piece.replace('▁', " ").bytes()),
            },
            Notation::Bare => match piece.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => out.extend(rest.bytes()),
                // Punctuation follows a word without a blank.
                _ if piece.starts_with(is_inner) => out.extend(format!(" {piece}").bytes()),
                _ => out.extend(piece.bytes()),
            },
            Notation::ByteLevel => {
                let start = out.len();
                // A token that was added to the vocabulary is written as it is. Mostly it can be recognised by a
                // character that stands for no byte.
                if piece.chars().map(byte_of).try_for_each(|byte| byte.map(|byte| out.push(byte))).is_none() {
                    out.truncate(start);
                    out.extend(piece.bytes());
                }
            }
        }
    }
}

/// Whether a character is the inside of a word. In scripts without blanks each character is a word of its own. The
/// parts of a character that is spread over several tokens belong together.
pub fn is_inner(c: char) -> bool {
    let without_blanks =
        matches!(u32::from(c), 0x0e00..=0x0eff | 0x2e80..=0x9fff | 0xac00..=0xd7af | 0x2_0000..=0x3_ffff);
    (c.is_alphanumeric() && !without_blanks) || c == char::REPLACEMENT_CHARACTER || c == '_'
}

/// Whether these strings, none of which begins with a sign for a blank, are text in letters beyond ASCII, written byte
/// by byte as GPT-2 does. Other text in the letters that GPT-2 uses for bytes decodes to bytes that are no text.
fn are_bytes<'a>(strings: impl Iterator<Item = &'a str>) -> bool {
    let bytes: Option<Vec<u8>> = strings.flat_map(str::chars).map(byte_of).collect();
    let is_text = |text: &str| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    bytes.is_some_and(|bytes| !bytes.is_ascii() && std::str::from_utf8(&bytes).is_ok_and(is_text))
}

fn lone_byte(piece: &str) -> Option<u8> {
    u8::from_str_radix(piece.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// The byte that GPT-2 writes as `c`. Printable Latin-1 characters stand for themselves. The other bytes follow one
/// another from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let printable = |code: u32| matches!(code, 33..=126 | 161..=172 | 174..=255);
    let code = u32::from(c);
    match code {
        0..=255 => printable(code).then_some(code as u8),
        256..=323 => (0..=255u32).filter(|&byte| !printable(byte)).nth(code as usize - 256).map(|byte| byte as u8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(notation: Notation, pieces: &[&str]) -> String {
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| notation.decode(piece, &mut out));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_notation_gives_the_text() {
        // "é" consists of two bytes, which are in two tokens here.
        assert_eq!(decoded(Notation::ByteLevel, &["Ġcaf", "Ã", "©", "Ċ"]), " café\n");
        assert_eq!(decoded(Notation::ByteLevel, &["naïve 東", "Ġ"]), "naïve 東 ");
        assert_eq!(decoded(Notation::SentencePiece, &["▁caf", "<0xC3>", "<0xA9>", "<0x0A>"]), " café\n");
        assert_eq!(decoded(Notation::Plain, &[" café"]), " café");
        assert_eq!(decoded(Notation::Bare, &["the", "cafe", "##teria", ","]), " the cafeteria,");
    }

    #[test]
    fn the_notation_shows_in_the_strings() {
        assert_eq!(Notation::of(["The", "Ġcat"].into_iter()), Notation::ByteLevel);
        assert_eq!(Notation::of(["▁The", "▁cat"].into_iter()), Notation::SentencePiece);
        assert_eq!(Notation::of(["The", " cat", "Ġ"].into_iter()), Notation::Plain);
        assert_eq!(Notation::of(["The ", "cat"].into_iter()), Notation::Plain);
        assert_eq!(Notation::of(["The", "cat"].into_iter()), Notation::Bare);
        // 東京 and an emoji in pieces, without a blank, and words of languages whose letters also stand for bytes.
        assert_eq!(Notation::of(["æĿ±äº", "¬", "ðŁį", "ķ"].into_iter()), Notation::ByteLevel);
        for words in [["māja", "ēka"], ["łąka", "pole"], ["été", "à"]] {
            assert_eq!(Notation::of(words.into_iter()), Notation::Bare, "{words:?}");
        }
        // GPT-NeoX's vocabulary has runs of blanks as added tokens.
        assert_eq!(Notation::of(["    ", "Ġcat", "Ġsat"].into_iter()), Notation::ByteLevel);
    }

    #[test]
    fn every_byte_has_one_character() {
        let mut found: Vec<u8> = (0..400).filter_map(char::from_u32).filter_map(byte_of).collect();
        found.sort_unstable();
        assert_eq!(found, (0..=255).collect::<Vec<u8>>());
    }
}
