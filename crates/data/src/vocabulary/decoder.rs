//! The notations of tokenizers.

/// How a tokenizer turns the texts of its tokens into plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDecoder {
    /// Every byte is written as a printable character, and a blank as `Ġ`.
    ByteLevel,
    /// A blank is written as `▁`, and a byte that is not a character by itself as `<0x0A>`.
    SentencePiece,
    /// There are no blanks, and `##` continues a word.
    WordPiece,
}
