//! The processes that compute a fit together.

use std::sync::Arc;

use unmix::{ActivationSource, Communicator};
use unmix_data::ActivationSet;

use crate::arguments;
use crate::failure::Failure;

/// Number of rows that are compared before a fit begins.
const COMPARED_ROWS: u64 = 64;

/// This process among those that compute a fit together.
#[derive(Clone, Debug)]
pub struct Ranks {
    /// The connection to the others.
    pub communicator: Arc<dyn Communicator>,
    /// Number of this process among those of its machine, from 0.
    pub local_rank: u32,
    /// Name of its machine.
    pub host: String,
}

impl Ranks {
    /// Whether this process writes and reports.
    pub fn is_first(&self) -> bool {
        self.communicator.rank() == 0
    }

    /// This process in messages.
    pub fn name(&self) -> String {
        format!("rank {} on {}", self.communicator.rank(), self.host)
    }

    /// The text of every rank.
    fn texts(&self, own: &str) -> Vec<String> {
        let parts = vec![own.as_bytes(); self.communicator.ranks() as usize];
        let received = self.communicator.exchange(&parts);
        received.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }

    /// Waits for the result of every rank. If some have failed, all fail, and one of them says why.
    pub fn together<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        let own = match &result {
            Ok(_) => String::new(),
            Err(failure) => format!("{}\n{}: {failure}", failure.exit_code(), self.name()),
        };
        let texts = self.texts(&own);
        let Some(place) = texts.iter().position(|text| !text.is_empty()) else { return result };
        let (code, told) = texts[place].split_once('\n').unwrap_or_default();
        // If all fail alike, it does not matter which of them tells.
        let alike = texts.iter().all(|text| message(text) == message(&texts[place]));
        Err(Failure::OfRanks {
            code: code.parse().unwrap_or(1),
            message: if alike { message(&texts[place]).to_owned() } else { told.to_owned() },
        })
    }

    /// Refuses ranks that would compute something else: another version, other options or other activations than rank 0.
    pub fn check_alike(&self, activations: &ActivationSet) -> Result<(), Failure> {
        let own = [
            ("version of unmix", env!("CARGO_PKG_VERSION").to_owned()),
            ("command line", arguments::texts().split_off(1).join(" ")),
            ("shape of the activations", shape(activations)),
            ("content of the activations", sample(activations)?),
        ];
        for (what, own) in &own {
            let texts = self.texts(own);
            if let Some(rank) = texts.iter().position(|other| *other != texts[0]) {
                return Err(Failure::OfRanks {
                    code: 2,
                    message: format!(
                        "the {what} differs between the ranks: {} on rank 0, and {} on rank {rank}; start all ranks with the same \
                         program, options and files",
                        texts[0], texts[rank]
                    ),
                });
            }
        }
        Ok(())
    }
}

/// The message in the text of a rank, without its name.
fn message(text: &str) -> &str {
    text.split_once('\n').and_then(|(_, told)| told.split_once(": ")).map_or("", |(_, message)| message)
}

fn shape(activations: &ActivationSet) -> String {
    format!("{} × {} {}", activations.tokens(), activations.neurons(), activations.element())
}

/// A hash of some rows, which shows whether two sets of files are likely to be the same.
fn sample(activations: &ActivationSet) -> Result<String, Failure> {
    let (tokens, bytes) = (activations.tokens(), activations.neurons() as usize * activations.element().bytes());
    let (mut row, mut sampled) = (vec![0; bytes], Vec::new());
    for number in 0..COMPARED_ROWS.min(tokens) {
        let token = number * (tokens - 1) / COMPARED_ROWS.min(tokens).saturating_sub(1).max(1);
        activations.read_rows(token..token + 1, &mut row).map_err(unmix_data::Error::Read)?;
        sampled.extend(row.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap_or_default())));
    }
    Ok(unmix_data::fingerprint_of_numbers(&sampled))
}
