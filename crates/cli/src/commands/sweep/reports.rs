//! Reports about the fits of a sweep.

use unmix_data::{read_fit, write_file};
use unmix_interpret::in_reading_order;
use unmix_interpret::report::{ReportParts, assemble, render};

use super::folder::SweepFolder;
use crate::failure::Failure;
use crate::interrupt;
use crate::progress::Reporter;
use crate::token_text::{TextArgs, read_text};

/// Contexts of each feature, and tokens on each side of a context, as `unmix report` has them.
const CONTEXTS: usize = 20;
const WINDOW: usize = 12;

/// Writes a report about one fit of each point, that of the first seed. Ctrl-C leaves those that are
/// written.
pub fn write(folder: &mut SweepFolder, text: &TextArgs, reporter: &Reporter) -> Result<(), Failure> {
    let path = folder.path().to_owned();
    let (mut written, mut left) = (0, 0);
    for layer in &mut folder.record.layers {
        let first = layer.points.iter().filter_map(|point| point.seeds.first()).min().copied();
        for kept in layer.fits.iter_mut().filter(|kept| Some(kept.seed) == first) {
            if interrupt::requested() {
                left += 1;
                continue;
            }
            let page = format!("{}.html", kept.folder);
            reporter.stage(&format!("writing {}", path.join(&page).display()));
            let dir = path.join(&kept.folder);
            let fit = in_reading_order(&read_fit(&dir)?).into_owned();
            let (text, _) = read_text(text, &fit, &dir)?;
            let report = assemble(&ReportParts {
                title: &format!("{}, K = {}", layer.name, kept.rank),
                fit: &fit,
                text: &text,
                labels: None,
                scores: None,
                parents: None,
                lens: None,
                tree: None,
                beside: None,
                contexts: CONTEXTS,
                window: WINDOW,
            });
            write_file(path.join(&page), true, |out| out.write_all(render(&report).as_bytes()))?;
            kept.report = Some(page);
            written += 1;
        }
    }
    folder.store()?;
    if left == 0 {
        return Ok(());
    }
    Err(Failure::Interrupted(format!(
        "interrupted with {written} reports written and {left} to go; everything is measured and saved in {}, and the same command \
         writes the reports",
        path.display()
    )))
}
