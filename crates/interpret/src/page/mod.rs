//! Pages: HTML files that need no network and no other file. Each is put together from a shell that all pages have, its
//! body, styles and scripts, with its data as JSON between them.

mod digest;
mod target;

use serde_json::Value;

use self::digest::source_of;
pub use self::target::check_page_target;

/// What surrounds the body of a page.
const SHELL: &str = include_str!("shell.html");
/// What pages have in common: colours, fonts and the elements that every page has.
pub(crate) const BASE_STYLE: &str = include_str!("base.css");
/// What scripts of pages have in common: elements, numbers for people, hints.
pub(crate) const DOM_SCRIPT: &str =
    concat!(include_str!("dom.js"), include_str!("numbers.js"), include_str!("hints.js"));
/// The choice between light and dark.
pub(crate) const THEME_SCRIPT: &str = include_str!("theme.js");

/// The parts of a page.
pub(crate) struct Page<'a> {
    /// HTML of the elements that the scripts fill.
    pub body: &'a str,
    /// Style sheets.
    pub styles: &'a [&'a str],
    /// Scripts. They share one scope, and later ones use what earlier ones define.
    pub scripts: &'a [&'a str],
}

impl Page<'_> {
    /// The page as one HTML file.
    ///
    /// The title and everything in `data` are treated as text. The data are in the page as JSON, without any character
    /// that means something in HTML. A Content-Security-Policy lets nothing run or load but the page's own script and
    /// style, which the shell names by their SHA-256.
    pub fn render(&self, title: &str, data: &Value) -> String {
        // A checkout with other line ends would change the digests that the browser computes.
        let style = unix_lines(&self.styles.concat());
        let script = unix_lines(&format!("\"use strict\";\n{{\n{}}}\n", self.scripts.concat()));
        let parts = [
            ("title", escape_html(title)),
            ("style-hash", source_of(&style)),
            ("script-hash", source_of(&script)),
            ("body", unix_lines(self.body)),
            ("style", style),
            ("data", json_in_html(data)),
            ("script", script),
        ];
        fill(&unix_lines(SHELL), &parts)
    }
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

/// Checks that scripts make elements of names and text alone, and that a page names no address.
#[cfg(test)]
pub(crate) fn assert_harmless(page: &Page<'_>) {
    let (script, style) = (page.scripts.concat(), page.styles.concat());
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
    assert!(!script.contains("</script") && !style.contains("</style"));
    let addresses: Vec<_> = [SHELL, page.body, &style, &script].iter().flat_map(|t| t.match_indices("http")).collect();
    // The name of SVG's namespace, and `http-equiv`.
    assert_eq!(addresses.len(), 2, "{addresses:?}");
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
    fn what_a_part_holds_is_not_searched_for_places() {
        assert_eq!(fill("a{{x}}b{{y}}", &[("x", "{{y}}".to_owned())]), "a{{y}}b{{y}}");
    }
}
