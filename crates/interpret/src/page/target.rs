//! Where pages are written: an earlier page may be replaced, and no other file.

use std::path::Path;

use unmix_data::{Error, OwnFile, check_own_file_target};

/// What the shell of every page says before the title.
const OWN: OwnFile = OwnFile { name: "a page", mark: r#"<meta name="generator" content="unmix">"# };

/// Checks whether a page may be written to `path`, before the long work rather than after it. With `force`, a page that unmix
/// wrote may be replaced, and an empty file.
///
/// # Errors
/// If the file may not be written or replaced, or another file has that name.
pub fn check_page_target(path: impl AsRef<Path>, force: bool) -> Result<(), Error> {
    check_own_file_target(path, force, &OWN)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::page::Page;

    #[test]
    fn a_page_is_replaced_when_forced_and_no_other_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.html");
        check_page_target(&path, false).expect("nothing is there");

        let page = Page { body: "", styles: &[], scripts: &[] }.render("A title", &json!({}));
        fs::write(&path, page).expect("written");
        assert!(matches!(check_page_target(&path, false), Err(Error::FileExists(_))));
        check_page_target(&path, true).expect("a page may be replaced");

        fs::write(&path, "").expect("written");
        check_page_target(&path, true).expect("an empty file holds nothing");

        for other in ["{\"format\": 1}", "<!doctype html>\n<html lang=\"en\">\n<head>\n"] {
            fs::write(&path, other).expect("written");
            assert!(matches!(check_page_target(&path, true), Err(Error::NotReplaceable { .. })), "{other}");
        }
    }
}
