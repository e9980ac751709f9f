//! Pages in a headless Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use unmix_interpret::report::{Report, render};

/// Sizes of windows, in pixels.
pub const DESKTOP: (u32, u32) = (1280, 900);
pub const PHONE: (u32, u32) = (390, 844);

/// Windows are at least this wide, in pixels. Narrower pages are shown in a frame.
const NARROWEST: u32 = 500;

/// What the browser made of a page.
pub struct Outcome {
    /// The document at the end.
    pub dom: String,
    /// What the browser wrote to its console: errors, warnings, violations of the page's policy.
    pub console: Vec<String>,
    /// The result of the driver, if one ran.
    pub found: Value,
}

/// How a page is opened.
pub struct Visit<'a> {
    pub hash: &'a str,
    pub window: (u32, u32),
    /// A script of the test. It runs in the page, with the helpers of `driver.js`, and returns its result.
    pub driver: Option<&'a str>,
    /// Whether the page's policy is relaxed so that the driver may run.
    pub relaxed: bool,
    /// Whether clocks stand still while scripts run, so that waiting takes no time.
    pub virtual_time: bool,
}

impl Default for Visit<'_> {
    fn default() -> Self {
        Visit { hash: "", window: (1280, 900), driver: None, relaxed: true, virtual_time: true }
    }
}

/// Renders a report and opens it.
pub fn visit(report: &Report, visit: &Visit<'_>) -> Outcome {
    open(render(report), visit)
}

/// Opens a page.
pub fn open(mut page: String, visit: &Visit<'_>) -> Outcome {
    if let Some(driver) = visit.driver {
        if visit.relaxed {
            let start = page.find("script-src '").expect("a policy for scripts") + "script-src ".len();
            let end = start + page[start..].find(';').expect("its end");
            page.replace_range(start..end, "'unsafe-inline'");
        }
        let helpers = include_str!("driver.js");
        let end = page.rfind("</body>").expect("the end of the page");
        page.insert_str(end, &format!("<script>{}</script>", helpers.replace("/* driver */", driver)));
    }
    // This is not the system's folder for temporary files, because a Chromium in a container of its own (snap) cannot
    // see that one.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let file = folder.path().join("report.html");
    std::fs::write(&file, page).expect("the page is written");
    let mut address = format!("file://{}{}", file.display(), visit.hash);
    if visit.window.0 < NARROWEST {
        let around = folder.path().join("around.html");
        let (width, height) = visit.window;
        let frame = format!(
            "<!doctype html><body><iframe src=\"{address}\" width=\"{width}\" height=\"{height}\" style=\"border: 0\"></iframe>\
             <script>addEventListener(\"message\", (event) => {{ const pre = document.createElement(\"pre\"); pre.id = \"driver\"; \
             pre.textContent = event.data; document.body.append(pre); }});</script>"
        );
        std::fs::write(&around, frame).expect("the frame is written");
        address = format!("file://{}", around.display());
    }

    let mut command = Command::new(chromium());
    for option in [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--dump-dom",
    ] {
        command.arg(option);
    }
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    command.arg(format!("--window-size={},{}", visit.window.0, visit.window.1));
    if visit.virtual_time {
        command.arg("--virtual-time-budget=20000");
    }
    let output = command.arg(address).output().expect("Chromium starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Chromium failed ({}):\n{log}", output.status);
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let found = dom.split("<pre id=\"driver\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found.map_or(Value::Null, |text| serde_json::from_str(text).expect("the driver writes JSON"));
    Outcome { dom, console, found }
}

/// Runs a driver in the page of a report and returns its result. Nothing may go wrong.
pub fn drive(report: &Report, hash: &str, window: (u32, u32), driver: &str) -> Value {
    drive_page(render(report), hash, window, driver)
}

/// The same in any page.
pub fn drive_page(page: String, hash: &str, window: (u32, u32), driver: &str) -> Value {
    let outcome = open(page, &Visit { hash, window, driver: Some(driver), ..Visit::default() });
    assert_eq!(outcome.console, [""; 0]);
    assert!(outcome.found.get("error").is_none(), "{}", outcome.found);
    assert!(outcome.found.is_object(), "the driver did not end: {}", outcome.found);
    outcome.found
}

/// The browser: `UNMIX_CHROMIUM`, or the first of the known names on the path.
fn chromium() -> PathBuf {
    if let Some(path) = std::env::var_os("UNMIX_CHROMIUM").filter(|value| !value.is_empty()) {
        assert!(Path::new(&path).is_file(), "UNMIX_CHROMIUM={} is no file; mend or unset it", path.display());
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let found =
        names.iter().find_map(|name| std::env::split_paths(&path).map(|f| f.join(name)).find(|file| file.is_file()));
    found.expect(
        "the report's tests need Chromium or Chrome, and none is on the path. `cargo xtask test` installs it on Debian; \
         elsewhere install it (Debian: `apt-get install chromium`, Fedora: `dnf install chromium`) or set UNMIX_CHROMIUM to \
         the program",
    )
}
