//! What can go wrong with files: each error says what was found, what was expected and what to do.

use std::path::{Path, PathBuf};

use crate::labels::LabelPlace;
use crate::shell_word::shell_word;
use crate::texts::quoted_name;

/// An error of a reader or a writer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{}: {action} failed: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// A source of activations that is not one of this crate's files could not be read.
    #[error("reading the activations failed: {0}")]
    Read(#[source] std::io::Error),
    /// There is no such file.
    #[error("{}: no such file; check the path", .0.display())]
    NotFound(PathBuf),
    /// A folder or a device where a file was expected.
    #[error("{}: this is {found}, not a file; {advice}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A file that is larger than its kind can sensibly be.
    #[error("{}: the file has {found} bytes, but at most {most} are read of its kind; is it another file than was meant?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes, or the number of bytes that it had at least.
        found: u64,
        /// Most bytes that are read.
        most: u64,
    },
    /// A file of no bytes.
    #[error("{}: the file is empty; was writing it interrupted?", .0.display())]
    Empty(PathBuf),
    /// A mapped file has lost bytes since it was opened.
    #[error("{}: the file was cut short, or its disk failed, while it was read; write it again and start over", .0.display())]
    CutShort(PathBuf),
    /// A file has other content than when it was opened.
    #[error("{}: the file was changed while it was read; nothing was saved, since it would belong to neither content: start over", .0.display())]
    Changed(PathBuf),
    /// Activations in memory have other numbers than before.
    #[error(
        "the activations were changed while the fit read them, so its result would belong to neither content: fit again, and change \
         them only afterwards"
    )]
    ChangedInMemory,
    /// A column of tokens beside activations in memory does not fit them.
    #[error("{column} has {found} entries, but the activations have {tokens} rows; an entry for each row is needed")]
    ColumnOfMemory {
        /// The column.
        column: &'static str,
        /// Its number of entries.
        found: u64,
        /// Number of rows.
        tokens: u64,
    },
    /// Another file is now in the place of one that was opened.
    #[error("{}: the file was replaced while it was read; nothing was saved, since the file that is there now was not read: start over", .0.display())]
    Replaced(PathBuf),
    /// An unfinished fit is in the way of a new one.
    #[error(
        "{}: an unfinished fit left its checkpoints here; go on with `unmix fit --resume {}`, or add --force to start over",
        path.display(),
        shell_word(dir)
    )]
    Unfinished {
        /// The folder of checkpoints.
        path: PathBuf,
        /// The folder of the result.
        dir: PathBuf,
    },
    /// There is nothing from which a fit could go on.
    #[error(
        "{}: no checkpoint is there, so the fit {} cannot be resumed; start it again without --resume",
        path.display(),
        dir.display()
    )]
    NoCheckpoint {
        /// The folder of checkpoints.
        path: PathBuf,
        /// The folder of the result.
        dir: PathBuf,
    },
    /// Another process works on a folder.
    #[error("{}: another process is working on it; wait for it, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// Neither the content nor the name shows a format that can be read.
    #[error("{}: {found}; expected a safetensors file (.safetensors) or a NumPy array (.npy). {advice}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What its beginning looks like.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The file breaks the rules of its format, mostly because it was cut short.
    #[error("{}: damaged {format} file: {problem}; copy or write it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// Which rule it breaks.
        problem: String,
    },
    /// A tensor was named that the file does not hold.
    #[error("{}: no tensor named {}; the file holds {held}", path.display(), quoted_name(tensor))]
    NoSuchTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
        /// All tensors with types and shapes.
        held: String,
    },
    /// No name was given, and no single tensor in the file can be meant.
    #[error("{}: {why}: {candidates}; name the tensor that is meant", path.display())]
    AmbiguousTensor {
        /// The file.
        path: PathBuf,
        /// Why none of them is taken.
        why: &'static str,
        /// The tensors that could be meant, with types and shapes.
        candidates: String,
    },
    /// No name was given, and the file has no tensor of floating-point numbers with two or three dimensions.
    #[error("{}: no two- or three-dimensional tensor of floating-point numbers; the file holds {held}; {advice}", path.display())]
    NoMatrix {
        /// The file.
        path: PathBuf,
        /// All tensors with types and shapes.
        held: String,
        /// What to do.
        advice: &'static str,
    },
    /// A folder without a file of activations, or with several that could be meant.
    #[error("{}: {found}; {advice}", path.display())]
    NoActivations {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The same file twice among several that are read as one.
    #[error("{}: this file is given twice; its tokens would count twice, so name it once", .0.display())]
    GivenTwice(PathBuf),
    /// Files that cannot be read as one matrix.
    #[error("{}: {problem}; files that are read as one matrix must agree in it", path.display())]
    FilesDiffer {
        /// The file that differs from the first.
        path: PathBuf,
        /// How the two differ.
        problem: String,
    },
    /// Prompts of several files have the same numbers, and no other numbers are left for them.
    #[error(
        "{}: its prompt ids repeat those of an earlier file, and there are no larger numbers to tell the prompts apart; number \
         the prompts from 0 on",
        .0.display()
    )]
    PromptNumbers(PathBuf),
    /// All tokens were left out.
    #[error("{}: no token is left of {tokens}: {why}", path.display())]
    NoTokens {
        /// The file, or the first of several.
        path: PathBuf,
        /// Rows in the files.
        tokens: u64,
        /// What left them out, and what to do.
        why: String,
    },
    /// An npy array has no name, but a name was given.
    #[error("{}: an npy file holds a single array without a name, so {} cannot be picked; leave the name out", path.display(), quoted_name(tensor))]
    NamelessArray {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// A tensor of the wrong number of dimensions, or without elements.
    #[error("{}: {tensor} has shape {shape}; expected {expected}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Which tensor, in words.
        tensor: String,
        /// Its shape.
        shape: String,
        /// What was expected and what to do.
        expected: String,
    },
    /// A tensor of a type that cannot be used.
    #[error("{}: {tensor} holds {found}; expected {expected}", path.display())]
    DataType {
        /// The file.
        path: PathBuf,
        /// Which tensor, in words.
        tensor: String,
        /// Its type.
        found: String,
        /// The types that can be read, and what to do.
        expected: &'static str,
    },
    /// An f64 value beyond the range of f32.
    #[error("{}: {tensor}, row {row}, column {column} is {value:e}, beyond the range of f32 (±3.4e38), into which f64 is converted; multiply the data by a constant", path.display())]
    Overflow {
        /// The file.
        path: PathBuf,
        /// Which tensor, in words.
        tensor: String,
        /// Its row.
        row: u64,
        /// Its column.
        column: u64,
        /// The value.
        value: f64,
    },
    /// A row whose f64 values are all below the range of f32.
    #[error("{}: {tensor}: the largest number of row {row} is {value:e}, in column {column}, below the range of f32 (1.2e-38), into which f64 is \
        converted; multiply the data by a constant, or set the rows to zero that should be zero", path.display())]
    Underflow {
        /// The file.
        path: PathBuf,
        /// Which tensor, in words.
        tensor: String,
        /// Its row.
        row: u64,
        /// The column of the value.
        column: u64,
        /// The value of the row with the largest magnitude.
        value: f64,
    },
    /// A whole number beyond the range of i64.
    #[error("{}: {tensor} holds {value} in row {row}, beyond the range of i64", path.display())]
    IntegerRange {
        /// The file.
        path: PathBuf,
        /// Which tensor, in words.
        tensor: String,
        /// Its row.
        row: u64,
        /// The value.
        value: u64,
    },
    /// A NaN or an infinity among activations.
    #[error(
        "the activation of token {token}, neuron {neuron} is {value}; a factorization needs finite values. Leave out such tokens, \
         or collect the activations in a wider type (f16 ends at ±65,504)"
    )]
    NotFinite {
        /// Row, from 0.
        token: u64,
        /// Column, from 0.
        neuron: u64,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// A NaN or an infinity in another matrix.
    #[error("{what} hold {value} in row {row}, column {column}; expected finite values")]
    NotFiniteMatrix {
        /// Which matrix, in the plural, with the file if there is one.
        what: String,
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// `NaN`, `inf` or `-inf`.
        value: f32,
    },
    /// A column of tokens that does not fit the activations.
    #[error("{}: {column} has {found} entries, but there are {tokens} tokens; one entry a token is needed", path.display())]
    ColumnLength {
        /// The file.
        path: PathBuf,
        /// Name of the column.
        column: String,
        /// Its length.
        found: u64,
        /// Rows of the activations.
        tokens: u64,
    },
    /// A column of tokens that is not there.
    #[error("{}: no column `{column}`, but {why}; save it beside the activations", path.display())]
    MissingColumn {
        /// The file, or the first of several.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// What needs it.
        why: &'static str,
    },
    /// A JSON file that cannot be understood.
    #[error("{}: {problem}; expected {expected}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column if known.
        problem: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A file of labels that cannot be understood.
    #[error(
        "{}: {}{problem}; expected the labels of prompts: a JSON array, JSON lines or CSV with a `concept` for each prompt",
        path.display(),
        place.map(|place| format!("{place}: ")).unwrap_or_default()
    )]
    Labels {
        /// The file.
        path: PathBuf,
        /// Line or entry, if known.
        place: Option<LabelPlace>,
        /// What is wrong.
        problem: String,
    },
    /// A prompt without a label.
    #[error(
        "{}: no label for prompt {prompt} (row {row} of the activations) among {labels}, which belong to prompts {meant}; add it, \
         or leave out the prompt's tokens",
        path.display()
    )]
    Unlabelled {
        /// The file of labels.
        path: PathBuf,
        /// The prompt's number.
        prompt: i64,
        /// The first row of activations that belongs to this prompt.
        row: usize,
        /// Number of labels in the file.
        labels: usize,
        /// How labels belong to prompts, in words.
        meant: &'static str,
    },
    /// More labels without ids than prompts.
    #[error(
        "{}: {labels} labels without ids, but the prompts of the activations end with number {}, so the order does not tell which \
         label is whose; give each label the `id` of its prompt, or leave out those of other prompts",
        path.display(),
        prompts.saturating_sub(1)
    )]
    TooManyLabels {
        /// The file of labels.
        path: PathBuf,
        /// Number of labels in the file.
        labels: usize,
        /// Number of prompts, if all from 0 to the last exist.
        prompts: usize,
    },
    /// A vocabulary without an entry for most token ids.
    #[error(
        "{}: this vocabulary (entries: {size}) lacks {unknown} of {tokens} token ids, the first in row {row}: {id}; give that of \
         the model whose activations were factorized",
        path.display()
    )]
    UnknownToken {
        /// The vocabulary.
        path: PathBuf,
        /// The first id without an entry.
        id: i64,
        /// Its row of the activations.
        row: usize,
        /// Rows whose ids have no entry.
        unknown: usize,
        /// Rows whose ids are not negative.
        tokens: usize,
        /// Number of entries in the vocabulary.
        size: usize,
    },
    /// Rows that a matrix of weights does not have, or a buffer of another size than theirs.
    #[error("{}: tensor {}: {problem}", path.display(), quoted_name(tensor))]
    Rows {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What was asked for, and what there is.
        problem: String,
    },
    /// There are no weights of a model where they were expected.
    #[error("{}: no weights of a model: {found}", path.display())]
    NoWeights {
        /// The file or folder.
        path: PathBuf,
        /// What is there instead, and what to do.
        found: String,
    },
    /// A file that an index of shards names is missing.
    #[error("{}: no such file, but {} names it; download the whole model", path.display(), index.display())]
    MissingShard {
        /// The file that is missing.
        path: PathBuf,
        /// The index.
        index: PathBuf,
    },
    /// An index of shards says that a tensor is in a file that does not have it.
    #[error("{}: no tensor named {}, but {} says that it is in there; download both again", path.display(), quoted_name(tensor), index.display())]
    NotInShard {
        /// The shard.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The index.
        index: PathBuf,
    },
    /// Two files given together hold tensors of the same name.
    #[error("{}: the tensor {} is in {} as well; give only one of the two files", path.display(), quoted_name(tensor), other.display())]
    DuplicateTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The file that was read before.
        other: PathBuf,
    },
    /// The result folder exists.
    #[error("{}: already exists; choose another folder, or force replacing it", .0.display())]
    Exists(PathBuf),
    /// The file to write exists.
    #[error("{}: already exists; choose another name, or force replacing it", .0.display())]
    FileExists(PathBuf),
    /// What is to be replaced is no result of unmix.
    #[error("{}: will not be replaced, even when forced, because {found}; choose another place, or move it away", path.display())]
    NotReplaceable {
        /// The folder or file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A result cannot be written to this place.
    #[error("{}: {problem}", path.display())]
    BadTarget {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: &'static str,
    },
    /// The folder does not hold a fit.
    #[error("{}: not the folder of a fit: {problem}", path.display())]
    NotAFit {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// The folder holds the files of a fit, but they contradict each other or hold impossible values.
    #[error("{}: {problem}; take the folder as `unmix fit` wrote it, or fit again", path.display())]
    DamagedFit {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        problem: Box<Error>,
    },
    /// The fit was written by a version of unmix whose files this one does not know.
    #[error("{}: written in format version {found}, but this unmix reads version {expected}; use the unmix that wrote it", path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The version that can be read.
        expected: u32,
    },
    /// Parts of a fit that contradict each other.
    #[error("{what} is {found}, but {expected}; the parts of the fit do not belong together")]
    Inconsistent {
        /// Which part.
        what: String,
        /// Its size.
        found: String,
        /// What the other parts say.
        expected: String,
    },
}

