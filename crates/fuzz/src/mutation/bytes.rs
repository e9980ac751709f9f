//! Changes to bytes, whatever the bytes mean.

use rand::RngExt;

use super::Change;

/// Whole numbers at which lengths and sizes break.
const ENDS: [u64; 14] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    100_000_000,
    0x7ff0_0000_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

impl Change {
    /// Makes one change to some bytes.
    pub(super) fn bytes(&mut self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            bytes.push(self.random.random());
            return;
        }
        match self.random.random_range(0..9) {
            0 => bytes[self.random.random_range(0..length)] ^= 1 << self.random.random_range(0..8),
            1 => bytes[self.random.random_range(0..length)] = self.random.random(),
            2 => {
                let at = self.place(length);
                bytes.insert(at, self.random.random());
            }
            3 => drop(bytes.drain(self.piece(length))),
            4 => bytes.truncate(self.place(length)),
            5 => {
                // Copies a piece to another place.
                let piece = bytes[self.piece(length)].to_vec();
                let piece = &piece[..piece.len().min(self.room)];
                let at = self.place(length);
                bytes.splice(at..at, piece.iter().copied());
                self.room -= piece.len();
            }
            6 => {
                // Copies a piece over another one.
                let piece = self.piece(length);
                let to = self.place(length - piece.len());
                bytes.copy_within(piece, to);
            }
            7 => {
                let width = 1 << self.random.random_range(0..4);
                let end = *self.any(&ENDS);
                let end = if self.random.random() { end } else { end.swap_bytes() };
                let at = self.place(length);
                let width = (length - at).min(width);
                bytes[at..at + width].copy_from_slice(&end.to_le_bytes()[..width]);
            }
            _ => {
                let piece = bytes[self.piece(length)].to_vec();
                let (at, times) = (self.place(length), self.times(piece.len()));
                bytes.splice(at..at, piece.repeat(times));
                self.room -= piece.len() * times;
            }
        }
    }
}
