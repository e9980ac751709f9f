//! What should be known about a feature before it is trusted, in short sentences.

use crate::{Activation, Health, Text};

/// A feature is one of first tokens if at least this share of its contexts is strongest there.
const FIRST_TOKENS: f64 = 0.8;

/// What a reader should know about a feature before trusting it. `peaks` are the tokens that its contexts were chosen for.
pub(super) fn notes(health: &Health, feature: usize, text: &Text, peaks: &[Activation]) -> Vec<String> {
    let mut notes = Vec::new();
    for pair in &health.duplicates {
        if pair.first == feature || pair.second == feature {
            let other = pair.first + pair.second - feature;
            let what = if pair.cosine > 0.0 { "near copy" } else { "near opposite" };
            notes.push(format!("{what} of #{other} (cosine {:.2})", pair.cosine));
        }
    }
    if let Some(identity) = health.token_identity.iter().find(|identity| identity.feature == feature) {
        let token = text.name(identity.row..identity.row + 1);
        notes.push(format!("one token, {token}, holds {:.0}% of its energy", 100.0 * identity.share));
    }
    if text.knows_prompts() && !peaks.is_empty() {
        let first = peaks.iter().filter(|peak| text.prompt(peak.row).start == peak.row).count();
        if first as f64 >= FIRST_TOKENS * peaks.len() as f64 {
            notes.push(format!("strongest at the first token of a text ({first} of {} contexts)", peaks.len()));
        }
    }
    if health.low_share.contains(&feature) {
        notes.push("explains little".to_owned());
    }
    if health.dead.contains(&feature) {
        notes.push("dead: no token uses it".to_owned());
    }
    notes
}
