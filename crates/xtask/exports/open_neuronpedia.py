"""Opens a Neuronpedia export: python open_neuronpedia.py EXPORT FIT ACTIVATIONS TOKENS"""
import json
import os
import sys
from pathlib import Path

import numpy as np
from common import Fit, below, finish, same

os.environ.setdefault("NEURONPEDIA_API_KEY", "none is needed: nothing is sent")
from neuronpedia.np_activation import Activation
from neuronpedia.np_feature import Feature, Logit
from neuronpedia.requests.feature_request import FeatureRequest
from sae_dashboard.neuronpedia.neuronpedia_dashboard import NeuronpediaDashboardBatch

fit = Fit(*sys.argv[2:4])
words = json.loads(Path(sys.argv[4]).read_text())
features = []
for path in sorted(Path(sys.argv[1]).glob("batch-*.json")):
    written = json.loads(path.read_text())
    batch = NeuronpediaDashboardBatch(**written)
    same(f"{path.name}: keys lost by SAEDashboard's classes", float(batch.to_dict() != written), 0)
    features += batch.features
same("features", len(features), len(fit.features))
largest = max(abs(max((a.values[a.qualifying_token_index] for a in f.activations), default=0) - fit.coefficients[:, k].max())
              for k, f in enumerate(features))
below("largest difference of a feature's largest activation", largest, 1e-5 * fit.coefficients.max())
below("largest difference of a vector", max(np.abs(np.array(f.vector) - fit.features[k]).max() for k, f in enumerate(features)), 1e-6)
below("largest difference of a density", max(abs(f.frac_nonzero - (fit.coefficients[:, k] > 0).mean()) for k, f in enumerate(features)), 1e-9)
text = "".join(words)
examples = [a for f in features for a in f.activations]
same("examples whose text is not in the prompts", sum("".join(a.tokens) not in text for a in examples), 0)
same("examples with as many values as tokens", sum(len(a.tokens) == len(a.values) for a in examples), len(examples))

# What the client would send.
sent = []
request = FeatureRequest()
request.send_request = lambda method, uri, json: sent.append(json)
request.upload_batch("model", "0-unmix", [
    Feature(modelId="model", source="0-unmix", index=f.feature_index, density=f.frac_nonzero,
            top_logits=[Logit(*pair) for pair in zip(f.pos_str, f.pos_values)],
            bottom_logits=[Logit(*pair) for pair in zip(f.neg_str, f.neg_values)],
            activations=[Activation("model", "0-unmix", f.feature_index, a.tokens, a.values, a.bin_max, a.bin_min,
                                    a.bin_contains if a.bin_contains >= 0 else None) for a in f.activations])
    for f in features[:128]])
same("activations in the client's request", sum(len(f["activations"]) for f in sent[0]["features"]),
     sum(len(f.activations) for f in features[:128]))
finish()
