//! A hash that shows whether two inputs are the same.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use unmix::{ActivationSource, DenseMatrix, ElementType};

use crate::Error;

/// Bytes that are hashed at a time. BLAKE3 spreads each piece over all cores.
const PIECE_BYTES: u64 = 16 << 20;
/// Values of a matrix that are hashed at a time.
const PIECE_VALUES: usize = 1 << 16;

/// `blake3:` and 64 hexadecimal digits, over shape, element type and the elements in row order.
///
/// The same numbers have the same fingerprint, whatever the format or order of the file, and however many files they
/// are in.
///
/// # Errors
/// If the source cannot be read.
pub fn fingerprint(source: &dyn ActivationSource) -> Result<String, Error> {
    let mut hash = Hash::new(source);
    hash.rest(source)?;
    Ok(hash.text())
}

/// `blake3:` and 64 hexadecimal digits, over whole numbers in their order, such as the prompt of each token.
pub fn fingerprint_of_numbers(numbers: &[i64]) -> String {
    let mut hasher = blake3::Hasher::new();
    numbers.iter().for_each(|number| {
        hasher.update(&number.to_le_bytes());
    });
    format!("blake3:{}", hasher.finalize().to_hex())
}

/// `blake3:` and 64 hexadecimal digits, over the shape of a matrix and its values in row order.
pub fn fingerprint_of_matrix(matrix: &DenseMatrix) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(matrix.rows as u64).to_le_bytes());
    hasher.update(&(matrix.columns as u64).to_le_bytes());
    matrix.values.chunks(PIECE_VALUES).for_each(|piece| {
        let bytes: Vec<u8> = piece.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.update(&bytes);
    });
    hashed_text(hasher.finalize())
}

/// A source that takes its own [`fingerprint()`] while others read it. It hashes rows when they are read in order for
/// the first time. So a fit and its fingerprint need only one read. Cheap to clone if the source is. Clones share the
/// hash.
#[derive(Clone, Debug)]
pub struct Fingerprinting<S> {
    source: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Rows hashed so far. It shows without the lock which rows do not come next.
    rows: AtomicU64,
    hash: Mutex<Hash>,
    /// The fingerprint, if it was found in another way.
    known: OnceLock<String>,
}

impl<S: ActivationSource> Fingerprinting<S> {
    /// A source of which nothing has been read yet.
    pub fn new(source: S) -> Self {
        let hash = Mutex::new(Hash::new(&source));
        Fingerprinting { source, shared: Arc::new(Shared { rows: AtomicU64::new(0), hash, known: OnceLock::new() }) }
    }

    /// The source itself.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Tells it the fingerprint, which was found in another way.
    pub fn know(&self, fingerprint: String) {
        // It cannot become another one.
        let _ = self.shared.known.set(fingerprint);
    }

    /// The fingerprint. It reads the rows that nobody has read in order yet.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub fn fingerprint(&self) -> Result<String, Error> {
        if let Some(known) = self.shared.known.get() {
            return Ok(known.clone());
        }
        let mut hash = self.shared.hash.lock().unwrap_or_else(PoisonError::into_inner);
        let read = hash.rest(&self.source);
        self.shared.rows.store(hash.rows, Ordering::Release);
        read?;
        Ok(hash.text())
    }

    /// Hashes the bytes of `rows` if these rows come next.
    fn pass(&self, rows: &Range<u64>, bytes: &[u8]) {
        if rows.is_empty() || self.shared.rows.load(Ordering::Acquire) != rows.start {
            return;
        }
        // A reader that finds the hash locked does not wait: hashing is spread over rayon's threads, and one of them
        // may be this reader's own.
        let Ok(mut hash) = self.shared.hash.try_lock() else { return };
        // Another reader may have been faster.
        if hash.rows == rows.start {
            hash.add(rows.end, bytes);
            self.shared.rows.store(rows.end, Ordering::Release);
        }
    }
}

impl<S: ActivationSource> ActivationSource for Fingerprinting<S> {
    fn tokens(&self) -> u64 {
        self.source.tokens()
    }

    fn neurons(&self) -> u64 {
        self.source.neurons()
    }

    fn element(&self) -> ElementType {
        self.source.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.source.read_rows(rows.clone(), out)?;
        self.pass(&rows, out);
        Ok(())
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        let bytes = self.source.shared_rows(rows.clone())?;
        self.pass(&rows, &bytes);
        Some(bytes)
    }
}

/// What is hashed before the elements. It has a fixed size, so that no two inputs share a byte string.
pub(crate) fn beginning(source: &dyn ActivationSource) -> Vec<u8> {
    let (tokens, neurons, element) = (source.tokens(), source.neurons(), source.element());
    let mut name = [0u8; 8];
    name[..element.name().len()].copy_from_slice(element.name().as_bytes());
    [&b"unmix activations 1\0"[..], &tokens.to_le_bytes()[..], &neurons.to_le_bytes(), &name].concat()
}

/// A hash as text.
pub(crate) fn hashed_text(hash: blake3::Hash) -> String {
    format!("blake3:{}", hash.to_hex())
}

/// A hash over the rows so far.
#[derive(Debug)]
struct Hash {
    hasher: blake3::Hasher,
    rows: u64,
}

impl Hash {
    fn new(source: &dyn ActivationSource) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&beginning(source));
        Hash { hasher, rows: 0 }
    }

    /// Adds the bytes of the rows up to row `end`.
    fn add(&mut self, end: u64, bytes: &[u8]) {
        self.hasher.update_rayon(bytes);
        self.rows = end;
    }

    /// Adds all rows that are still missing.
    fn rest(&mut self, source: &dyn ActivationSource) -> Result<(), Error> {
        let row_bytes = source.neurons() * source.element().bytes() as u64;
        let rows = (PIECE_BYTES / row_bytes.max(1)).max(1);
        let mut buffer = Vec::new();
        while self.rows < source.tokens() {
            let piece = self.rows..(self.rows + rows).min(source.tokens());
            let end = piece.end;
            if let Some(bytes) = source.shared_rows(piece.clone()) {
                self.add(end, &bytes);
                continue;
            }
            buffer.resize(((end - piece.start) * row_bytes) as usize, 0);
            source.read_rows(piece, &mut buffer).map_err(Error::from_read)?;
            self.add(end, &buffer);
        }
        Ok(())
    }

    fn text(&self) -> String {
        hashed_text(self.hasher.finalize())
    }
}
