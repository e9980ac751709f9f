"""Opens a SAEDashboard export: python open_saedashboard.py EXPORT FIT ACTIVATIONS"""
import sys
from pathlib import Path

import numpy as np
import torch
from common import Fit, below, finish, same
from sae_dashboard.neuronpedia.vector_set import VectorSet

vectors, fit = VectorSet.load(Path(sys.argv[1]) / "vectors.json"), Fit(*sys.argv[2:4])
print(f"  {vectors.cfg.d_vectors} vectors, model {vectors.cfg.model_name}, hook {vectors.cfg.hook_name}")
same("vectors", len(vectors.names), len(fit.features))
cosines = (vectors.vectors.numpy() * fit.features).sum(1)
below("largest 1 - cosine to the features", (1 - cosines).max(), 1e-6)
projections = vectors.encode(torch.tensor(fit.activations, dtype=torch.float32)).numpy()
expected = fit.activations @ fit.features.T
below("largest difference of projections, as a share", np.abs(projections - expected).max() / np.abs(expected).max(), 1e-5)
finish()
