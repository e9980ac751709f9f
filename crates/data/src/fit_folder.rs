//! The folder of a fit: `factorization.safetensors` and `run.json`, either complete or not there at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use unmix::{ActivationSource, DenseMatrix};

use crate::columns::Integers;
use crate::fit_files::{FACTORIZATION_FILE, RUN_FILE};
use crate::fit_record::FORMAT_VERSION;
use crate::leftovers::settle;
use crate::matrix::whole;
use crate::place::Place;
use crate::regular_file::{MOST_RUN, read_file};
use crate::safetensors_writer::{TensorEntry, write_tensors};
use crate::texts::told;
use crate::{ActivationFile, Error, FitRecord, OpenOptions, ResultFolder, RunRecord, TokenColumns};

/// Stated in every file, because factors can be scaled against each other without changing their product.
const SCALE: &str = "activations = coefficients * features; the features carry the magnitude, coefficients are >= 0 and of the \
                     order 1/sqrt(tokens)";

/// Writes a fit to the folder `dir`.
///
/// Like any [`ResultFolder`], `dir` never holds half a fit. With `force`, a folder is replaced if it is empty or holds
/// an earlier fit and nothing else. Any other folder is left alone.
///
/// # Errors
/// If `dir` exists and may not be replaced, or its parent is missing. If parts of the record contradict each other or
/// are not finite, so that [`read_fit`] would not give the record back. If the system refuses to write. In each case
/// nothing is left behind, and what was in `dir` is still there.
pub fn write_fit(dir: impl AsRef<Path>, record: &FitRecord, force: bool) -> Result<(), Error> {
    record.check()?;
    let run = run_text(&record.run)?;
    let folder = ResultFolder::create(dir, force, check_replaceable)?;
    folder.write(FACTORIZATION_FILE, |out| write_factorization(out, record))?;
    folder.write(RUN_FILE, |out| out.write_all(&run))?;
    folder.finish()
}

/// The content of `run.json`. JSON has no numbers for NaN and infinities, so a record with such a number anywhere could
/// not be read back. Nor could one of another format version.
fn run_text(run: &RunRecord) -> Result<Vec<u8>, Error> {
    let refused = |found: String| Error::Inconsistent {
        what: RUN_FILE.to_owned(),
        found,
        expected: "a fit must be read as it was written, so all its numbers must be finite".to_owned(),
    };
    let mut text = serde_json::to_vec_pretty(run).map_err(|problem| refused(format!("no JSON ({problem})")))?;
    text.push(b'\n');
    let mut read = parse_run(Path::new(RUN_FILE), &text)
        .map_err(|problem| refused(format!("refused by its reader ({problem})")))?;
    // On systems where paths are not bytes, a path that is not UTF-8 comes back as it is shown.
    read.input.paths.clone_from(&run.input.paths);
    if read == *run { Ok(text) } else { Err(refused("read as something else".to_owned())) }
}

/// Reads a folder that [`write_fit`] wrote. If writing it was interrupted, this is put right first.
///
/// # Errors
/// If there is no such folder, a file is missing, damaged or of another format version, the parts contradict each
/// other, or values are NaN or infinite.
pub fn read_fit(dir: impl AsRef<Path>) -> Result<FitRecord, Error> {
    let dir = dir.as_ref();
    if let Ok(place) = Place::of(dir) {
        settle(&place);
    }
    if !dir.exists() {
        return Err(Error::NotFound(dir.to_owned()));
    }
    if !dir.is_dir() {
        return Err(Error::NotAFit {
            path: dir.to_owned(),
            problem: "it is a file; name the folder that `unmix fit` wrote".to_owned(),
        });
    }
    for name in [RUN_FILE, FACTORIZATION_FILE] {
        if !dir.join(name).exists() {
            let problem = format!("{name} is missing; name the folder that `unmix fit` wrote");
            return Err(Error::NotAFit { path: dir.to_owned(), problem });
        }
    }
    let path = dir.join(RUN_FILE);
    let mut text = read_file(&path, MOST_RUN, "expected a file")?;
    let (run, factors) = loop {
        let (run, factors) = (parse_run(&path, &text), read_factorization(&dir.join(FACTORIZATION_FILE)));
        let text_now = read_file(&path, MOST_RUN, "expected a file")?;
        if text_now == text {
            break (run?, factors?);
        }
        // Another process has replaced the fit meanwhile, so the factors may belong to one fit and the record to the
        // other.
        text = text_now;
    };
    let (features, coefficients, columns) = factors;
    let record = FitRecord { features, coefficients, columns, run };
    // Parts that contradict each other have no path of their own.
    record.check().map_err(|problem| Error::DamagedFit { path: dir.to_owned(), problem: problem.into() })?;
    Ok(record)
}