impl Error {
    /// Whether the input is at fault (bad path, bad file, bad data), rather than what happened meanwhile (disk full,
    /// permissions, failing reads, files that another process changed).
    pub fn is_usage(&self) -> bool {
        !matches!(
            self,
            Error::Io { .. }
                | Error::Read(_)
                | Error::CutShort(_)
                | Error::Changed(_)
                | Error::ChangedInMemory
                | Error::Replaced(_)
        )
    }

    /// The same error with the row of the activations' files in place of the row among the tokens that were kept, which
    /// have these rows in the files. Without rows, no token was left out.
    #[must_use]
    pub fn at_stored_row(mut self, rows: Option<&[i64]>) -> Error {
        if let (Error::Unlabelled { row, .. } | Error::UnknownToken { row, .. }, Some(rows)) = (&mut self, rows) {
            *row = rows.get(*row).map_or(*row, |&stored| stored as usize);
        }
        self
    }

    /// This error in the form in which [`ActivationSource::read_rows`](unmix::ActivationSource::read_rows) returns it.
    pub(crate) fn into_read(self) -> std::io::Error {
        let kind = match &self {
            Error::Io { source, .. } => source.kind(),
            Error::CutShort(_) => std::io::ErrorKind::UnexpectedEof,
            _ => std::io::ErrorKind::InvalidData,
        };
        std::io::Error::new(kind, self)
    }

