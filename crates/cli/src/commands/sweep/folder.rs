//! The folder of a sweep: what was measured, as JSON, as a table and as a page. Each file is complete at any moment.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};
use unmix::Factorization;
use unmix_data::{ActivationSet, FitRecord, FolderLock, InputRecord, RUN_FILE, read_file, write_file, write_fit};
use unmix_interpret::sweep::{GridPoint, KeptFit, LayerSweep, SWEEP_VERSION, SweepPoint, SweepRecord, render};

use super::unchanged::{check_activations, check_settings};
use crate::arguments;
use crate::failure::Failure;
use crate::progress::Reporter;

/// What was measured.
const RECORD_FILE: &str = "sweep.json";
/// The same as a table.
const TABLE_FILE: &str = "sweep.csv";
/// The same as a page.
pub const PAGE_FILE: &str = "sweep.html";
/// Largest size of a record, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// A folder with the points that are measured so far.
pub struct SweepFolder {
    path: PathBuf,
    /// Keeps other processes out, which would store other points.
    _lock: FolderLock,
    /// Its record.
    pub record: SweepRecord,
}

/// A folder whose layers are not compared yet.
pub struct EarlierSweep {
    path: PathBuf,
    /// Absent if the folder does not exist yet.
    lock: Option<FolderLock>,
    /// The points of an earlier run of the command, if there are any.
    layers: Vec<LayerSweep>,
    settings: Map<String, Value>,
}

impl SweepFolder {
    /// Looks at the folder `path`, which need not exist. A sweep in it must have the same settings.
    pub fn open(path: &Path, settings: &Map<String, Value>) -> Result<EarlierSweep, Failure> {
        let file = path.join(RECORD_FILE);
        if path.exists() && !file.exists() && !is_empty(path) {
            return Err(Failure::Usage(format!(
                "{}: there is something else than a sweep; name another folder with --out",
                path.display()
            )));
        }
        let lock = path.is_dir().then(|| FolderLock::take(path)).transpose()?;
        let layers = if file.exists() {
            let text = read_file(&file, MOST_BYTES, "expected the record of a sweep")?;
            let record = parse(&file, &text)?;
            check_settings(path, &record.settings, settings)?;
            record.layers
        } else {
            Vec::new()
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !parent.is_dir() {
            return Err(Failure::Usage(format!(
                "{}: its folder {} is missing; make it, or name another with --out",
                path.display(),
                parent.display()
            )));
        }
        Ok(EarlierSweep { path: path.to_owned(), lock, layers, settings: settings.clone() })
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a point of layer `number`, and stores everything.
    pub fn add(&mut self, number: usize, point: SweepPoint, fits: Vec<KeptFit>) -> Result<(), Failure> {
        let layer = &mut self.record.layers[number];
        layer.add(point);
        layer.fits.extend(fits);
        self.store()
    }

    /// Notes that everything is measured of layer `number`.
    pub fn complete(&mut self, number: usize) -> Result<(), Failure> {
        self.record.layers[number].complete = true;
        self.store()
    }

    /// What keeps the fits of a point, if that is wanted.
    pub fn keeper<'a>(&'a self, number: usize, wanted: bool, at: GridPoint, set: &'a ActivationSet) -> Keeper<'a> {
        let layer = &self.record.layers[number];
        let folder = if self.record.layers.len() > 1 { format!("fits/{}", layer.name) } else { "fits".to_owned() };
        Keeper {
            root: wanted.then_some(&self.path),
            folder,
            command_line: &self.record.command_line,
            input: &layer.input,
            at,
            set,
            kept: Vec::new(),
            failed: None,
        }
    }

    /// Stores everything.
    pub fn store(&self) -> Result<(), Failure> {
        let record = &self.record;
        let json = serde_json::to_vec_pretty(record).map_err(|error| Failure::Output(error.into()))?;
        write_file(self.path.join(RECORD_FILE), true, |out| out.write_all(&json))?;
        write_file(self.path.join(TABLE_FILE), true, |out| out.write_all(record.csv().as_bytes()))?;
        write_file(self.path.join(PAGE_FILE), true, |out| out.write_all(render(record).as_bytes()))?;
        Ok(())
    }
}

impl EarlierSweep {
    /// The folder for these layers, of which nothing is measured yet. Layers that are in it already must have the same
    /// activations. If fits are kept, points whose fits are not there are to be measured again.
    pub fn with_layers(
        self,
        layers: Vec<LayerSweep>,
        keeps: bool,
        reporter: &Reporter,
    ) -> Result<SweepFolder, Failure> {
        let EarlierSweep { path, lock, layers: earlier, settings } = self;
        let mut new = Vec::new();
        for layer in layers {
            new.push(match earlier.iter().find(|earlier| earlier.name == layer.name) {
                Some(earlier) => {
                    check_activations(&path, earlier, &layer)?;
                    LayerSweep { complete: false, ..earlier.clone() }
                }
                None => layer,
            });
        }
        let names: Vec<&str> = new.iter().map(|layer| layer.name.as_str()).collect();
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(Failure::Usage(format!(
                "{}: two files have this name, so their results could not be told apart; give files with different names",
                twice.1
            )));
        }
        if let Some(gone) = earlier.iter().find(|layer| !names.contains(&layer.name.as_str())) {
            return Err(Failure::Usage(format!(
                "{}: the sweep in it has the layer {}, which is not among the files; give it as well, or name another folder with \
                 --out",
                path.display(),
                gone.name
            )));
        }
        let lock = match lock {
            Some(lock) => lock,
            None => create(&path)?,
        };
        let again: usize = new.iter_mut().map(|layer| forget_missing(&path, layer, keeps)).sum();
        if again > 0 {
            reporter.stage(&format!("measuring {again} points again, whose fits are not there"));
        }
        let record = SweepRecord {
            sweep_version: SWEEP_VERSION,
            unmix_version: env!("CARGO_PKG_VERSION").to_owned(),
            command_line: arguments::texts(),
            settings,
            layers: new,
        };
        // If the first point is not finished, this shows that the folder is that of a sweep.
        let folder = SweepFolder { path, _lock: lock, record };
        folder.store()?;
        Ok(folder)
    }
}

/// Creates the folder of a sweep, and locks it.
fn create(path: &Path) -> Result<FolderLock, Failure> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(FolderLock::take(path)?),
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(unmix_data::Error::InUse(path.to_owned()).into()),
        Err(source) => Err(unmix_data::Error::Io { path: path.to_owned(), action: "creating", source }.into()),
    }
}

