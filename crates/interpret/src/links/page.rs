//! The page of a graph: a column for each fit, and the links between neighbours.

use serde_json::{Value, json};

use super::graph::{FeatureGraph, GraphFit};
use super::link::Links;
use crate::REPRODUCIBLE;
use crate::page::{BASE_STYLE, DOM_SCRIPT, Page, THEME_SCRIPT};

const PAGE: Page<'_> = Page {
    body: include_str!("page/body.html"),
    styles: &[BASE_STYLE, include_str!("page/page.css")],
    scripts: &[DOM_SCRIPT, THEME_SCRIPT, include_str!("page/layout.js"), include_str!("page/main.js")],
};

/// The graph as one HTML file, which needs no network and no other file. Everything in `graph` is treated as text.
pub fn render(graph: &FeatureGraph, title: &str) -> String {
    let data = json!({
        "title": title,
        "reproducible_from": REPRODUCIBLE,
        "fits": graph.fits.iter().map(fit_data).collect::<Vec<_>>(),
        "links": graph.links.iter().map(links_data).collect::<Vec<_>>(),
    });
    PAGE.render(title, &data)
}

fn fit_data(fit: &GraphFit) -> Value {
    json!({
        "name": fit.name,
        "error": fit.relative_error,
        "features": fit.features.iter().map(|feature| json!({
            "words": feature.words,
            "share": feature.explained_share,
            "active": feature.active_share,
            "reproducibility": feature.reproducibility,
        })).collect::<Vec<_>>(),
    })
}

/// Links are short lists, because there may be many: first feature, second feature, similarity with three digits, and
/// whether they are counterparts.
fn links_data(links: &Links) -> Value {
    let short = |similarity: f32| (f64::from(similarity) * 1e3).round() / 1e3;
    json!({
        "measure": links.measure.name(),
        "same_from": short(links.measure.same_from()),
        "linked_from": short(links.measure.linked_from()),
        "persistence": links.persistence,
        "links": links.links.iter()
            .map(|link| json!([link.first, link.second, short(link.similarity), u8::from(link.is_match)]))
            .collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::assert_harmless;

    #[test]
    fn elements_are_made_of_names_and_text_alone() {
        assert_harmless(&PAGE);
    }
}
