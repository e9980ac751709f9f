"""Opens a delphi export: python open_delphi.py EXPORT FIT ACTIVATIONS"""
import sys

import numpy as np
from common import Fit, below, finish, same
from delphi.config import ConstructorConfig, SamplerConfig
from delphi.latents import LatentDataset


class Words:
    """As much of a tokenizer as delphi needs."""

    def batch_decode(self, ids):
        return [str(i) for i in ids]

    def decode(self, ids):
        return " ".join(self.batch_decode(ids))


fit = Fit(*sys.argv[2:4])
constructor = ConstructorConfig(min_examples=1, n_non_activating=0)
cache = LatentDataset(sys.argv[1], SamplerConfig(n_examples_train=5, n_examples_test=5), constructor, Words())

starts = np.flatnonzero(np.r_[True, fit.prompt_ids[1:] != fit.prompt_ids[:-1]])
lengths = np.diff(np.r_[starts, len(fit.prompt_ids)])
tokens = cache.tokens.numpy()
same("prompts", tokens.shape[0], len(starts))
wrong = sum((tokens[i, :n] != fit.token_ids[s : s + n]).sum() for i, (s, n) in enumerate(zip(starts, lengths)))
same("token ids that differ", wrong, 0)

read = np.zeros_like(fit.coefficients)
count = 0
for buffer in cache.buffers:
    for feature, places, values in zip(*buffer.load_data_per_latent()):
        read[starts[places[:, 0]] + places[:, 1].numpy(), feature] = values.float().numpy()
        count += len(values)
same("activations read, against those above 1e-5 in the fit", count, (fit.coefficients > 1.0005e-5).sum(), 5)
below("largest difference, as a share of the largest", np.abs(read - fit.coefficients).max() / fit.coefficients.max(), 5e-4)
records = list(cache)
used = (fit.coefficients > 1.0005e-5).any(0).sum()
same("features with examples", sum(len(record.examples) > 0 for record in records), used)
finish()
