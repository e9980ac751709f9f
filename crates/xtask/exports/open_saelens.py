"""Opens a SAELens export: python open_saelens.py EXPORT FIT ACTIVATIONS"""
import sys

import numpy as np
import torch
from common import Fit, below, finish, same
from sae_lens import SAE

sae, fit = SAE.load_from_disk(sys.argv[1]), Fit(*sys.argv[2:4])
with torch.no_grad():
    x = torch.tensor(fit.activations, dtype=torch.float32)
    coefficients = sae.encode(x)
    reconstruction = sae.decode(coefficients).numpy()
    features = sae.W_dec.numpy()
about = sae.cfg.metadata["unmix"]
encoder = about.get("encoder", {})
print(f"  architecture {sae.cfg.architecture()}, {sae.cfg.d_sae} features of {sae.cfg.d_in} neurons")
below("largest difference of W_dec to the features", np.abs(features - fit.features).max(), 1e-6)
same("reconstruction from the fit's coefficients, error", fit.error_of(fit.coefficients @ features), fit.error, 1e-4)
error = fit.error_of(reconstruction)
if encoder.get("fitted"):
    same("error through SAELens, against the error in cfg.json", error, encoder["relative_error"], 1e-4)
    same("features active a token", (coefficients > 0).float().sum(1).mean().item(), encoder["mean_active"], 0.05)
    below("error beyond the fit's", error - fit.error, 0.03)
else:
    print(f"  error {error:.4f}, that of the fit {fit.error:.4f}")
    below("error beyond the fit's", error - fit.error, 0.08)
finish()
