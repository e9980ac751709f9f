//! Checks of the number of features.

use unmix::ActivationSource;
use unmix_data::ActivationSet;

use crate::failure::Failure;

/// Refuses a rank that the activations cannot have.
pub fn check_rank(rank: u32, file: &ActivationSet) -> Result<(), Failure> {
    let (tokens, neurons) = (file.tokens(), file.neurons());
    let most = tokens.min(neurons);
    if rank == 0 || u64::from(rank) > most {
        return Err(Failure::Usage(format!(
            "--rank {rank}: {} holds {tokens} tokens × {neurons} neurons, so a rank from 1 to {most} is needed",
            file.names()
        )));
    }
    Ok(())
}
