//! Activations as users have them: in one file or in several, with tokens to leave out.

mod filtered;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use unmix::{ActivationSource, ElementType};

use crate::kept_rows::KeptRows;
use crate::token_filter::{LeftOut, TokenFilter};
use crate::{ActivationFile, Error, OpenOptions, OrdinaryReads, TokenColumns, joined_columns, open_activations};

/// The activations of several files as one matrix, tokens × neurons, without the tokens that are left out.
///
/// The files are joined in order. In a batch of sequences, [batch, sequence, neurons], the sequences follow one
/// another, and positions that the mask beside it leaves out are no tokens. Bytes are used in place if all rows that
/// are asked for lie together in one mapped file. Otherwise they are read by ordinary reads.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ActivationSet {
    files: Arc<[ActivationFile]>,
    /// Number of the first row of each file among all rows, and at the end the number of all rows.
    starts: Arc<[u64]>,
    kept: KeptRows,
    columns: Arc<TokenColumns>,
    filter: TokenFilter,
    left_out: LeftOut,
    renumbered: bool,
}

/// A row of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRow<'a> {
    /// The file.
    pub path: &'a Path,
    /// The row in that file, from 0. The rows of a batch are those of its sequences, one sequence after another.
    pub row: u64,
}

impl ActivationSet {
    /// Maps the files, checks their headers, picks a tensor in each and reads the columns of tokens. The activations
    /// themselves are not read yet.
    ///
    /// A path is a safetensors or npy file, a folder of such files, or an index of shards (`*.index.json`,
    /// `{"weight_map": {tensor: file}}`). A folder stands for its index, if it has one. Otherwise it stands for all its
    /// safetensors and npy files in the natural order of their names, so that `x-2` comes before `x-10`. Hidden files,
    /// files with other endings and folders in it are ignored. An index stands for those of its files that hold the
    /// tensor, in natural order.
    ///
    /// The tensor has two dimensions, [tokens, neurons], or three, [batch, sequence, neurons]. Beside three dimensions
    /// there may be tensors of the shape [batch, sequence]: `attention_mask` or `mask`, which is zero at positions to
    /// leave out, and token columns, as [`TokenColumns`] says. In a batch without prompt ids, each sequence is a
    /// prompt. In a batch without positions, they are counted from 0 over the positions that the mask keeps, whichever
    /// side the padding is on.
    ///
    /// The columns of the files are joined. Prompts of different files never have the same number. If numbers repeat,
    /// those of the later file are moved beyond all others. If the only number that repeats is that of a prompt which
    /// was cut in two, only that number is moved.
    ///
    /// The files must not be changed or shortened meanwhile, as [`ActivationFile::open`] says.
    ///
    /// # Errors
    /// As [`ActivationFile::open`] for each file. If a folder holds no such file, a file is named twice, or files
    /// differ in neurons, type of numbers, name of the tensor or columns. If a column or a mask does not fit. If no
    /// token is left.
    pub fn open(paths: &[PathBuf], options: &OpenOptions) -> Result<ActivationSet, Error> {
        let files = open_activations::open(paths, options)?;
        let mut starts = vec![0u64];
        for file in &files {
            // All of the files are mapped, so their rows can be counted.
            starts.push(starts[starts.len() - 1] + file.tokens());
        }
        let joined = joined_columns::read(&files)?;
        let all = ActivationSet {
            kept: KeptRows::all(starts[files.len()]),
            files: files.into(),
            starts: starts.into(),
            columns: Arc::new(joined.columns),
            filter: TokenFilter::default(),
            left_out: LeftOut::default(),
            renumbered: joined.renumbered,
        };
        let Some(mask) = joined.mask else { return Ok(all) };
        let mut unmasked = all.retain(&mask, "the attention mask leaves out every position; is it inverted?")?;
        unmasked.left_out.by_attention_mask = all.tokens() - unmasked.tokens();
        Ok(unmasked)
    }

    /// The tokens for which `keep` is true, which has an entry for each token. If none is left, `why` says what left
    /// them all out.
    fn retain(&self, keep: &[bool], why: &str) -> Result<ActivationSet, Error> {
        if keep.iter().all(|&keep| keep) {
            return Ok(self.clone());
        }
        let kept = self.kept.retain(keep);
        if kept.len() == 0 {
            let (path, tokens) = (self.files[0].path().to_owned(), self.stored_tokens());
            return Err(Error::NoTokens { path, tokens, why: why.to_owned() });
        }
        let mut columns = (*self.columns).clone();
        for column in columns.all_mut().into_iter().flatten() {
            let mut keep = keep.iter();
            column.retain(|_| keep.next().is_none_or(|&keep| keep));
        }
        // The numbers fit, because a row has at least one byte in memory.
        columns.rows = Some(kept.stored().map(|row| row as i64).collect());
        Ok(ActivationSet { kept, columns: Arc::new(columns), ..self.clone() })
    }

    /// The files, in order.
    pub fn files(&self) -> &[ActivationFile] {
        &self.files
    }

    /// The files in words: the only one, or the first one and the number of the others.
    pub fn names(&self) -> String {
        let first = self.files[0].path().display();
        match self.files.len() {
            1 => first.to_string(),
            2 => format!("{first} and {}", self.files[1].path().display()),
            count => format!("{first} and {} more files", count - 1),
        }
    }

