"""The estimator in scikit-learn's words."""

import json
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import unmix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(1)
    return (rng.exponential(size=(300, 5)) @ rng.normal(size=(5, 30)) + 0.1 * rng.normal(size=(300, 30))).astype("f4")


def model(**options):
    return unmix.SemiNMF(**{"n_components": 5, "device": "cpu", "sparsity": 1.0, **options})


@pytest.fixture(scope="module")
def fitted(X):
    return model().fit(X)


def test_attributes_describe_the_fit(X, fitted):
    result = fitted.result_
    assert fitted.components_.shape == (5, 30) and fitted.n_features_in_ == 30 and fitted.n_components_ == 5
    assert fitted.n_iter_ == len(fitted.loss_curve_) == result.run["iterations"]
    residual = np.linalg.norm(X - result.coefficients.astype("f8") @ fitted.components_)
    assert fitted.reconstruction_err_ == pytest.approx(residual, rel=1e-4)
    assert fitted.relative_error_ == pytest.approx(residual**2 / np.linalg.norm(X) ** 2, rel=1e-4)
    assert not hasattr(fitted, "reproducibility_")


def test_fit_transform_returns_the_coefficients_of_the_fit(X, fitted):
    Y = model().fit_transform(X)
    assert Y.tobytes() == fitted.result_.coefficients.tobytes() and (Y >= 0).all()


def test_transform_finds_coefficients_of_other_activations(X, fitted):
    Y = fitted.transform(X[:50])
    assert Y.shape == (50, 5) and Y.dtype == np.float32 and (Y >= 0).all()
    assert fitted.inverse_transform(Y).shape == (50, 30)
    assert -0.1 < fitted.score(X) <= 0


def test_score_is_the_negated_relative_error(X, fitted):
    Y = fitted.transform(X)
    residual = X - fitted.inverse_transform(Y)
    assert fitted.score(X) == pytest.approx(-np.sum(residual**2) / np.sum(X**2), rel=1e-4)


def test_runs_give_a_consensus_with_reproducibility(X):
    consensus = model(runs=4).fit(X)
    assert consensus.reproducibility_.shape == (5,) and consensus.result_.run["consensus"]["runs"] == 4


def test_parameters_are_not_changed_by_a_fit(X):
    before = model(max_iter=3)
    params = before.get_params()
    before.fit(X)
    assert before.get_params() == params


@pytest.mark.parametrize("state", [5, np.int64(5), np.random.RandomState(5), np.random.default_rng(5), None])
def test_every_kind_of_random_state_is_taken(X, state):
    model(random_state=state, max_iter=2).fit(X)


def test_the_same_random_state_gives_the_same_bits(X):
    first, second = (model(random_state=np.random.RandomState(5), max_iter=3).fit(X) for _ in range(2))
    assert first.components_.tobytes() == second.components_.tobytes()
    other = model(random_state=6, max_iter=3).fit(X)
    assert other.components_.tobytes() != first.components_.tobytes()


def test_given_coefficients_are_the_start(X):
    start = np.random.default_rng(0).random((300, 5))
    first, second = (model(init=start, max_iter=1, random_state=seed).fit(X) for seed in (0, 1))
    assert first.components_.tobytes() == second.components_.tobytes()
    assert first.result_.run["options"]["init"] == "given"


def test_a_clone_has_the_parameters_and_no_fit(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError, match="not fitted"):
        copy.transform(np.ones((1, 30)))


def test_a_pipeline_and_a_grid_search_use_it(X):
    labels = (X[:, 0] > 0).astype(int)
    pipeline = make_pipeline(model(max_iter=5), LogisticRegression())
    search = GridSearchCV(pipeline, {"seminmf__n_components": [2, 4]}, cv=2).fit(X, labels)
    assert search.best_params_["seminmf__n_components"] in (2, 4)
    assert GridSearchCV(model(max_iter=5), {"n_components": [1, 5]}, cv=2).fit(X).best_params_ == {"n_components": 5}


