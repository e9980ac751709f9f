//! What a sweep prints at its end.

use unmix_interpret::sweep::LayerSweep;

use super::folder::{PAGE_FILE, SweepFolder};
use crate::output::{Style, Table, duration, percent};

/// The points of each layer in a table, with the recommendation below it.
pub fn summary(folder: &SweepFolder) -> String {
    let style = Style::stdout();
    let layers = &folder.record.layers;
    let mut text = String::new();
    for layer in layers {
        if layers.len() > 1 {
            text += &format!("{}\n", style.strong(&layer.name));
        }
        text += &table(layer).render(style);
        if let Some(recommendation) = &layer.recommendation {
            let name = style.strong(&format!("K = {}", recommendation.rank));
            text += &format!("\nrecommended: {name}. {}\n\n", recommendation.reason);
        } else if !layer.points.is_empty() {
            text += "\nNothing is recommended: no token uses any feature. Are the activations all zero?\n\n";
        }
    }
    text += &format!(
        "Open {} in a browser. sweep.json and sweep.csv beside it have the numbers.\n",
        folder.path().join(PAGE_FILE).display()
    );
    text
}

fn table(layer: &LayerSweep) -> Table {
    let mut table = Table::new(&[
        "",
        ">features",
        ">neurons",
        ">error",
        ">held out",
        ">stability",
        ">come back",
        ">duplicates",
        ">dead",
        ">active",
        ">time",
    ]);
    let chosen = layer.recommendation.as_ref().map(|chosen| (chosen.rank, chosen.sparsity));
    for point in &layer.points {
        let or_dash =
            |value: Option<f64>, digits: usize| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.digits$}"));
        table.row(vec![
            if chosen == Some((point.rank, point.sparsity)) { "→".to_owned() } else { String::new() },
            point.rank.to_string(),
            format!("{} ({})", point.kept_per_feature, percent(point.sparsity)),
            format!("{:.4}", point.relative_error()),
            or_dash(point.held_out_error(), 4),
            or_dash(point.stability(), 3),
            or_dash(point.reproducible(), 0),
            format!("{:.1}", point.duplicate_features),
            format!("{:.1}", point.dead_features),
            format!("{:.1}", point.active_features),
            duration(point.seconds),
        ]);
    }
    table
}