    /// Rows of all files, including those that are left out.
    pub fn stored_tokens(&self) -> u64 {
        self.starts[self.files.len()]
    }

    /// The columns of the tokens, with an entry for each token that is kept. `rows` is present if any token is left
    /// out.
    pub fn token_columns(&self) -> &TokenColumns {
        &self.columns
    }

    /// Which tokens were to be left out.
    pub fn filter(&self) -> &TokenFilter {
        &self.filter
    }

    /// How many rows were left out, and why.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// Whether prompts got other numbers because files had the same ones.
    pub fn prompts_were_renumbered(&self) -> bool {
        self.renumbered
    }

    /// The row of a token over all rows of the files, those that are left out included.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn stored_row(&self, token: u64) -> u64 {
        self.kept.pieces(token..token + 1).next().expect("a token").start
    }

    /// Where a token is stored.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn locate(&self, token: u64) -> StoredRow<'_> {
        let (index, row) = self.place(self.stored_row(token));
        StoredRow { path: self.files[index].path(), row }
    }

    /// Checks that the files still hold what they held when they were opened and had `fingerprint`. It compares their
    /// sizes and times and, if those cannot tell, their content: a process that has the files mapped can change numbers
    /// that are used in place.
    ///
    /// # Errors
    /// [`Error::Changed`] if a file does not hold it, [`Error::Replaced`] if another file is in the place of one,
    /// [`Error::CutShort`] if one has lost bytes.
    pub fn check_unchanged(&self, fingerprint: &str) -> Result<(), Error> {
        let touched = self.touched()?;
        if touched.is_none() && !self.files.iter().any(ActivationFile::in_place) {
            return Ok(());
        }
        // A mapping would count as this process's memory, of which a fit may have less than that.
        let now = crate::fingerprint(&OrdinaryReads(self.clone()))?;
        // Bytes may have gone missing while they were read.
        self.check_whole()?;
        if now == fingerprint {
            return Ok(());
        }
        Err(Error::Changed(touched.unwrap_or(&self.files[0]).path().to_owned()))
    }

    /// Checks that the files have not been written to since they were opened, by their sizes and times.
    ///
    /// # Errors
    /// [`Error::Changed`] if one has, [`Error::Replaced`] if another file is in the place of one, [`Error::CutShort`]
    /// if one has lost bytes.
    pub fn check_untouched(&self) -> Result<(), Error> {
        self.touched()?.map_or(Ok(()), |file| Err(Error::Changed(file.path().to_owned())))
    }

    /// Checks that the files still have all of their bytes. This is cheap enough to ask often.
    ///
    /// # Errors
    /// [`Error::CutShort`] if one has lost bytes.
    pub fn check_whole(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| file.is_touched().map(|_| ()))
    }

    /// The first file that has been written to.
    fn touched(&self) -> Result<Option<&ActivationFile>, Error> {
        let mut touched = None;
        for file in self.files.iter() {
            let is_touched = file.is_touched()?;
            if file.is_replaced() {
                return Err(Error::Replaced(file.path().to_owned()));
            }
            if is_touched && touched.is_none() {
                touched = Some(file);
            }
        }
        Ok(touched)
    }

    /// The file of a row among all rows, and the row in that file.
    fn place(&self, stored: u64) -> (usize, u64) {
        let index = self.starts.partition_point(|&start| start <= stored) - 1;
        (index, stored - self.starts[index])
    }

    /// The files, and the rows in them, that make up the tokens `rows`, in order.
    fn pieces(&self, rows: Range<u64>) -> impl Iterator<Item = (&ActivationFile, Range<u64>)> {
        self.kept.pieces(rows).flat_map(move |piece| {
            let mut start = piece.start;
            std::iter::from_fn(move || {
                (start < piece.end).then(|| {
                    let (index, first) = self.place(start);
                    let end = piece.end.min(self.starts[index + 1]);
                    let rows = first..first + (end - start);
                    start = end;
                    (&self.files[index], rows)
                })
            })
        })
    }
}

impl ActivationSource for ActivationSet {
    fn tokens(&self) -> u64 {
        self.kept.len()
    }

    fn neurons(&self) -> u64 {
        self.files[0].neurons()
    }

    fn element(&self) -> ElementType {
        self.files[0].element()
    }

    fn read_rows(&self, rows: Range<u64>, mut out: &mut [u8]) -> std::io::Result<()> {
        self.check_rows(&rows, out)?;
        let row = self.neurons() as usize * self.element().bytes();
        for (file, rows) in self.pieces(rows) {
            let (piece, rest) = out.split_at_mut((rows.end - rows.start) as usize * row);
            file.read_rows(rows, piece)?;
            out = rest;
        }
        Ok(())
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        if rows.start > rows.end || rows.end > self.tokens() {
            return None;
        }
        let mut pieces = self.pieces(rows);
        match (pieces.next(), pieces.next()) {
            (Some((file, rows)), None) => file.shared_rows(rows),
            (None, _) => Some(Bytes::new()),
            _ => None,
        }
    }
}