def test_output_can_be_a_data_frame(X):
    frame = pd.DataFrame(X, columns=[f"neuron {i}" for i in range(30)])
    estimator = model(max_iter=3).set_output(transform="pandas")
    found = estimator.fit_transform(frame)
    assert list(found.columns) == [f"seminmf{k}" for k in range(5)] == list(estimator.get_feature_names_out())
    assert list(estimator.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.transform(frame[frame.columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.transform(X)


@pytest.mark.parametrize("way", ["pickle", "joblib", "folder"])
def test_a_fitted_model_survives(X, fitted, tmp_path, way):
    if way == "pickle":
        back = pickle.loads(pickle.dumps(fitted))
    elif way == "joblib":
        joblib.dump(fitted, tmp_path / "model.joblib")
        back = joblib.load(tmp_path / "model.joblib")
    else:
        fitted.save(tmp_path / "fit")
        back = unmix.SemiNMF.from_fit(unmix.load(tmp_path / "fit"))
        back.device = "cpu"
    assert back.transform(X).tobytes() == fitted.transform(X).tobytes()
    assert back.result_.run == fitted.result_.run and back.n_iter_ == fitted.n_iter_


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "projected-ls", "sparsity": 0.3},
        {"preset": "paper", "max_iter": 5},
        {"runs": 3, "penalty": 0.1},
        {"runs": 3, "solver": "projected-ls"},
        {"unshrink": True},
        {"debias": True},
    ],
)
def test_a_model_of_a_fit_can_be_fitted_again_to_the_same_bits(X, options):
    first = model(**options).fit(X)
    again = unmix.SemiNMF.from_fit(first.result_).set_params(device="cpu").fit(X)
    assert again.components_.tobytes() == first.components_.tobytes()
    assert again.result_.coefficients.tobytes() == first.result_.coefficients.tobytes()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components=0: X has .* a whole number from 1 to 30 is needed"),
        ({"n_components": 31}, ValueError, "n_samples=300 and n_features=30, so a whole number from 1 to 30"),
        ({"n_components": 2.5}, TypeError, "n_components=2.5: a whole number"),
        ({"n_components": -1}, ValueError, "n_components=-1"),
        ({"sparsity": 2.0}, ValueError, "sparsity=2: a share"),
        ({"solver": "cd"}, ValueError, "solver='?\"?cd.*one of .*hals"),
        ({"init": "nndsvd"}, ValueError, "init=.*one of .*kmeans"),
        ({"init": np.ones((3, 3))}, ValueError, "init=3 × 3: 300 tokens × 5 features"),
        ({"init": -np.ones((300, 5))}, ValueError, "init=-1 at token 0"),
        ({"tol": -1.0}, ValueError, "tol=-1: a number from 0"),
        ({"tol": "small"}, TypeError, "tol='small'"),
        ({"max_iter": 0}, ValueError, "max_iter=0: at least 1"),
        ({"random_state": "now"}, TypeError, "random_state"),
        ({"penalty": 0.1, "solver": "mu"}, ValueError, "penalty: only solver=hals has a penalty"),
        ({"relaxation": 0.3}, ValueError, "relaxation: only solver=projected-ls moves features beyond"),
        ({"sweeps": 3, "preset": "paper"}, ValueError, "sweeps: solver=paper updates the coefficients once"),
        (
            {"warm_up": 3, "init": "svd"},
            ValueError,
            "warm_up: only init=kmeans with solver=hals or solver=projected-ls",
        ),
        ({"warm_up": 3, "init": np.ones((300, 5))}, ValueError, "warm_up: only init=kmeans"),
        ({"runs": 3, "tol": 0.1}, ValueError, "tol: each of 3 runs has the same number of iterations, which max_iter"),
        ({"n_components": None}, TypeError, "n_components=None: a whole number"),
        ({"stream": "x"}, TypeError, "stream='x': True or False"),
        ({"unshrink": 1}, TypeError, "unshrink=1: True or False"),
        ({"debias": "no"}, TypeError, "debias='no': True or False"),
        ({"revive": None}, TypeError, "revive=None: True or False"),
        ({"relaxation": float("nan")}, ValueError, "relaxation=nan: a finite number"),
        ({"runs": 0}, ValueError, "runs=0: a whole number from 1"),
        ({"runs": 101}, ValueError, "runs=101: a number from 1 to 100"),
        ({"memory": 1000}, MemoryError, "X: a fit of 5 features .* memory allows 1000 B; .* by memory=SIZE"),
        ({"memory": "8 apples"}, ValueError, 'memory="8 apples": a size is needed'),
        ({"device": "no such adapter"}, unmix.DeviceError, "no such adapter"),
        ({"device": 3}, TypeError, "device=3"),
        ({"preset": "nature"}, ValueError, "preset=.*paper"),
    ],
)
def test_impossible_parameters_are_refused_by_their_names(X, options, error, message):
    with pytest.raises(error, match=message) as refused:
        model(**options).fit(X)
    assert "--" not in str(refused.value)


def test_activations_with_columns_of_tokens_have_no_names_of_neurons(X):
    expected, rows = model().fit(X), len(X)
    for acts in (unmix.Activations(X), unmix.Activations(X, token_ids=range(rows), prompt_ids=[0] * rows)):
        fitted = model().fit(acts)
        assert not hasattr(fitted, "feature_names_in_") and (fitted.components_ == expected.components_).all()
        assert (model().fit_transform(acts) == expected.result_.coefficients).all()
        assert (fitted.transform(acts) == expected.transform(X)).all() and fitted.score(acts) == expected.score(X)


def test_defaults_are_those_of_the_engine():
    assert unmix.default_options(1536) == unmix.default_options(1536, **unmix.SemiNMF().get_params())
    assert unmix.default_options(1536)["sparsity"] * 1536 == pytest.approx(140)
    assert unmix.default_options(1536, preset="paper")["solver"] == "paper"


@pytest.mark.parametrize(
    ("neurons", "options", "error", "message"),
    [
        (64, {"foo": 3}, TypeError, "foo: a fit has no such argument; it has n_components, sparsity"),
        (64, {"n_componentss": 3}, TypeError, "n_componentss: a fit has no such argument"),
        (-1, {}, ValueError, "neurons=-1: a whole number from 1"),
    ],
)
def test_default_options_are_asked_for_by_names_that_exist(neurons, options, error, message):
    with pytest.raises(error, match=message):
        unmix.default_options(neurons, **options)


def test_it_works_without_scikit_learn(tmp_path):
    program = """
import sys, json
sys.modules["sklearn"] = None
import numpy as np, unmix
X = np.random.default_rng(0).normal(size=(60, 12))
model = unmix.SemiNMF(n_components=3, device="cpu", max_iter=3)
try:
    model.transform(X)
except ValueError as error:
    assert "not fitted" in str(error)
Y = model.fit_transform(X)
names = list(model.get_feature_names_out())
print(json.dumps([list(Y.shape), names, repr(model), model.set_params(max_iter=2).get_params()["max_iter"]]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    shape, names, shown, iterations = json.loads(done.stdout)
    assert (shape, names, iterations) == ([60, 3], ["seminmf0", "seminmf1", "seminmf2"], 2)
    assert shown == "SemiNMF(device='cpu', max_iter=3, n_components=3)"
