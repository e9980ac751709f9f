//! `unmix-mpi` under mpirun: the same result on any number of ranks, failures that end all ranks, and fits that go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TOKENS: usize = 3000;
const NEURONS: usize = 48;
/// A job ends so soon after one of its ranks was killed.
const SOON: Duration = Duration::from_secs(10);

/// A folder with activations, in one file and in shards.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().expect("a folder"));
        fs::create_dir(place.path("shards")).expect("a folder");
        let values: Vec<f32> = (0..TOKENS * NEURONS).map(value).collect();
        write_npy(&place.path("all.npy"), &values);
        for (number, shard) in values.chunks(1100 * NEURONS).enumerate() {
            write_npy(&place.path(&format!("shards/{number}.npy")), shard);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `mpirun` with one group of so many ranks for each of these command lines.
    fn mpirun(&self, groups: &[(u32, &str)]) -> Command {
        let mut command = mpirun();
        command.current_dir(self.0.path());
        for (number, (ranks, arguments)) in groups.iter().enumerate() {
            if number > 0 {
                command.arg(":");
            }
            command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_unmix-mpi")]);
            command.args(arguments.split_whitespace());
        }
        command
    }

    fn run(&self, ranks: u32, arguments: &str) -> Output {
        self.mpirun(&[(ranks, arguments)]).output().expect("mpirun; install OpenMPI")
    }

    /// The bytes of the factors of a fit over so many ranks.
    fn fit(&self, ranks: u32, input: &str, options: &str) -> Vec<u8> {
        let out = format!("fit-{ranks}");
        let ran = self.run(ranks, &format!("fit {input} --out {out} --force --engine cpu {options}"));
        assert!(ran.status.success(), "{ranks} ranks, {options}: {}", String::from_utf8_lossy(&ran.stderr));
        self.factors(&out)
    }

    fn factors(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("factorization.safetensors")).expect("a fit")
    }

    /// How a fit went.
    fn record(&self, out: &str) -> serde_json::Value {
        let text = fs::read(self.path(out).join("run.json")).expect("a fit");
        serde_json::from_slice(&text).expect("JSON")
    }
}

fn mpirun() -> Command {
    let mut command = Command::new("mpirun");
    // Tests may run as root, and on fewer cores than there are ranks.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1").env("OMPI_MCA_hwloc_base_binding_policy", "none");
    command.env("RAYON_NUM_THREADS", "1");
    command
}

