//! The page: its body, its style and its script, and the data between them.

use super::compact::page_data;
use super::model::Report;
use crate::page::{BASE_STYLE, DOM_SCRIPT, Page, THEME_SCRIPT};

const PAGE: Page<'_> = Page {
    body: include_str!("page/body.html"),
    styles: &[BASE_STYLE, include_str!("page/page.css")],
    scripts: &[
        DOM_SCRIPT,
        include_str!("page/meaning.js"),
        include_str!("page/data.js"),
        include_str!("page/charts.js"),
        include_str!("page/contexts.js"),
        include_str!("page/list.js"),
        include_str!("page/kept.js"),
        include_str!("page/notes.js"),
        include_str!("page/beside.js"),
        include_str!("page/detail.js"),
        include_str!("page/map.js"),
        include_str!("page/tree.js"),
        include_str!("page/concepts.js"),
        include_str!("page/views.js"),
        THEME_SCRIPT,
        include_str!("page/main.js"),
    ],
};

/// The report as one HTML file, which needs no network and no other file.
///
/// Everything in `report` is treated as text. The data are in the page as JSON, without any character that means
/// something in HTML. The script makes elements only from names and text. A Content-Security-Policy lets nothing run or
/// load but the page's own script and style, which it names by their SHA-256.
pub fn render(report: &Report) -> String {
    PAGE.render(&report.title, &page_data(report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::assert_harmless;

    #[test]
    fn names_of_parts_within_the_data_are_left_alone() {
        let report = Report { title: "{{script}} {{data}}".to_owned(), ..Report::default() };
        let page = render(&report);
        assert!(page.contains("<title>{{script}} {{data}}</title>"));
        assert_eq!(page.matches("\"use strict\"").count(), 1);
    }

    #[test]
    fn elements_are_made_of_names_and_text_alone() {
        assert_harmless(&PAGE);
    }
}
