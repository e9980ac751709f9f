//! The page of a sweep: plots and a table of what was measured.

use serde_json::{Value, json};

use super::point::SweepPoint;
use super::record::{LayerSweep, SweepRecord};
use crate::page::{BASE_STYLE, DOM_SCRIPT, Page, THEME_SCRIPT};

const PAGE: Page<'_> = Page {
    body: include_str!("page/body.html"),
    styles: &[BASE_STYLE, include_str!("page/page.css")],
    scripts: &[DOM_SCRIPT, THEME_SCRIPT, include_str!("page/plot.js"), include_str!("page/main.js")],
};

/// The sweep as one HTML file, which needs no network and no other file. Reports about its fits are linked, if there are
/// any. Everything in `record` is treated as text.
pub fn render(record: &SweepRecord) -> String {
    let title = match record.layers.as_slice() {
        [layer] => format!("Number of features, {}", layer.name),
        layers => format!("Number of features, {} layers", layers.len()),
    };
    let data = json!({
        "title": title,
        "version": record.unmix_version,
        "command_line": record.command_line,
        "settings": record.settings,
        "layers": record.layers.iter().map(layer_data).collect::<Vec<_>>(),
    });
    PAGE.render(&title, &data)
}

fn layer_data(layer: &LayerSweep) -> Value {
    json!({
        "name": layer.name,
        "tokens": layer.input.tokens,
        "neurons": layer.input.neurons,
        "by_prompt": layer.prompts.is_some(),
        "complete": layer.complete,
        "recommendation": layer.recommendation,
        "points": layer.points.iter().map(|point| point_data(layer, point)).collect::<Vec<_>>(),
    })
}

fn point_data(layer: &LayerSweep, point: &SweepPoint) -> Value {
    let chosen = layer.recommendation.as_ref();
    json!({
        "rank": point.rank,
        "sparsity": point.sparsity,
        "kept": point.kept_per_feature,
        "error": point.relative_error(),
        "held_out": point.held_out_error(),
        "folds": point.held_out_errors,
        "stability": point.stability(),
        "stabilities": point.stabilities,
        "reproducible": point.reproducible(),
        "reproducible_features": point.reproducible_features,
        "dead": point.dead_features,
        "duplicates": point.duplicate_features,
        "active": point.active_features,
        "iterations": point.iterations,
        "seconds": point.seconds,
        "recommended": chosen.is_some_and(|r| (r.rank, r.sparsity) == (point.rank, point.sparsity)),
        "fits": layer.fits.iter().filter(|fit| fit.is_of(point)).collect::<Vec<_>>(),
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
