"""The logit lens of models in memory, of every type that it knows: what their files give."""

import numpy as np
import pytest
import unmix
from families import FAMILIES, LAYER, NEURONS, WIDTH

pytestmark = pytest.mark.models

PARTS = [(family, part) for family in FAMILIES for part in family.parts]


def name(of):
    return of.model_type if hasattr(of, "model_type") else of.module


def fit_of(neurons):
    """A fit of this many neurons."""
    X = np.random.default_rng(0).standard_normal((100, neurons)).astype(np.float32)
    return unmix.fit(X, n_components=4, device="cpu", random_state=0)


@pytest.mark.parametrize(("family", "part"), PARTS, ids=name)
def test_a_model_in_memory_promotes_what_its_files_promote(family, part, tmp_path):
    import models  # of crates/xtask/lens

    model = models.make(family, tied=True, square=False, seed=0)
    model.save_pretrained(tmp_path)
    given = dict(zip(part.arguments[::2], part.arguments[1::2], strict=True))
    options = {"layer": LAYER, "top": 24}
    if "--expert" in given:
        options["expert"] = int(given["--expert"])
    if "--down-proj" in given:
        options["down_projection"] = given["--down-proj"]
    is_fixed = family.model_type in (
        "bloom",
        "mpt",
    )  # They have four neurons for each dimension of the residual stream.
    fit = fit_of(4 * WIDTH if is_fixed else NEURONS)
    found, wanted = fit.lens(model, **options).to_dict(), fit.lens(tmp_path, **options).to_dict()
    assert found["features"] == wanted["features"]
    for what in ("model_type", "norm", "epsilon", "logit_scale", "logit_cap", "unembedding_bias"):
        assert found["tensors"][what] == wanted["tensors"][what]