/// Forgets fits and reports that are not there any more. If fits are kept, it also forgets the points without fits, and
/// returns their number.
fn forget_missing(path: &Path, layer: &mut LayerSweep, keeps: bool) -> usize {
    layer.fits.retain(|fit| path.join(&fit.folder).join(RUN_FILE).is_file());
    for fit in &mut layer.fits {
        fit.report.take_if(|report| !path.join(report).is_file());
    }
    if keeps { layer.forget_points_without_fits() } else { 0 }
}

fn parse(path: &Path, text: &[u8]) -> Result<SweepRecord, Failure> {
    let damaged = |problem: String| {
        Failure::Usage(format!("{}: {problem}; name another folder with --out, or remove this one", path.display()))
    };
    let value: Value = serde_json::from_slice(text).map_err(|error| damaged(format!("no valid JSON ({error})")))?;
    let version = value["sweep_version"].as_u64();
    if version != Some(SWEEP_VERSION.into()) {
        return Err(damaged(format!("not the record of a sweep of version {SWEEP_VERSION}")));
    }
    let record: SweepRecord =
        serde_json::from_value(value).map_err(|error| damaged(format!("not the record of a sweep ({error})")))?;
    // Reports are written beside the fits.
    let is_inside = |name: &str| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    match record.layers.iter().flat_map(|layer| &layer.fits).find(|fit| !is_inside(&fit.folder)) {
        Some(fit) => Err(damaged(format!("it names the fit {}, which is not in its folder", fit.folder))),
        None => Ok(record),
    }
}

/// Whether there is nothing in a folder but what a sweep that was killed before it stored anything leaves.
fn is_empty(path: &Path) -> bool {
    let is_leftover = |name: OsString| name == FolderLock::FILE || name.to_string_lossy().starts_with(".unmix-");
    std::fs::read_dir(path)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| is_leftover(entry.file_name()))))
}

/// Keeps the fits of a point.
pub struct Keeper<'a> {
    root: Option<&'a PathBuf>,
    folder: String,
    command_line: &'a [String],
    input: &'a InputRecord,
    at: GridPoint,
    set: &'a ActivationSet,
    kept: Vec<KeptFit>,
    failed: Option<Failure>,
}

impl Keeper<'_> {
    /// Writes a fit, if fits are kept.
    pub fn keep(&mut self, fit: Factorization) {
        if self.failed.is_none()
            && let Err(failure) = self.write(fit)
        {
            self.failed = Some(failure);
        }
    }

    fn write(&mut self, fit: Factorization) -> Result<(), Failure> {
        let Some(root) = self.root else { return Ok(()) };
        let (kept_per_feature, seed) = (fit.summary.kept_per_feature, fit.summary.options.seed);
        let folder = format!("{}/K{}-m{kept_per_feature}-seed{seed}", self.folder, self.at.rank);
        let path = root.join(&folder);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| unmix_data::Error::Io {
                path: parent.to_owned(),
                action: "creating",
                source,
            })?;
        }
        let mut record = FitRecord::new(fit, self.set.token_columns().clone(), self.input.clone());
        record.run.command_line = Some(self.command_line.to_vec());
        write_fit(&path, &record, true)?;
        self.kept.push(KeptFit { rank: self.at.rank, kept_per_feature, seed, folder, report: None });
        Ok(())
    }

    /// The fits that were kept.
    pub fn finish(self) -> Result<Vec<KeptFit>, Failure> {
        self.failed.map_or(Ok(self.kept), Err)
    }
}
