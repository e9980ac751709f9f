//! Where exports may be written, and that a refused export leaves nothing behind.

use std::path::Path;

use unmix_interpret::export::{Architecture, DelphiOptions, ExportError, ScaledFit, Site, delphi, saelens};

use crate::fixtures::{Folder, fit, site};

#[test]
fn only_earlier_exports_are_replaced() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let write = |force| delphi(&folder.out(), &fit, &site(), &DelphiOptions::default(), force);
    write(false).expect("written");
    assert!(matches!(write(false), Err(ExportError::Data(unmix_data::Error::Exists(_)))));
    write(true).expect("replaced");
    std::fs::write(folder.out().join("layers.3.mlp/notes.txt"), "years of work").expect("written");
    let error = write(true).expect_err("refused").to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert!(folder.out().join("layers.3.mlp/notes.txt").exists());
    assert_eq!(folder.names(), ["out"]);
}

#[test]
fn nothing_is_left_behind_where_nothing_can_be_written() {
    let (record, _) = fit();
    let fit = ScaledFit::new(&record).expect("scaled");
    let folder = Folder::new();
    let below = folder.0.path().join("no/such/parent");
    assert!(saelens(&below, &fit, Architecture::MatchingPursuit, &site(), false).is_err());
    // A name of a module that leads out of the folder.
    for hook in ["../outside", "/outside", "a/../../b", ""] {
        let site = Site { hook: Some(hook.to_owned()), ..site() };
        let error = delphi(&folder.out(), &fit, &site, &DelphiOptions::default(), false).expect_err("refused");
        assert!(error.to_string().contains("--hook"), "{error}");
    }
    assert!(folder.names().is_empty() && !Path::new("/outside").exists());
}
