//! The first inputs.

use std::io;
use std::path::Path;

use crate::Target;
use crate::input::join;

/// The seeds of a target, and the inputs in `fuzz/corpus`, which once went wrong or reach what others do not.
///
/// # Errors
/// If the folder cannot be read.
pub fn corpus(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs: Vec<Vec<u8>> = (target.seeds)().iter().map(|files| join(files)).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name);
    if folder.exists() {
        let mut paths = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        for path in paths {
            inputs.push(std::fs::read(path)?);
        }
    }
    Ok(inputs)
}

/// Writes the corpus of every target to a folder of the target's name in `folder`, with one file for each input.
///
/// # Errors
/// If the corpus cannot be read or written.
pub fn write_corpus(folder: &Path) -> io::Result<()> {
    for target in Target::ALL {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, input) in corpus(target)?.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), input)?;
        }
    }
    Ok(())
}
