//! Executions, each in a process of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use unmix_fuzz::Target;

use super::plan::Plan;

/// How an execution failed.
#[derive(Debug)]
pub struct Failure {
    /// How the process ended.
    status: String,
    /// What the process printed.
    words: String,
}

impl Failure {
    /// Whether it is the same mistake: the same line panicked, or the process ended in the same way.
    pub fn is_like(&self, other: &Failure) -> bool {
        self.status == other.status && self.line() == other.line()
    }

    /// Everything that the process printed. It includes the backtrace of a panic if the environment asks for one.
    pub fn in_full(&self) -> String {
        format!("{}\n{}", self.status, self.words.trim())
    }

    /// The `file:line:column` of a panic.
    fn line(&self) -> Option<&str> {
        self.words.lines().find_map(|line| line.split_once("panicked at ")).map(|(_, place)| place)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, _) = self.words.split_once("\nstack backtrace:").unwrap_or((&self.words, ""));
        write!(f, "{}\n{}", self.status, words.trim())
    }
}

/// Starts processes for one target.
pub struct Trials {
    pub target: &'static Target,
    program: PathBuf,
    /// Folder for the files of all processes.
    folder: TempDir,
}

impl Trials {
    pub fn new(target: &'static Target) -> Result<Trials, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program is not known: {error}"))?;
        // The folder is in memory if the system has such a place, because each execution writes files.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| TempDir::new());
        let folder = folder.map_err(|error| format!("no folder for temporary files: {error}"))?;
        Ok(Trials { target, program, folder })
    }

    /// Tries the inputs of a plan. Returns how many were tried, and how the last one failed, if it did.
    pub fn work(&self, plan: &Plan) -> Result<(u64, Option<Failure>), String> {
        let progress = self.folder.path().join("progress");
        let mut worker = Command::new(&self.program);
        worker.args(["worker", self.target.name, "--seed", &plan.seed.to_string(), "--progress"]).arg(&progress);
        for (option, value) in [("--executions", plan.executions), ("--seconds", plan.seconds)] {
            if let Some(value) = value {
                worker.args([option, &value.to_string()]);
            }
        }
        let failure = self.start(worker)?;
        let count = std::fs::read(&progress).ok().and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
        match (count, failure) {
            (None, Some(failure)) => Err(format!("{}: no execution began: {failure}", self.target.name)),
            (count, failure) => Ok((count.unwrap_or(0), failure)),
        }
    }

    /// Tries one input. Returns how it failed, if it did.
    pub fn execute(&self, input: &[u8]) -> Result<Option<Failure>, String> {
        let file = self.folder.path().join("input");
        std::fs::write(&file, input).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut trial = Command::new(&self.program);
        trial.args(["trial", self.target.name]).arg(&file);
        self.start(trial)
    }

    fn start(&self, mut command: Command) -> Result<Option<Failure>, String> {
        for variable in ["TMPDIR", "TMP", "TEMP"] {
            command.env(variable, self.folder.path());
        }
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{} did not start: {error}", self.program.display()))?;
        let failed = |words: Vec<u8>| Failure {
            status: output.status.to_string(),
            words: String::from_utf8_lossy(&words).into_owned(),
        };
        Ok((!output.status.success()).then(|| failed(output.stderr)))
    }
}