    /// The error of a file that differs from the first of several. `found` says what it has, and `expected` what the
    /// first one has. Both begin with a verb.
    pub(crate) fn differs(path: &Path, found: &str, first: &Path, expected: &str) -> Error {
        Error::FilesDiffer { path: path.to_owned(), problem: format!("{found}, but {} {expected}", first.display()) }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Error {
        Error::Io { path: path.to_owned(), action, source }
    }

    /// An error that came through [`ActivationSource::read_rows`](unmix::ActivationSource::read_rows). If it was one of
    /// this crate's, it is unpacked.
    pub(crate) fn from_read(error: std::io::Error) -> Error {
        error.downcast::<Error>().unwrap_or_else(Error::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_split_into_bad_input_and_failures_of_the_system() {
        let io = || std::io::Error::other("disk on fire");
        assert!(!Error::io(Path::new("x"), "reading", io()).is_usage());
        assert!(!Error::Read(io()).is_usage());
        assert!(Error::NotFound("x".into()).is_usage());
        assert!(Error::Exists("x".into()).is_usage());
    }

    #[test]
    fn own_errors_survive_the_way_through_io_errors() {
        let wrapped = std::io::Error::new(std::io::ErrorKind::InvalidData, Error::Empty("a.npy".into()));
        assert!(matches!(Error::from_read(wrapped), Error::Empty(_)));
        assert!(matches!(Error::from_read(std::io::Error::other("x")), Error::Read(_)));
    }
}