/// The one field that every version of `run.json` has.
#[derive(serde::Deserialize)]
struct Versioned {
    format_version: u64,
}

fn parse_run(path: &Path, bytes: &[u8]) -> Result<RunRecord, Error> {
    const EXPECTED: &str = "the run.json of a fit, unchanged; fit again if it was edited";
    let json = |problem: String| Error::Json { path: path.to_owned(), problem, expected: EXPECTED };
    // The version comes first: for another version, a complaint about some field would mislead.
    let Versioned { format_version: version } = serde_json::from_slice(bytes).map_err(|e| {
        json(if e.is_data() { format!("no format_version ({})", told(&e)) } else { format!("not valid JSON: {e}") })
    })?;
    if version != u64::from(FORMAT_VERSION) {
        let found = u32::try_from(version).unwrap_or(u32::MAX);
        return Err(Error::FormatVersion { path: path.to_owned(), found, expected: FORMAT_VERSION });
    }
    RunRecord::parse(bytes).map_err(|e| json(told(&e)))
}

fn read_factorization(path: &Path) -> Result<(DenseMatrix, DenseMatrix, TokenColumns), Error> {
    let open = |name: &str| ActivationFile::open(path, &OpenOptions { tensor: Some(name.to_owned()) });
    let (features, coefficients) = (open("features")?, open("coefficients")?);
    for file in [&features, &coefficients] {
        if file.element() != unmix::ElementType::F32 {
            return Err(Error::DataType {
                path: path.to_owned(),
                tensor: format!("tensor {:?}", file.tensor().unwrap_or_default()),
                found: file.stored_dtype().to_owned(),
                expected: "f32, in which unmix writes factors",
            });
        }
    }
    Ok((whole(&features)?, whole(&coefficients)?, coefficients.columns_of_fit()?))
}

/// Checks whether [`write_fit`] to `dir` would be allowed, before the long work rather than after it. `write_fit`
/// itself notices what changes meanwhile.
///
/// # Errors
/// As [`write_fit`] for a folder that may not be written or replaced.
pub fn check_target(dir: impl AsRef<Path>, force: bool) -> Result<(), Error> {
    // The best way to check permissions is to try. A folder that is never finished leaves nothing behind.
    ResultFolder::create(dir, force, check_replaceable).map(drop)
}

/// Only an empty folder may be replaced, or one that holds a fit and nothing else. So no user's own files are deleted.
fn check_replaceable(dir: &Path) -> Result<(), Error> {
    let refuse = |found: String| Err(Error::NotReplaceable { path: dir.to_owned(), found });
    let (mut known, mut foreign) = (0, None);
    for entry in fs::read_dir(dir).map_err(|e| Error::io(dir, "listing the folder", e))? {
        let entry = entry.map_err(|e| Error::io(dir, "listing the folder", e))?;
        let name = entry.file_name();
        let is_file = entry.file_type().is_ok_and(|t| t.is_file());
        if is_file && (name == FACTORIZATION_FILE || name == RUN_FILE) {
            known += 1;
        } else {
            foreign = Some(name.to_string_lossy().into_owned());
        }
    }
    match (known, foreign) {
        (0 | 2, None) => Ok(()),
        (2, Some(name)) => refuse(format!("besides a fit it holds {name:?}, which would be lost")),
        (_, Some(name)) => refuse(format!("it holds {name:?} and is not the folder of a fit")),
        (_, None) => refuse(format!("it holds only one of {RUN_FILE} and {FACTORIZATION_FILE}")),
    }
}

fn write_factorization(out: impl Write, record: &FitRecord) -> std::io::Result<()> {
    let columns: Vec<(&str, Integers)> =
        record.columns.present().map(|(name, values)| (name, Integers::new(values))).collect();
    let mut entries = Vec::new();
    // Tensors with wider elements come first, so that every tensor is aligned.
    entries.extend(columns.iter().filter_map(|(name, column)| column.wide(name)));
    entries.push(TensorEntry::matrix("coefficients", &record.coefficients));
    entries.push(TensorEntry::matrix("features", &record.features));
    entries.extend(columns.iter().filter_map(|(name, column)| column.narrow(name)));
    let metadata = BTreeMap::from([
        ("format", "unmix-fit".to_owned()),
        ("format_version", FORMAT_VERSION.to_string()),
        ("scale", SCALE.to_owned()),
        ("unmix_version", record.run.unmix_version.clone()),
    ]);
    write_tensors(out, &entries, &metadata)
}