/// Some numbers with structure: four groups of neurons, each active in some of the tokens, and noise.
fn value(place: usize) -> f32 {
    let (token, neuron) = (place / NEURONS, place % NEURONS);
    let noise = |seed: usize| {
        let mut state = (place + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((state >> 40) as f32 / (1 << 24) as f32) - 0.5
    };
    let group = neuron / 12;
    let strength = if (token * 7 + group * 3) % 5 < 2 { 1.0 + (token % 11) as f32 / 8.0 } else { 0.0 };
    strength * (if neuron % 2 == 0 { 1.0 } else { -0.5 }) + 0.2 * noise(1)
}

fn write_npy(path: &Path, values: &[f32]) {
    let shape = format!("({}, {NEURONS})", values.len() / NEURONS);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    fs::write(path, bytes).expect("writing");
}

#[test]
fn the_result_is_the_same_on_any_number_of_ranks() {
    let place = Place::new();
    for solver in ["hals", "projected-ls", "mu", "paper"] {
        let options = format!("--rank 6 --solver {solver} --max-iterations 12 --seed 5");
        let alone = place.fit(1, "all.npy", &options);
        let more: &[u32] = if solver == "hals" { &[2, 3, 4, 8] } else { &[2, 3] };
        for &ranks in more {
            assert!(place.fit(ranks, "all.npy", &options) == alone, "{solver} on {ranks} ranks");
        }
        assert!(place.fit(2, "shards", &options) == alone, "{solver} over shards");
        assert!(place.fit(3, "shards", &format!("{options} --stream always")) == alone, "{solver}, streamed");
    }
    let record = place.record("fit-3");
    assert_eq!(record["tokens"], TOKENS);
    let (one, two) = (place.record("fit-1"), place.record("fit-2"));
    assert_eq!(one["input"]["fingerprint"], two["input"]["fingerprint"]);
    assert_eq!(one["feature_statistics"], two["feature_statistics"]);
}

#[test]
fn a_mistake_is_told_once_and_nothing_is_left() {
    let place = Place::new();
    let ran = place.run(3, "fit all.npy --rank 900 --out fit");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{told}");
    assert_eq!(told.matches("--rank 900").count(), 1, "{told}");
    let ran = place.run(3, "fit all.npy --rank 3 --runs 5 --out fit");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(
        (ran.status.code(), told.matches("neither in segments nor on several ranks").count()),
        (Some(2), 1),
        "{told}"
    );
    assert!(!place.path("fit").exists() && !place.path("fit.partial").exists());
}

#[test]
fn ranks_that_disagree_are_told_before_the_work() {
    let place = Place::new();
    let same = "fit all.npy --rank 4 --out fit --engine cpu";
    let other = "fit all.npy --rank 4 --out fit --engine cpu --seed 9";
    let ran = place.mpirun(&[(1, same), (1, other)]).output().expect("mpirun");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(told.contains("the command line differs between the ranks") && told.contains("--seed 9"), "{told}");
    assert_eq!(ran.status.code(), Some(2));
    // The same name, but another content.
    fs::create_dir(place.path("elsewhere")).expect("a folder");
    let values: Vec<f32> = (0..TOKENS * NEURONS).map(|at| value(at) + 1.0).collect();
    write_npy(&place.path("elsewhere/all.npy"), &values);
    let mut command = place.mpirun(&[(1, same)]);
    command.args([":", "-n", "1", "--wdir"]).arg(place.path("elsewhere")).arg(env!("CARGO_BIN_EXE_unmix-mpi"));
    let ran = command.args(same.split_whitespace()).output().expect("mpirun");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(told.contains("the content of the activations differs"), "{told}");
    assert!(!place.path("fit").exists());
}

/// The processes of `unmix-mpi` that a job has started.
fn ranks_of(job: &Child) -> Vec<i32> {
    let is_rank = |pid: i32| parent_of(pid) == Some(job.id() as i32) && is_program(pid, "unmix-mpi");
    processes().filter(|&pid| is_rank(pid)).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
}

/// Whether a process runs the program of this name.
fn is_program(pid: i32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a fit has written its second checkpoint or a later one. Earlier ones are soon deleted.
fn has_second_checkpoint(partial: &Path) -> bool {
    let number = |name: &str| name.strip_prefix("checkpoint-")?.parse::<u32>().ok();
    let entries = fs::read_dir(partial).into_iter().flatten().flatten();
    entries.filter_map(|entry| number(entry.file_name().to_str()?)).any(|number| number > 0)
}

/// Waits until `holds`, but not for ever.
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_rank_that_panics_ends_all_and_names_itself_once() {
    let started = Instant::now();
    let ran = mpirun().args(["-n", "3"]).arg(env!("CARGO_BIN_EXE_panicking_rank")).output().expect("mpirun");
    assert!(started.elapsed() < SOON, "the job ended after {:?}", started.elapsed());
    let (told, printed) = (String::from_utf8_lossy(&ran.stderr), String::from_utf8_lossy(&ran.stdout));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("the name of this host");
    assert_eq!(told.matches(&format!("error: rank 2 on {}: ", host.trim())).count(), 1, "{told}");
    assert_eq!(told.matches("a mistake of this rank").count(), 1, "{told}");
    assert!(!ran.status.success() && !printed.contains("goes on"), "{printed}");
    wait_for("the ranks end", || !processes().any(|pid| is_program(pid, "panicking_rank")));
}

#[test]
fn a_job_ends_when_a_rank_is_killed_and_goes_on_with_another_number_of_ranks() {
    let place = Place::new();
    let options = "--rank 6 --max-iterations 300 --tolerance 0";
    let wanted = place.fit(1, "all.npy", options);
    for victim in 0..4 {
        let out = format!("killed-{victim}");
        let command = format!("fit all.npy --out {out} --checkpoint-every 1ms --engine cpu {options}");
        let mut command = place.mpirun(&[(4, &command)]);
        let mut job = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mpirun");
        wait_for("a checkpoint", || {
            if job.try_wait().expect("the job").is_some() {
                let told = std::io::read_to_string(job.stderr.take().expect("piped")).expect("text");
                panic!("the job ended before one of its ranks was killed: {told}");
            }
            has_second_checkpoint(&place.path(&format!("{out}.partial")))
        });
        let ranks = ranks_of(&job);
        assert_eq!(ranks.len(), 4, "the job has ended already, or its ranks are not found");
        // SAFETY: the process is a child of the job that this test has started.
        unsafe { libc::kill(ranks[victim], libc::SIGKILL) };
        let killed = Instant::now();
        let status = job.wait().expect("the job");
        assert!(killed.elapsed() < SOON, "the job ended after {:?}", killed.elapsed());
        assert!(!status.success());
        wait_for("the ranks end", || ranks.iter().all(|rank| parent_of(*rank).is_none()));
        assert!(!place.path(&out).exists(), "a result of a fit that has failed");
        let ran = place.run([2, 4, 3, 1][victim], &format!("fit --resume {out}"));
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        assert!(place.factors(&out) == wanted, "the fit went on elsewhere");
        assert!(!place.path(&format!("{out}.partial")).exists());
    }
}

#[test]
fn a_signal_stops_all_ranks_and_saves_the_best_so_far() {
    let place = Place::new();
    let command =
        "fit all.npy --rank 6 --max-iterations 100000 --tolerance 0 --engine cpu --out fit --checkpoint-every 1ms";
    let mut command = place.mpirun(&[(2, command)]);
    let mut job = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mpirun");
    wait_for("a checkpoint", || has_second_checkpoint(&place.path("fit.partial")));
    // A batch system tells one process. The others learn of it.
    // SAFETY: the process is a child of the job that this test has started.
    unsafe { libc::kill(ranks_of(&job)[1], libc::SIGTERM) };
    let _ = job.wait().expect("the job");
    assert_eq!(place.record("fit")["stop_reason"], "interrupted");
}
