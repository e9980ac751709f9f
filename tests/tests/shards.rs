//! Activations in several files give what one file gives, to the bit, on every engine, resident and streamed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use unmix::{ActivationSource, ElementType, Engine, Factorization, SemiNmf, Solver, StreamOptions};
use unmix_data::{ActivationSet, Fingerprinting, NormLimit, OpenOptions, TokenFilter};
use unmix_tests::{Dense, engines_with_panels};

/// A matrix of f32 as an npy file.
fn write(path: &Path, values: &[f32], columns: usize) {
    let shape = format!("({}, {columns})", values.len() / columns);
    let header = format!("{:<117}\n", format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    std::fs::write(path, bytes).expect("written");
}

fn open(path: &Path) -> ActivationSet {
    ActivationSet::open(&[path.to_owned()], &OpenOptions::default()).expect("opened")
}

/// Bytes of a panel: a few dozen rows, so that shards and panels end at different rows.
const PANEL_BYTES: u64 = 40_000;

/// Activations that count the rows that are read, or used in place.
struct Counting {
    set: ActivationSet,
    rows: AtomicU64,
}

impl Counting {
    fn new(set: &ActivationSet) -> Self {
        Counting { set: set.clone(), rows: AtomicU64::new(0) }
    }

    fn count(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

impl ActivationSource for Counting {
    fn tokens(&self) -> u64 {
        self.set.tokens()
    }

    fn neurons(&self) -> u64 {
        self.set.neurons()
    }

    fn element(&self) -> ElementType {
        self.set.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.rows.fetch_add(rows.end - rows.start, Ordering::Relaxed);
        self.set.read_rows(rows, out)
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        let bytes = self.set.shared_rows(rows.clone())?;
        self.rows.fetch_add(rows.end - rows.start, Ordering::Relaxed);
        Some(bytes)
    }
}

/// Fits resident and streamed activations, and checks that their fingerprint is `fingerprint` and took no read of its own.
fn fits(engine: &dyn Engine, set: &ActivationSet, solver: Solver, fingerprint: &str) -> [Factorization; 2] {
    let settings = SemiNmf::new(6).sparsity(0.3).solver(solver).max_iterations(4).tolerance(0.0);
    let source = || Fingerprinting::new(Counting::new(set));
    let (resident, streamed) = (source(), Arc::new(source()));
    let activations = [
        engine.load(&resident).expect("loaded"),
        engine.stream(Arc::clone(&streamed) as _, &StreamOptions::default()).expect("a stream"),
    ];
    let fits = activations.map(|activations| settings.fit(engine, &activations).expect("a fit"));
    assert_eq!(resident.source().count(), set.tokens(), "resident activations are read once");
    for source in [&resident, &streamed] {
        let before = source.source().count();
        assert_eq!(source.fingerprint().expect("hashed"), fingerprint);
        assert_eq!(source.source().count(), before, "all rows went by before");
    }
    fits
}

fn assert_same(what: &str, a: &Factorization, b: &Factorization) {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(bits(&a.features.values) == bits(&b.features.values), "{what}: features");
    assert!(bits(&a.coefficients.values) == bits(&b.coefficients.values), "{what}: coefficients");
    assert_eq!(a.summary.relative_error.to_bits(), b.summary.relative_error.to_bits(), "{what}: relative error");
}

#[test]
fn seven_shards_give_the_bits_of_one_file_resident_and_streamed() {
    let folder = temporary("shards");
    let (tokens, neurons) = (911, 53);
    let values: Vec<f32> =
        Dense::random(5, tokens, neurons, ElementType::F32).values.iter().map(|&v| v as f32).collect();
    write(&folder.join("one.npy"), &values, neurons);
    std::fs::create_dir_all(folder.join("seven")).expect("created");
    let cuts = [0, 1, 130, 131, 400, 640, 777, tokens];
    for (i, rows) in cuts.windows(2).enumerate() {
        write(&folder.join(format!("seven/{}.npy", i + 5)), &values[rows[0] * neurons..rows[1] * neurons], neurons);
    }
    let (one, seven) = (open(&folder.join("one.npy")), open(&folder.join("seven")));
    let fingerprint = unmix_data::fingerprint(&one).expect("hashed");
    for engine in engines_with_panels(PANEL_BYTES) {
        for solver in Solver::ALL {
            let expected = &fits(engine.as_ref(), &one, solver, &fingerprint)[0];
            for (fit, how) in fits(engine.as_ref(), &seven, solver, &fingerprint).iter().zip(["resident", "streamed"]) {
                assert_same(&format!("{solver:?}, {how}, {}", engine.adapter()), fit, expected);
            }
        }
    }
}

#[test]
fn tokens_that_are_left_out_leave_the_bits_of_a_file_without_them() {
    let folder = temporary("leaving_out");
    let (tokens, neurons) = (700, 41);
    let values: Vec<f32> =
        Dense::random(6, tokens, neurons, ElementType::F32).values.iter().map(|&v| v as f32).collect();
    let is_begin = |row: usize| row.is_multiple_of(9);
    let with: Vec<f32> =
        (0..values.len()).map(|i| values[i] * if is_begin(i / neurons) { 100.0 } else { 1.0 }).collect();
    let without: Vec<f32> = (0..values.len()).filter(|i| !is_begin(i / neurons)).map(|i| values[i]).collect();
    write(&folder.join("with.npy"), &with, neurons);
    write(&folder.join("without.npy"), &without, neurons);
    let filter = TokenFilter { max_norm: Some(NormLimit::TimesMedian(10.0)), ..TokenFilter::default() };
    let left = open(&folder.join("with.npy")).filtered(&filter).expect("filtered");
    let plain = open(&folder.join("without.npy"));
    let fingerprint = unmix_data::fingerprint(&plain).expect("hashed");
    for engine in engines_with_panels(PANEL_BYTES) {
        let expected = &fits(engine.as_ref(), &plain, Solver::Hals, &fingerprint)[0];
        for (fit, how) in fits(engine.as_ref(), &left, Solver::Hals, &fingerprint).iter().zip(["resident", "streamed"])
        {
            assert_same(&format!("{how}, {}", engine.adapter()), fit, expected);
        }
    }
}

/// A folder of this test program's own.
fn temporary(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shards_test").join(name);
    std::fs::create_dir_all(&folder).expect("created");
    folder
}
