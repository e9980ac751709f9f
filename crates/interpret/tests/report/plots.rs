//! The pages of sweeps and of links in a browser.

use serde_json::{Map, json};
use unmix_data::{InputRecord, Origin, TokenFilter};
use unmix_interpret::links::{self, FeatureGraph, GraphFeature, GraphFit, Link, Links, Measure, Persistence};
use unmix_interpret::sweep::{self, KeptFit, LayerSweep, SWEEP_VERSION, SweepPoint, SweepRecord};

use crate::browser::drive_page;

const DESKTOP: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (390, 844);

fn point(rank: u32, sparsity: f64, held_out: f64, stability: f64) -> SweepPoint {
    SweepPoint {
        rank,
        sparsity,
        kept_per_feature: (sparsity * 1000.0) as u32,
        seeds: vec![0, 1],
        relative_errors: vec![held_out - 0.1; 2],
        held_out_errors: vec![held_out - 0.01, held_out + 0.01],
        stabilities: vec![stability],
        reproducible_features: vec![rank / 2, rank / 2],
        dead_features: 0.0,
        duplicate_features: 0.5,
        active_features: 6.25,
        iterations: 31.0,
        seconds: 2.5,
    }
}

fn layer(name: &str) -> LayerSweep {
    let input = InputRecord {
        paths: vec!["x.npy".into()],
        stored_tokens: 900,
        filter: TokenFilter::default(),
        origin: Origin::default(),
        tensor: None,
        fingerprint: "none".to_owned(),
        tokens: 900,
        neurons: 1000,
        element: "f32".to_owned(),
    };
    let mut layer = LayerSweep::new(name.to_owned(), input);
    for (rank, held_out, stability) in [(25, 0.8, 0.7), (50, 0.5, 0.95), (100, 0.52, 0.8)] {
        layer.add(point(rank, 0.01, held_out + 0.1, stability));
        layer.add(point(rank, 0.05, held_out, stability));
    }
    let folder = "fits/K50-m50-seed0".to_owned();
    let report = Some("fits/K50 m50.html".to_owned());
    layer.fits.push(KeptFit { rank: 50, kept_per_feature: 50, seed: 0, folder, report });
    layer
}

fn record(layers: Vec<LayerSweep>) -> SweepRecord {
    SweepRecord {
        sweep_version: SWEEP_VERSION,
        unmix_version: "1.2.3".to_owned(),
        command_line: vec!["unmix".to_owned(), "<script>alert(1)</script>".to_owned()],
        settings: Map::from_iter([("penalty".to_owned(), json!(0.05))]),
        layers,
    }
}

#[test]
fn a_sweep_shows_what_is_recommended_and_each_dot_leads_to_its_row() {
    let page = sweep::render(&record(vec![layer("layer-12")]));
    for window in [DESKTOP, PHONE] {
        let found = drive_page(
            page.clone(),
            "",
            window,
            r##"
            const dots = all(".mark");
            dots[0].dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
            await settle();
            return {
              claim: text("h2"), plots: all(".plot").length, rows: all("tbody tr").length, chosen: text("tr.is-chosen td"),
              leads: dots.every((dot) => one(dot.getAttribute("href")) !== null), went: location.hash,
              report: one("td.fits a").getAttribute("href"), unfinished: one(".unfinished") !== null,
              wide: document.documentElement.scrollWidth > window.innerWidth, scripts: all("main script").length,
            };"##,
        );
        assert_eq!(found["claim"], "50 features of 50 neurons each");
        assert_eq!((&found["plots"], &found["rows"], &found["scripts"]), (&json!(4), &json!(6), &json!(0)));
        assert_eq!((&found["chosen"], &found["leads"]), (&json!("K = 50 · recommended"), &json!(true)));
        assert!(found["went"].as_str().expect("an address").starts_with("#layer-0-K"), "{found}");
        assert_eq!(found["report"], "fits/K50%20m50.html");
        assert_eq!((&found["unfinished"], &found["wide"]), (&json!(true), &json!(false)), "{window:?}");
    }
    // Without seeds and folds there is less to show, and several layers have a section each.
    let mut bare = layer("bare");
    for point in &mut bare.points {
        (point.held_out_errors, point.stabilities) = (Vec::new(), Vec::new());
    }
    let empty = LayerSweep { points: Vec::new(), recommendation: None, ..layer("empty") };
    let page = sweep::render(&record(vec![bare, empty, layer("whole")]));
    let found = drive_page(
        page,
        "",
        DESKTOP,
        r#"return { plots: all(".plot").length, claims: all("h2").map((n) => n.textContent) };"#,
    );
    assert_eq!(found["plots"], 2 + 4);
    assert_eq!(found["claims"][1], "Nothing is measured yet");
}

fn graph() -> FeatureGraph {
    let feature = |word: &str| GraphFeature {
        words: vec![word.to_owned()],
        explained_share: 0.01,
        active_share: 0.1,
        reproducibility: None,
    };
    let fit = |name: &str, words: &[&str]| GraphFit {
        name: name.to_owned(),
        relative_error: 0.5,
        tokens: 900,
        neurons: 1000,
        features: words.iter().map(|word| feature(word)).collect(),
    };
    let link = |first, second, similarity, is_match| Link { first, second, similarity, is_match };
    FeatureGraph {
        fits: vec![fit("two", &["months", "<b>colours"]), fit("three", &["red", "blue", "months"])],
        links: vec![Links {
            measure: Measure::Cosine,
            links: vec![link(0, 2, 0.95, true), link(1, 0, 0.7, true), link(1, 1, 0.6, false)],
            persistence: Persistence { same: 1, split: 1, merged: 0, lost: 0, new: 0 },
        }],
    }
}

#[test]
fn a_feature_is_followed_along_its_links() {
    let page = links::render(&graph(), "two and three");
    for window in [DESKTOP, PHONE] {
        let found = drive_page(
            page.clone(),
            "",
            window,
            r##"
            const click = (node) => node.dispatchEvent(new MouseEvent("click", { bubbles: true }));
            const named = (word) => all(".feature").find((node) => node.getAttribute("aria-label").startsWith(word));
            click(named("<b>colours"));
            const opened = text("#open h2");
            const links = all("#open .go").map((node) => node.textContent);
            const marked = all(".link.of-open").length;
            click(all("#open .go")[1]);
            const followed = text("#open h2");
            one("#least").value = "0.8";
            one("#least").dispatchEvent(new Event("input"));
            const weak = all(".link.weak").length;
            type("MONTHS");
            return { opened, links, marked, followed, weak, hits: all(".feature.hit").length, found: text("#found"),
              claim: text("#claim"), features: all(".feature").length, drawn: all(".link").length };"##,
        );
        assert_eq!((&found["opened"], &found["followed"]), (&json!("<b>colours"), &json!("blue")));
        assert_eq!(found["links"], json!(["red #0", "blue #1"]));
        assert_eq!((&found["marked"], &found["weak"], &found["drawn"]), (&json!(2), &json!(2), &json!(3)));
        assert_eq!((&found["hits"], &found["found"], &found["features"]), (&json!(2), &json!("2 features"), &json!(5)));
        assert_eq!(found["claim"], "1 of 2 features are the same in both fits");
    }
}
