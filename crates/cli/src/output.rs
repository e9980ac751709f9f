//! Stdout: text in one piece, numbers for people, tables.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
pub use unmix_fitting::size_text as bytes;

use console::{Alignment, measure_text_width, pad_str};
use serde::Serialize;
use serde_json::Value;
use unmix::{Engine, EngineKind};

use crate::failure::Failure;
use crate::terminal::{self, Marks};

/// Writes text to stdout, made fit for a terminal.
pub fn print(text: &str) -> Result<(), Failure> {
    let marks = if Style::stdout().colors { Marks::Kept } else { Marks::Escaped };
    write(&terminal::lines(text, marks))
}

fn write(text: &str) -> Result<(), Failure> {
    // A result is worth nothing if it comes from a file that has lost bytes since.
    unmix_data::check_mappings()?;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Output(error),
    })
}

/// Writes a value as JSON to stdout.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| Failure::Output(error.into()))?;
    text.push('\n');
    write(&terminal::json(&text))
}

/// A path among other text, on one line.
pub fn path(path: &Path) -> String {
    terminal::line(&path.display().to_string(), Marks::Escaped)
}

/// A path in JSON. Replacement characters stand for what is not UTF-8 in it.
pub fn json_path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

/// Whether and how text is marked.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colors: bool,
}

impl Style {
    /// Marks in a terminal. No marks if `NO_COLOR` is set or output goes elsewhere.
    pub fn of(stream: &impl IsTerminal) -> Style {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Style { colors: stream.is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// The style of stdout.
    pub fn stdout() -> Style {
        Style::of(&std::io::stdout())
    }

    /// No marks.
    #[cfg(test)]
    pub const PLAIN: Style = Style { colors: false };

    /// Marks headings and the word that matters.
    pub fn strong(self, text: &str) -> String {
        self.apply(terminal::STRONG, text)
    }

    /// Marks what may be overlooked.
    pub fn faint(self, text: &str) -> String {
        self.apply(terminal::FAINT, text)
    }

    /// Marks what went well.
    pub fn good(self, text: &str) -> String {
        self.apply(terminal::GOOD, text)
    }

    /// Marks what went wrong.
    pub fn error(self, text: &str) -> String {
        self.apply(terminal::ERROR, text)
    }

    fn apply(self, mark: &str, text: &str) -> String {
        let text = terminal::line(text, Marks::Escaped);
        if self.colors && !text.is_empty() { format!("{mark}{text}{}", terminal::END) } else { text }
    }
}

/// Columns that text may have: those of `COLUMNS`, or of the terminal, or else 110.
pub fn width() -> usize {
    const ELSEWHERE: usize = 110;
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let term = console::Term::stdout();
    let terminal = term.size_checked().map(|(_, columns)| usize::from(columns));
    given.or(terminal).unwrap_or(ELSEWHERE).clamp(60, 160)
}

/// A table of aligned columns.
#[derive(Clone, Debug)]
pub struct Table {
    titles: Vec<(&'static str, Alignment)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns. A title that starts with `>` belongs to a column that is aligned to the right.
    pub fn new(titles: &[&'static str]) -> Table {
        let titles = titles
            .iter()
            .map(|title| match title.strip_prefix('>') {
                Some(title) => (title, Alignment::Right),
                None => (*title, Alignment::Left),
            })
            .collect();
        Table { titles, rows: Vec::new() }
    }

    /// Adds a row. A cell stays on its line, whatever it contains.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(|cell| terminal::line(&cell, Marks::Kept)).collect());
    }

    /// The table as text, with two blanks between columns, and with a heading if there are titles.
    pub fn render(&self, style: Style) -> String {
        let widths: Vec<usize> = self
            .titles
            .iter()
            .enumerate()
            .map(|(column, (title, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0).max(measure_text_width(title))
            })
            .collect();
        let line = |cells: &[String]| {
            let padded: Vec<_> = cells
                .iter()
                .zip(&self.titles)
                .zip(&widths)
                .map(|((cell, (_, alignment)), &width)| pad_str(cell, width, *alignment, None).into_owned())
                .collect();
            padded.join("  ").trim_end().to_owned() + "\n"
        };
        let titles: Vec<String> = self.titles.iter().map(|(title, _)| (*title).to_owned()).collect();
        let mut text = String::new();
        if titles.iter().any(|title| !title.is_empty()) {
            text.push_str(&style.strong(line(&titles).trim_end()));
            text.push('\n');
        }
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }
}

/// The engine in words.
pub fn engine(engine: &dyn Engine) -> String {
    match engine.kind() {
        EngineKind::Cpu => engine.adapter().to_owned(),
        EngineKind::Gpu => format!("{} (wgpu)", engine.adapter()),
    }
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3%`, with two decimals below one percent.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        0.0 | 0.995.. => format!("{percent:.1}%"),
        ..0.005 => "<0.01%".to_owned(),
        _ => format!("{percent:.2}%"),
    }
}

/// `0.42 s`, `12 s`, `3 min 20 s`, `5 h 10 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    match seconds {
        s if s < 0.0995 => format!("{:.1} ms", s * 1e3),
        s if s < 0.995 => format!("{s:.2} s"),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 3599.5 => {
            let s = s.round() as u64;
            format!("{} min {} s", s / 60, s % 60)
        }
        s => {
            let minutes = (s / 60.0).round() as u64;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(215_040_000), "205 MiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(12), "12");
        assert_eq!(percent(0.5), "50.0%");
        assert_eq!(percent(0.0), "0.0%");
        assert_eq!(percent(0.000_34), "0.03%");
        assert_eq!(percent(-0.000_34), "-0.03%");
        assert_eq!(percent(1e-9), "<0.01%");
        assert_eq!(duration(0.004), "4.0 ms");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(119.6), "2 min 0 s");
        assert_eq!(duration(18_600.0), "5 h 10 min");
        assert_eq!(duration(f64::NAN), "?");
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let mut table = Table::new(&["name", ">n"]);
        table.row(vec!["a".into(), "1,000".into()]);
        table.row(vec!["longer".into(), "2".into()]);
        assert_eq!(table.render(Style::PLAIN), "name        n\na       1,000\nlonger      2\n");
    }

    #[test]
    fn a_name_with_a_line_break_stays_in_its_row() {
        let mut table = Table::new(&["name", ">n"]);
        table.row(vec!["a\n\x1b[2Jb".into(), "1".into()]);
        assert_eq!(table.render(Style::PLAIN), "name           n\na\\n\\u{1b}[2Jb  1\n");
        assert_eq!(Style { colors: true }.strong("a\x1b[0m\n"), "\x1b[1ma\\u{1b}[0m\\n\x1b[0m");
    }
}
