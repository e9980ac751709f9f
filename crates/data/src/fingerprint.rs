//! A hash that tells whether two inputs are the same.

use unmix::ActivationSource;

use crate::Error;

/// Bytes hashed at a time; BLAKE3 spreads each piece over all cores.
const PIECE_BYTES: u64 = 16 << 20;

/// `blake3:` and 64 hexadecimal digits over shape, element type and the elements in row order.
///
/// The same numbers have the same fingerprint whatever the file's format or order.
///
/// # Errors
/// If the source cannot be read.
pub fn fingerprint(source: &dyn ActivationSource) -> Result<String, Error> {
    let (tokens, neurons, element) = (source.tokens(), source.neurons(), source.element());
    let mut hasher = blake3::Hasher::new();
    // A fixed-size beginning: no two inputs can share a byte string.
    hasher.update(b"unmix activations 1\0");
    hasher.update(&tokens.to_le_bytes());
    hasher.update(&neurons.to_le_bytes());
    let mut name = [0u8; 8];
    name[..element.name().len()].copy_from_slice(element.name().as_bytes());
    hasher.update(&name);
    let row_bytes = neurons * element.bytes() as u64;
    let rows = (PIECE_BYTES / row_bytes.max(1)).max(1);
    let mut buffer = Vec::new();
    let mut start = 0;
    while start < tokens {
        let piece = start..(start + rows).min(tokens);
        start = piece.end;
        if let Some(bytes) = source.shared_rows(piece.clone()) {
            hasher.update_rayon(&bytes);
            continue;
        }
        buffer.resize(((piece.end - piece.start) * row_bytes) as usize, 0);
        source.read_rows(piece, &mut buffer).map_err(Error::from_read)?;
        hasher.update_rayon(&buffer);
    }
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}
