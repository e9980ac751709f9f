//! What is no regular file: folders, pipes, sockets and devices are refused at once.

use std::path::Path;

use unmix_data::{
    ActivationFile, Error, OpenOptions, PromptLabels, TokenStrings, Vocabulary, Weights, read_fit, read_matrix,
};

/// Every reader, on a path that is none of its files.
fn errors(path: &Path) -> Vec<(&'static str, Error)> {
    fn refused<T>(result: Result<T, Error>) -> Error {
        result.err().expect("must be refused")
    }
    vec![
        ("activations", refused(ActivationFile::open(path, &OpenOptions::default()))),
        ("matrix", refused(read_matrix(path, None))),
        ("labels", refused(PromptLabels::read(path))),
        ("tokens", refused(TokenStrings::from_rows(path, 1))),
        ("vocabulary", refused(Vocabulary::read(path))),
        ("weights", refused(Weights::open(&[path.to_owned()]))),
    ]
}

#[test]
fn names_that_no_file_can_have_are_missing_files() {
    for name in ["a\0b.npy".to_owned(), "n".repeat(5000)] {
        for (reader, error) in errors(Path::new(&name)) {
            assert!(matches!(error, Error::NotFound(_)) && error.is_usage(), "{reader}: {error}");
        }
    }
}

#[test]
fn folders_are_refused_with_what_to_name_instead() {
    let folder = tempfile::tempdir().expect("folder");
    for (reader, error) in errors(folder.path()).iter().filter(|(reader, _)| *reader != "weights") {
        assert!(matches!(error, Error::NotAFile { found: "a folder", .. }), "{reader}: {error}");
    }
}

#[test]
fn folders_that_are_a_format_are_called_by_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    for (file, words) in
        [("x/.zarray", "Zarr"), ("y/zarr.json", "Zarr"), ("z/dataset_info.json", "data set"), ("f/run.json", "fit")]
    {
        let path = folder.path().join(file);
        std::fs::create_dir(path.parent().expect("a folder")).expect("created");
        std::fs::write(&path, "{}").expect("written");
        let error =
            ActivationFile::open(path.parent().expect("a folder"), &OpenOptions::default()).expect_err("refused");
        assert!(error.is_usage() && error.to_string().contains(words), "{error}");
    }
    let empty = folder.path().join("empty.zarr");
    std::fs::create_dir(&empty).expect("created");
    let text = ActivationFile::open(&empty, &OpenOptions::default()).expect_err("refused").to_string();
    assert!(text.contains("Zarr") && text.contains("numpy.save"), "{text}");
}

#[test]
fn files_that_are_too_large_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("large.json");
    // It takes no room on the disk.
    std::fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    for error in [
        PromptLabels::read(&path).expect_err("refused"),
        TokenStrings::from_rows(&path, 1).expect_err("refused"),
        Vocabulary::read(&path).expect_err("refused"),
        Weights::open(&[path]).expect_err("refused"),
    ] {
        assert!(error.is_usage() && error.to_string().contains("1099511627776 bytes"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_devices_do_not_block_a_reader() {
    let folder = tempfile::tempdir().expect("folder");
    let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    for path in [pipe.as_path(), socket.as_path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
        for (reader, error) in errors(path) {
            assert!(error.is_usage() && error.to_string().contains("this is a device or pipe"), "{reader}: {error}");
        }
    }

    // Within folders too.
    let fit = folder.path().join("fit");
    std::fs::create_dir(&fit).expect("created");
    std::fs::write(fit.join("factorization.safetensors"), "x").expect("written");
    std::os::unix::fs::symlink("/dev/zero", fit.join("run.json")).expect("linked");
    let text = read_fit(&fit).expect_err("refused").to_string();
    assert!(text.contains("run.json: this is a device or pipe"), "{text}");
    let model = folder.path().join("model");
    std::fs::create_dir(&model).expect("created");
    std::fs::write(model.join("model.safetensors"), b"\x02\0\0\0\0\0\0\0{}").expect("written");
    std::fs::rename(&pipe, model.join("config.json")).expect("moved");
    let text = Weights::open(&[model]).expect_err("refused").to_string();
    assert!(text.contains("config.json: this is a device or pipe"), "{text}");
}
