//! Which variants of kernels `unmix tune` found to be the fastest, in a file in the user's cache folder.
//!
//! The file is a convenience. Whatever is wrong with it costs speed and a warning at most.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unmix::{ElementType, WgpuEngine};
use unmix_runtime::Preference;

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum TuningError {
    /// The system is in the way.
    #[error("{0}")]
    System(String),
    /// The file cannot be written.
    #[error(transparent)]
    Data(#[from] unmix_data::Error),
}

/// The variable that overrides the folder, for tests and for users who keep caches elsewhere.
const FOLDER_VARIABLE: &str = "UNMIX_CACHE_DIR";

/// Most bytes of the file. An adapter takes a few thousand.
const MOST_BYTES: u64 = 16 << 20;

/// An adapter as the file identifies it. What was measured on one holds for no other driver and no other version of
/// unmix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Version of unmix.
    pub unmix_version: String,
    /// The adapter's name.
    pub adapter: String,
    /// The driver's name and version.
    pub driver: String,
}

impl Key {
    /// The key of an engine's adapter.
    pub fn of(engine: &WgpuEngine) -> Key {
        let info = engine.device().adapter_info();
        Key {
            unmix_version: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: info.name,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        }
    }
}

/// The fastest variant of a kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The kernel.
    pub kernel: String,
    /// Type of the operands: f32, f16 or bf16.
    pub element: String,
    /// The variant.
    pub variant: String,
    /// Seconds that it took, at the shape that was measured.
    pub seconds: f64,
}

/// What was measured on one adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Where it holds.
    #[serde(flatten)]
    pub key: Key,
    /// The fastest variants.
    pub choices: Vec<Choice>,
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    tunings: Vec<Tuning>,
}

/// The file. None on a system without a cache folder.
pub fn path() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let given = std::env::var_os(FOLDER_VARIABLE).filter(|folder| !folder.is_empty());
    let folder = match given {
        Some(folder) => PathBuf::from(folder),
        None => etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("unmix"),
    };
    Some(folder.join("tuning.json"))
}

/// Everything that is stored. A file that cannot be read or understood counts as empty, with a warning.
pub fn stored() -> Vec<Tuning> {
    let Some(path) = path() else { return Vec::new() };
    let bytes =
        match unmix_data::read_file(&path, MOST_BYTES, "`unmix tune --forget` cannot delete it, so delete it yourself")
        {
            Ok(bytes) => bytes,
            Err(unmix_data::Error::NotFound(_)) => return Vec::new(),
            Err(error) => {
                log::warn!("{error}; ignored, kernels run in the engine's own choice of variants");
                return Vec::new();
            }
        };
    match serde_json::from_slice::<Stored>(&bytes) {
        Ok(stored) => stored.tunings,
        Err(error) => {
            log::warn!(
                "{}: {error}; ignored, kernels run in the engine's own choice of variants. `unmix tune` writes the file \
                 anew, `unmix tune --forget` deletes it",
                path.display()
            );
            Vec::new()
        }
    }
}

/// Stores what was measured on an adapter. It replaces what was known about the adapter, and what only other versions
/// could use.
///
/// # Errors
/// If there is no place to store it, or the system refuses.
pub fn store(tuning: Tuning) -> Result<PathBuf, TuningError> {
    let path = path().ok_or_else(|| {
        TuningError::System(format!(
            "this system tells no cache folder to store the result in; name one in {FOLDER_VARIABLE}"
        ))
    })?;
    let mut tunings = stored();
    tunings.retain(|old| {
        old.key.unmix_version == tuning.key.unmix_version
            && (&old.key.adapter, &old.key.driver) != (&tuning.key.adapter, &tuning.key.driver)
    });
    tunings.push(tuning);
    let text =
        serde_json::to_string_pretty(&Stored { tunings }).map_err(|error| TuningError::System(error.to_string()))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            TuningError::System(format!("{}: the folder cannot be made: {error}", folder.display()))
        })?;
    }
    unmix_data::write_file(&path, true, |out| writeln!(out, "{text}"))?;
    Ok(path)
}

/// Deletes the file, and returns its path if there was one.
///
/// # Errors
/// If the system refuses.
pub fn forget() -> Result<Option<PathBuf>, TuningError> {
    let Some(path) = path() else { return Ok(None) };
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TuningError::System(format!("{}: cannot be deleted: {error}", path.display()))),
    }
}

/// Makes an engine run the variants that were the fastest on its adapter, if they were measured and `UNMIX_VARIANTS`
/// does not say otherwise.
pub fn apply(engine: &WgpuEngine) {
    if std::env::var_os("UNMIX_VARIANTS").is_some_and(|text| !text.is_empty()) {
        return;
    }
    let key = Key::of(engine);
    let Some(tuning) = stored().into_iter().find(|tuning| tuning.key == key) else { return };
    for choice in &tuning.choices {
        let Some(preference) = preference(choice) else {
            log::warn!(
                "tuned variants: {:?} is no type of operands; ignored, `unmix tune` measures anew",
                choice.element
            );
            continue;
        };
        match engine.prefer(&preference) {
            Ok(()) => {
                log::info!("kernel {} on {} runs variant {}, as tuned", choice.kernel, choice.element, choice.variant);
            }
            Err(error) => log::warn!("a tuned variant is ignored, `unmix tune` measures anew: {error}"),
        }
    }
}

fn preference(choice: &Choice) -> Option<Preference> {
    let element = ElementType::ALL.into_iter().find(|element| element.name() == choice.element)?;
    Some(Preference { kernel: choice.kernel.clone(), element: Some(element), variant: choice.variant.clone() })
}
