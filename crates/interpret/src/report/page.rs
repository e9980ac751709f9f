//! The page: a template, its style and its script, and the data between them.

use serde_json::Value;

use super::compact::page_data;
use super::digest::source_of;
use super::model::Report;

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// The files of the script share one scope. Later files use what earlier ones define.
const SCRIPT: [&str; 8] = [
    include_str!("page/dom.js"),
    include_str!("page/data.js"),
    include_str!("page/charts.js"),
    include_str!("page/contexts.js"),
    include_str!("page/list.js"),
    include_str!("page/detail.js"),
    include_str!("page/map.js"),
    concat!(include_str!("page/views.js"), include_str!("page/main.js")),
];

/// The report as one HTML file, which needs no network and no other file.
///
/// Everything in `report` is treated as text. The data are in the page as JSON, without any character that means
/// something in HTML. The script makes elements only from names and text. A Content-Security-Policy lets nothing run or
/// load but the page's own script and style, which it names by their SHA-256.
pub fn render(report: &Report) -> String {
    // A checkout with other line ends would change the digests that the browser computes.
    let style = unix_lines(STYLE);
    let script = unix_lines(&format!("\"use strict\";\n{{\n{}}}\n", SCRIPT.concat()));
    let parts = [
        ("title", escape_html(&report.title)),
        ("style-hash", source_of(&style)),
        ("script-hash", source_of(&script)),
        ("style", style),
        ("data", json_in_html(&page_data(report))),
        ("script", script),
    ];
    fill(&unix_lines(TEMPLATE), &parts)
}

/// Puts parts in the places of their names. What a part holds is not searched again.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once("}}").and_then(|(name, rest)| Some((parts.iter().find(|part| part.0 == name)?, rest))) {
            Some(((_, value), rest)) => {
                page.push_str(value);
                page.push_str(rest);
            }
            None => {
                page.push_str("{{");
                page.push_str(piece);
            }
        }
    }
    page
}

fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// JSON that neither ends its element nor opens another one. The characters that could do so occur only in strings, and
/// are escaped there.
fn json_in_html(value: &Value) -> String {
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_their_element_and_are_read_back_the_same() {
        let value = Value::from("</script><!--<script>&\u{2028}\u{2029}\u{0}\"\\");
        let text = json_in_html(&value);
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn names_of_parts_within_the_data_are_left_alone() {
        let report = Report { title: "{{script}} {{data}}".to_owned(), ..Report::default() };
        let page = render(&report);
        assert!(page.contains("<title>{{script}} {{data}}</title>"));
        assert_eq!(page.matches("\"use strict\"").count(), 1);
        assert!(fill("a{{x}}b{{y}}", &[("x", "{{y}}".to_owned())]) == "a{{y}}b{{y}}");
    }

    #[test]
    fn elements_are_made_of_names_and_text_alone() {
        let script = SCRIPT.concat();
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "DOMParser",
            "fetch(",
            "import(",
        ] {
            assert!(!script.contains(way), "{way}");
        }
        assert!(!script.contains("</script") && !STYLE.contains("</style"));
        let addresses: Vec<_> = [TEMPLATE, STYLE, &script].iter().flat_map(|t| t.match_indices("http")).collect();
        // The name of SVG's namespace, and `http-equiv`.
        assert_eq!(addresses.len(), 2, "{addresses:?}");
    }
}
