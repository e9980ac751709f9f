//! The notations of tokenizers.

/// How a tokenizer turns the texts of its tokens into plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDecoder {
    /// Every byte is written as a printable character, a blank as `Ġ`.
    ByteLevel,
    /// A blank is written as `▁`, a byte that is no character of its own as `<0x0A>`.
    SentencePiece,
    /// Without blanks; `##` goes on with a word.
    WordPiece,
}
