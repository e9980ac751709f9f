//! Opens the files that a user means by activations: files, folders of them and indexes of shards, which are read as
//! one matrix.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use unmix::ActivationSource;

use crate::tensor_opening::known_folder;
use crate::texts::quoted_name;
use crate::{ActivationFile, Error, OpenOptions, index_of_shards, natural_order};

/// Endings of the files in a folder that are read.
const ENDINGS: [&str; 2] = ["safetensors", "npy"];
/// Names of indexes of shards end with this.
const INDEX: &str = ".index.json";

/// Opens all files of `paths`, in order. A folder stands for its files in the natural order of their names. An index
/// stands for those of its files that hold the tensor.
pub(crate) fn open(paths: &[PathBuf], options: &OpenOptions) -> Result<Vec<ActivationFile>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(open_folder(path, options)?);
        } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
            files.extend(open_index(path, options)?);
        } else {
            files.push(ActivationFile::open_any(path, options)?);
        }
    }
    check(&files)?;
    Ok(files)
}

fn open_folder(folder: &Path, options: &OpenOptions) -> Result<Vec<ActivationFile>, Error> {
    if let Some((found, advice)) = known_folder(folder) {
        return Err(Error::NotAFile { path: folder.to_owned(), found, advice });
    }
    let listing = |error| Error::io(folder, "listing the folder", error);
    let (mut files, mut indexes, mut others) = (Vec::new(), Vec::new(), BTreeMap::<String, usize>::new());
    for entry in std::fs::read_dir(folder).map_err(listing)? {
        let path = entry.map_err(listing)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if ENDINGS.contains(&ending.as_str()) {
            files.push(path);
        } else if name.ends_with(INDEX) {
            indexes.push(path);
        } else {
            *others.entry(ending).or_default() += 1;
        }
    }
    let none = |found: String, advice| Err(Error::NoActivations { path: folder.to_owned(), found, advice });
    match indexes.as_slice() {
        [] => {}
        [index] => return open_index(index, options),
        several => {
            let found = format!("the folder holds {} indexes of shards, and any could be meant", several.len());
            return none(found, "name one of them");
        }
    }
    if files.is_empty() {
        let held = match others.len() {
            0 => "is empty or holds only folders and hidden files".to_owned(),
            _ => {
                let counts = others.iter().take(8).map(|(ending, count)| match ending.as_str() {
                    "" => format!("{count} without an ending"),
                    ending => format!("{count} of .{ending}"),
                });
                format!("holds other files: {}", counts.collect::<Vec<_>>().join(", "))
            }
        };
        let advice = "save activations with safetensors or numpy.save, or name the folder that has them";
        return none(format!("no .safetensors or .npy file; the folder {held}"), advice);
    }
    files.sort_by(|a, b| natural_order::compare(a, b));
    files.iter().map(|path| ActivationFile::open_any(path, options)).collect()
}

/// The files of an index that hold the tensor. Others may hold, for instance, the columns of other tensors.
fn open_index(index: &Path, options: &OpenOptions) -> Result<Vec<ActivationFile>, Error> {
    let mut paths: Vec<PathBuf> =
        index_of_shards::read(index)?.into_keys().map(|name| index.with_file_name(name)).collect();
    paths.sort_by(|a, b| natural_order::compare(a, b));
    let (mut files, mut without) = (Vec::new(), None);
    for path in paths {
        match ActivationFile::open_any(&path, options) {
            Ok(file) => files.push(file),
            Err(error @ (Error::NoMatrix { .. } | Error::NoSuchTensor { .. })) => {
                without.get_or_insert(error);
            }
            Err(error) => return Err(index_of_shards::missing(error, index)),
        }
    }
    match without {
        Some(error) if files.is_empty() => Err(error),
        _ => Ok(files),
    }
}

/// Refuses files that are not parts of one matrix.
fn check(files: &[ActivationFile]) -> Result<(), Error> {
    let Some(first) = files.first() else {
        return Err(Error::NoActivations {
            path: "(none)".into(),
            found: "no path was given".to_owned(),
            advice: "name at least one file of activations",
        });
    };
    let mut places = HashSet::new();
    let facts: [fn(&ActivationFile) -> String; 3] = [
        |file| format!("has {} neurons", file.neurons()),
        |file| format!("has numbers of {}", file.element()),
        |file| match file.tensor() {
            Some(name) => format!("has them in the tensor {}", quoted_name(name)),
            None => "is an array without a name".to_owned(),
        },
    ];
    for file in files {
        // The place that the path leads to, if that can be found out: a link is not another file.
        let place = file.path().canonicalize().unwrap_or_else(|_| file.path().to_owned());
        if !places.insert(place) {
            return Err(Error::GivenTwice(file.path().to_owned()));
        }
        for fact in facts {
            let (found, expected) = (fact(file), fact(first));
            if found != expected {
                return Err(Error::differs(file.path(), &found, first.path(), &expected));
            }
        }
    }
    Ok(())
}
