//! Runs the command, and makes small files for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// The command, in an environment that is the same everywhere.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unmix"));
    command.args(args).env("COLUMNS", "100").stdin(Stdio::null());
    // What was tuned on this machine must not matter.
    command.env("UNMIX_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache"));
    for name in ["RUST_LOG", "NO_COLOR", "WGPU_BACKEND", "WGPU_ADAPTER_NAME", "UNMIX_VARIANTS"] {
        command.env_remove(name);
    }
    command
}

/// The result of a run of the command.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }

    /// Checks the exit code. Also checks that a failure prints nothing on stdout and one error on stderr.
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        if code != 0 && code < 128 {
            assert_eq!(self.stdout, "", "{}", self.stderr);
            assert_eq!(self.stderr.matches("error: ").count(), 1, "{}", self.stderr);
        }
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// Runs the command to its end.
pub fn unmix(args: &[&str]) -> Run {
    command(args).output().expect("started").into()
}

/// Tokens of [`Files`].
pub const TOKENS: usize = 120;
/// Neurons of [`Files`].
pub const NEURONS: usize = 24;
/// Tokens of a prompt.
pub const PROMPT: usize = 8;

/// A folder of small files, deleted at the end.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// An empty folder.
    pub fn new() -> Files {
        Files { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.folder.path().join(name), content).expect("written");
        self.path(name)
    }

    /// Names in the folder.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// Activations in which tokens of the kinds 0, 1 and 2 follow one another. Each kind has neurons of its own.
    pub fn activations(&self, name: &str) -> String {
        self.tensors(name, &[("activations", &values(), &[TOKENS, NEURONS])])
    }

    /// A file with matrices of f32 and the columns of tokens.
    pub fn tensors(&self, name: &str, matrices: &[(&str, &[f32], &[usize])]) -> String {
        let column = |value: fn(usize) -> usize| (0..TOKENS).map(|i| value(i) as i32).collect::<Vec<_>>();
        let columns = [
            ("token_ids", column(|i| i % 3)),
            ("prompt_ids", column(|i| i / PROMPT)),
            ("positions", column(|i| i % PROMPT)),
        ];
        self.with_columns(name, matrices, &columns.each_ref().map(|(name, values)| (*name, values.as_slice())))
    }

    /// A file with tensors of f32, and columns of i32.
    pub fn with_columns(
        &self,
        name: &str,
        matrices: &[(&str, &[f32], &[usize])],
        columns: &[(&str, &[i32])],
    ) -> String {
        let floats = matrices.iter().map(|(name, values, shape)| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (*name, Dtype::F32, bytes, shape.to_vec())
        });
        let integers = columns.iter().map(|(name, values)| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (*name, Dtype::I32, bytes, vec![values.len()])
        });
        let tensors: Vec<_> = floats.chain(integers).collect();
        let mut views = HashMap::new();
        for (name, dtype, bytes, shape) in &tensors {
            views.insert(*name, TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"));
        }
        self.write(name, safetensors::serialize(views, None).expect("a file"))
    }

    /// The values of [`Files::activations`] in a file that says where in a model they are from.
    pub fn of_place(&self, name: &str, model: &str, layer: &str, site: &str) -> String {
        let place = [("model", model), ("layer", layer), ("site", site)].map(|(key, value)| (key.into(), value.into()));
        let bytes: Vec<u8> = values().iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![TOKENS, NEURONS], &bytes).expect("a tensor");
        self.write(name, safetensors::serialize([("activations", view)], Some(place.into())).expect("a file"))
    }

    /// A batch of prompts, [TOKENS / PROMPT, PROMPT, NEURONS], and a mask of f32 beside it.
    pub fn batch(&self, name: &str, values: &[f32], mask: &[f32]) -> String {
        let prompts = TOKENS / PROMPT;
        let tensors =
            [("activations", values, &[prompts, PROMPT, NEURONS][..]), ("attention_mask", mask, &[prompts, PROMPT])];
        self.with_columns(name, &tensors, &[])
    }

    /// A matrix of f32 [rows, columns] as an npy file, which cannot have columns of tokens.
    pub fn npy(&self, name: &str, values: &[f32], columns: usize) -> String {
        let shape = format!("({}, {columns})", values.len() / columns);
        let header = format!("{:<117}\n", format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"));
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        self.write(name, bytes)
    }

    /// Fits the activations in `file`, and returns the folder of the fit, which is called `name`.
    pub fn fit(&self, file: &str, name: &str, options: &[&str]) -> String {
        let out = self.path(name);
        unmix(&[&["fit", file, "--engine", "cpu", "--out", &out, "-q"][..], options].concat()).expect(0);
        out
    }

    /// Runs a command that must be refused because of its input, with a message that contains all `words`. Checks that
    /// no file was added or removed.
    pub fn refused(&self, args: &[&str], words: &[&str]) {
        let before = self.names();
        let run = unmix(args).expect(2);
        words.iter().for_each(|word| assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr));
        assert_eq!(self.names(), before, "{args:?}");
    }

    /// The text of each token: a word for its kind.
    pub fn tokens(&self) -> String {
        let words = [" red", " green", " blue"];
        let texts: Vec<&str> = (0..TOKENS).map(|i| words[i % 3]).collect();
        self.write("tokens.json", serde_json::to_string(&texts).expect("JSON"))
    }
}

/// The values of [`Files::activations`].
pub fn values() -> Vec<f32> {
    (0..TOKENS * NEURONS)
        .map(|at| {
            let (i, j) = (at / NEURONS, at % NEURONS);
            let noise = ((at * 7919) % 101) as f32 / 101.0 - 0.5;
            let own = if j / 8 == i % 3 { (1.0 + (i % 7) as f32) * if j % 2 == 0 { 1.0 } else { -1.0 } } else { 0.0 };
            own + 0.05 * noise
        })
        .collect()
}

/// What `run.json` in the folder of a fit says.
pub fn run_of(fit: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(format!("{fit}/run.json")).expect("read")).expect("JSON")
}

/// Shape and values of a tensor of a safetensors file.
pub fn tensor(path: &str, name: &str) -> (Vec<usize>, Vec<f64>) {
    let bytes = std::fs::read(path).expect("read");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a file");
    let tensor = file.tensor(name).expect("a tensor");
    let of_four = |value: fn([u8; 4]) -> f64| tensor.data().as_chunks().0.iter().map(|bytes| value(*bytes)).collect();
    let of_eight = |value: fn([u8; 8]) -> f64| tensor.data().as_chunks().0.iter().map(|bytes| value(*bytes)).collect();
    let values = match tensor.dtype() {
        Dtype::F32 => of_four(|bytes| f32::from_le_bytes(bytes).into()),
        Dtype::I32 => of_four(|bytes| i32::from_le_bytes(bytes).into()),
        Dtype::F64 => of_eight(f64::from_le_bytes),
        other => panic!("{name} is {other:?}"),
    };
    (tensor.shape().to_vec(), values)
}

/// A file of the repository.
pub fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/demo").join(name)
}
