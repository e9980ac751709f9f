"""Opens a sparsify export: python open_sparsify.py EXPORT FIT ACTIVATIONS"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from common import Fit, below, finish, same
from sparsify import SparseCoder

coder, fit = SparseCoder.load_from_disk(sys.argv[1]), Fit(*sys.argv[2:4])
encoder = json.loads((Path(sys.argv[1]) / "cfg.json").read_text())["unmix"]["encoder"]
x = torch.tensor(fit.activations, dtype=torch.float32)
with torch.no_grad():
    values, indices, _ = coder.encode(x)
    reconstruction = coder.decode(values, indices).numpy()
print(f"  {coder.num_latents} features of {coder.d_in} neurons, k = {coder.cfg.k}")
below("largest difference of W_dec to the features", np.abs(coder.W_dec.detach().numpy() - fit.features).max(), 1e-6)
error = fit.error_of(reconstruction)
same("error through sparsify, against the error in cfg.json", error, encoder["relative_error"], 1e-4)
same("features active a token", (values > 0).float().sum(1).mean().item(), encoder["mean_active"], 0.05)
below("error beyond the fit's", error - fit.error, 0.03)
finish()
