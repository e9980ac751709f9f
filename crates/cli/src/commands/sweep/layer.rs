//! A layer that is swept.

use std::path::Path;

use unmix::ActivationSource;
use unmix_data::ActivationSet;
use unmix_interpret::folds;
use unmix_interpret::sweep::{Sweep, default_ranks};

use super::args::SweepArgs;

use crate::failure::Failure;

/// Activations, and what is tried with them.
pub struct Layer {
    /// Name of the layer: that of its first file, without its ending. It can be the name of a folder.
    pub name: String,
    /// Its activations.
    pub set: ActivationSet,
    /// What is tried.
    pub sweep: Sweep,
}

impl Layer {
    /// Refuses ranks that the activations cannot have.
    pub fn new(args: &SweepArgs, set: ActivationSet) -> Result<Layer, Failure> {
        let (tokens, neurons) = (set.tokens(), set.neurons());
        let ranks = if args.rank.is_empty() { default_ranks(tokens, neurons) } else { args.rank.clone() };
        let prompts = set.token_columns().prompt_ids.as_deref();
        let fitted = match args.folds {
            0 => tokens,
            count => folds(tokens as usize, prompts, count, args.solver.seed).least_training_tokens(),
        };
        if fitted == 0 {
            return Err(Failure::Usage(format!(
                "--folds {}: {} holds {tokens} {}, so none would remain while others are held out; hold nothing out with --folds 0, \
                 or give more tokens",
                args.folds,
                set.names(),
                if tokens == 1 { "token" } else { "tokens" }
            )));
        }
        let most = fitted.min(neurons);
        if let Some(rank) = ranks.iter().find(|&&rank| u64::from(rank) > most) {
            return Err(Failure::Usage(format!(
                "--rank {rank}: {} holds {tokens} tokens × {neurons} neurons, of which {fitted} tokens remain while others are held \
                 out, so a rank from 1 to {most} is needed",
                set.names()
            )));
        }
        if args.folds > 0 && neurons < 2 {
            return Err(Failure::Usage(format!(
                "{}: one half of the neurons predicts the other, and there is only {neurons}; hold nothing out with --folds 0",
                set.names()
            )));
        }
        let width = u32::try_from(neurons).unwrap_or(u32::MAX);
        let mut sweep = Sweep::new(args.solver.options().builder(1), width)
            .ranks(ranks)
            .seeds(args.seeds)
            .folds(args.folds)
            .refinements(args.refine);
        if !args.sparsity.is_empty() {
            sweep = sweep.sparsities(args.sparsity.iter().copied());
        }
        Ok(Layer { name: name(set.files()[0].path()), set, sweep })
    }

    /// The prompts that are held out together, if that is how tokens are held out.
    pub fn prompts(&self, folds: u32) -> Option<&[i64]> {
        let ids = self.set.token_columns().prompt_ids.as_deref()?;
        (folds > 0 && ids.iter().any(|id| *id != ids[0])).then_some(ids)
    }

    /// Number of neurons.
    pub fn neurons(&self) -> u32 {
        u32::try_from(self.set.neurons()).unwrap_or(u32::MAX)
    }
}

/// The name of a file without its ending, unless only dots are left.
fn name(path: &Path) -> String {
    let stem = path.file_stem().filter(|stem| stem.to_string_lossy().contains(|letter| letter != '.'));
    stem.or(path.file_name()).unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
