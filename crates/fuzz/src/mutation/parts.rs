//! A file taken apart, so that its header can be changed and its length stays true.

use crate::Form;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The parts of a file.
#[derive(Debug)]
pub struct Parts {
    pub form: Form,
    /// What comes before the length of the header: the magic number and version of an npy file.
    start: Vec<u8>,
    /// The header, or all of a text.
    pub text: Vec<u8>,
    /// What comes after the header.
    pub data: Vec<u8>,
}

impl Parts {
    /// The parts of a file. If a file is not built as it should be, all of it counts as text.
    pub fn of(form: Form, file: &[u8]) -> Parts {
        let (start, width) = match form {
            Form::Safetensors => (0, 8),
            Form::Npy if file.get(6) == Some(&1) => (8, 2),
            Form::Npy => (8, 4),
            Form::Text => (0, 0),
        };
        let is_built_so = form == Form::Safetensors || (form == Form::Npy && file.starts_with(MAGIC));
        let taken_apart = || {
            let mut length = [0; 8];
            length[..width].copy_from_slice(file.get(start..start + width)?);
            let (text, data) =
                file[start + width..].split_at_checked(usize::try_from(u64::from_le_bytes(length)).ok()?)?;
            Some(Parts { form, start: file[..start].to_vec(), text: text.to_vec(), data: data.to_vec() })
        };
        is_built_so.then(taken_apart).flatten().unwrap_or_else(|| Parts {
            form: Form::Text,
            start: Vec::new(),
            text: file.to_vec(),
            data: Vec::new(),
        })
    }

    /// The file with these parts, and with the length that the header has now.
    pub fn into_file(self) -> Vec<u8> {
        let length = self.text.len().to_le_bytes();
        let length = match self.form {
            Form::Text => &[],
            Form::Safetensors => &length[..],
            Form::Npy if self.start.get(6) == Some(&1) => &length[..2],
            Form::Npy => &length[..4],
        };
        [&self.start, length, &self.text, &self.data].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_same_file_again() {
        for target in crate::Target::ALL {
            for input in (target.seeds)() {
                for (file, content) in target.files.iter().zip(&input) {
                    let parts = Parts::of(file.form, content);
                    assert_eq!(parts.form, file.form, "{}: {}", target.name, file.name);
                    assert_eq!(parts.into_file(), *content);
                }
            }
        }
    }
}
