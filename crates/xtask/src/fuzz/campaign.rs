//! Many fuzzing processes. As many run at a time as the machine has cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use super::options::Options;

/// A process to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The target.
    pub target: String,
    /// Its number among the jobs.
    pub number: usize,
    /// How long it runs.
    pub seconds: u64,
}

/// The result of a job in which nothing failed.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Inputs that were tried.
    pub executions: u64,
    /// Points of the program that inputs have reached, if they are counted.
    pub covered: Option<u64>,
}

/// The folders of a campaign and its jobs.
#[derive(Debug)]
pub struct Campaign {
    /// Where cargo builds.
    pub target: PathBuf,
    /// Inputs that reached something new. They are kept for the next campaign.
    pub corpus: PathBuf,
    /// Inputs that failed.
    pub failures: PathBuf,
    /// Folder for the files that readers read. It is in memory if the system has such a folder.
    pub scratch: Scratch,
    /// Differs from campaign to campaign.
    pub seed: u64,
    jobs: Vec<Job>,
    threads: usize,
}

impl Campaign {
    /// The jobs that `options` ask for, with folders below cargo's `target`.
    pub fn new(options: &Options, target: PathBuf) -> Result<Campaign, String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let folder = target.join("xtask-fuzz");
        let (corpus, failures) = (folder.join("corpus"), folder.join("failures"));
        for folder in [&corpus, &failures] {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let jobs = jobs(options, threads);
        println!("{} processes of {} s each, {threads} at a time", jobs.len(), jobs[0].seconds);
        Ok(Campaign { target, corpus, failures, scratch: Scratch::create()?, seed, jobs, threads })
    }

    /// The program that makes inputs from seeds, and tries single ones.
    pub fn unmix_fuzz(&self) -> PathBuf {
        self.target.join("release").join(format!("unmix-fuzz{}", std::env::consts::EXE_SUFFIX))
    }

    /// Runs `work` for every job. Returns the results, sorted by target.
    pub fn run(&self, work: impl Fn(&Job) -> Result<Outcome, String> + Sync) -> Vec<(String, Result<Outcome, String>)> {
        let (next, done) = (Mutex::new(self.jobs.iter()), Mutex::new(Vec::new()));
        let take = || next.lock().ok().and_then(|mut jobs| jobs.next());
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    while let Some(job) = take() {
                        let outcome = work(job);
                        if let Ok(mut done) = done.lock() {
                            done.push((job.target.clone(), outcome));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_by(|a: &(String, _), b| a.0.cmp(&b.0));
        done
    }
}

/// Jobs for every target, as many as are needed to keep `threads` busy.
fn jobs(options: &Options, threads: usize) -> Vec<Job> {
    let targets = &options.targets;
    let count = targets.len() * threads.div_ceil(targets.len());
    let seconds = (options.minutes * 60.0 * threads as f64 / count as f64).ceil() as u64;
    (0..count).map(|number| Job { target: targets[number % targets.len()].clone(), number, seconds }).collect()
}

/// A folder that is removed with the value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    fn create() -> Result<Scratch, String> {
        let name = format!("unmix-xtask-fuzz-{}", std::process::id());
        let folders = [PathBuf::from("/dev/shm").join(&name), std::env::temp_dir().join(&name)];
        let created = folders.into_iter().find(|folder| fs::create_dir(folder).is_ok());
        created.map(Scratch).ok_or_else(|| "there is no folder for temporary files".to_owned())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cores_are_busy_for_the_minutes_asked_for() {
        let seconds = |targets: usize, threads| {
            let targets = (0..targets).map(|i| i.to_string()).collect();
            let jobs = jobs(&Options { minutes: 2.0, plain: false, targets }, threads);
            (jobs.len(), jobs[0].seconds)
        };
        assert_eq!(seconds(9, 2), (9, 27));
        assert_eq!(seconds(2, 8), (8, 120));
        assert_eq!(seconds(1, 1), (1, 120));
    }
}
