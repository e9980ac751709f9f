"""What scikit-learn's tests of its NMF demand, where it makes sense for a semi-nonnegative factorization.

scikit-learn's file is ``sklearn/decomposition/tests/test_nmf.py``. Ported by meaning, in the order of that file:

- convergence warning: here, ``result_.run["stop_reason"]`` says whether the fit converged, and nothing is warned of;
- initialization output nonnegative: the coefficients are;
- parameter checking: ``test_estimator.py``;
- fit output nonnegative: the coefficients are, the features have both signs;
- fit close: a factorization of a matrix of low rank is close;
- inverse transform: it is the product with the features;
- transform without fit, by a custom initialization: here, by coefficients that are given;
- NMF is bit for bit the same for the same data: for the same seed, and for float32 of equal values in another order in memory;
- transform after fit gives close coefficients: for new data made of the same features as well;
- n components greater than the number of features: refused here, because features beyond it mean nothing for semi-NMF;
- decreasing objective: the objective of ``hals`` never rises while no two features are alike;
- underflow: tiny and huge numbers are scaled, not lost;
- dtype match: results are float32 whatever the input, because the engine computes in float32;
- float32 and float64 agree;
- regularization: a larger penalty makes coefficients sparser, and features keep as many neurons as ``sparsity`` says;
- feature names out; n_components default of ``from_fit``.

Not ported, and why:

- custom initialization by W and H, and its dtype and shape errors for H: a fit starts from coefficients alone;
- sparse input: it is refused, ``test_inputs.py``;
- beta divergences, their special cases and derivatives, ``beta_loss``: there is one loss, the squared error;
- nndsvd initialization variants: they are for nonnegative matrices; ``init="svd"`` is the start that corresponds to them;
- MiniBatchNMF (partial_fit, its convergence, reset_after): activations that do not fit in memory are streamed instead;
- alpha_W, alpha_H, l1_ratio and their scaling by n: the penalty is relative to the norm of a token, and does not depend on n.
"""

import numpy as np
import pytest
import unmix


def model(n_components=4, **options):
    return unmix.SemiNMF(**{"n_components": n_components, "device": "cpu", "sparsity": 1.0, **options})


def low_rank(tokens=200, neurons=24, rank=4, seed=0):
    rng = np.random.default_rng(seed)
    Y = rng.exponential(size=(tokens, rank)) * (rng.random((tokens, rank)) < 0.5)
    return (Y @ rng.normal(size=(rank, neurons))).astype(np.float32)


SOLVERS = ["hals", "projected-ls", "mu", "paper"]
STARTS = ["kmeans", "random", "svd"]


def test_whether_a_fit_converged_is_told():
    X = low_rank()
    assert model(max_iter=1, tol=0.0).fit(X).result_.run["stop_reason"] == "max-iterations"
    assert model(max_iter=1000).fit(X).result_.run["stop_reason"] == "converged"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("init", STARTS)
def test_coefficients_are_nonnegative_and_features_have_both_signs(solver, init):
    fitted = model(solver=solver, init=init, max_iter=20)
    Y = fitted.fit_transform(low_rank())
    assert (Y >= 0).all() and (fitted.transform(low_rank(seed=1)) >= 0).all()
    assert (fitted.components_ < 0).any() and (fitted.components_ > 0).any()


@pytest.mark.parametrize("solver", ["hals", "projected-ls"])
@pytest.mark.parametrize("init", ["kmeans", "random"])
def test_a_matrix_of_low_rank_is_found(solver, init):
    penalty = {"penalty": 0.0} if solver == "hals" else {}
    fitted = model(solver=solver, init=init, max_iter=600, tol=1e-7, patience=50, **penalty).fit(low_rank())
    assert fitted.relative_error_ < 0.01


def test_inverse_transform_is_the_product_with_the_features():
    fitted = model().fit(low_rank())
    Y = np.random.default_rng(0).random((10, 4))
    np.testing.assert_allclose(fitted.inverse_transform(Y), Y @ fitted.components_, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"coefficients \[n, 4\]"):
        fitted.inverse_transform(np.ones((10, 5)))


def test_the_same_numbers_in_another_order_in_memory_give_the_same_bits():
    X = low_rank()
    first = model().fit(X).components_
    for same in (X.copy(), np.asfortranarray(X), X.astype(np.float64)):
        assert model().fit(same).components_.tobytes() == first.tobytes()


def test_transform_finds_the_coefficients_of_tokens_made_of_the_features():
    fitted = model(penalty=0.0, max_iter=300).fit(low_rank())
    Y = np.random.default_rng(3).exponential(size=(40, 4)).astype(np.float32)
    new = Y @ fitted.components_
    np.testing.assert_allclose(fitted.transform(new), Y, rtol=1e-2, atol=1e-2 * Y.max())


def test_transform_of_the_fitted_tokens_explains_as_much_as_the_fit():
    X = low_rank()
    for solver in SOLVERS:
        fitted = model(solver=solver, max_iter=50).fit(X)
        assert -fitted.score(X) == pytest.approx(fitted.relative_error_, rel=0.1, abs=2e-3)


def test_more_features_than_neurons_are_refused():
    with pytest.raises(ValueError, match="n_components=25: X has n_samples=200 and n_features=24"):
        model(25).fit(low_rank())


def test_the_objective_never_rises_while_no_two_features_are_alike():
    run = model(max_iter=60, tol=0.0).fit(low_rank()).result_.run
    objective = np.asarray(run["objective_curve"])
    assert len(objective) == 60 and (np.diff(objective) <= 1e-6 * objective[0]).all()


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e15])
def test_tiny_and_huge_numbers_are_factorized_alike(scale):
    X = low_rank()
    # A power of two rounds nothing.
    scale = float(2.0 ** np.round(np.log2(scale)))
    usual, scaled = model(max_iter=10).fit(X), model(max_iter=10).fit(X * np.float32(scale))
    assert scaled.relative_error_ == pytest.approx(usual.relative_error_, rel=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_results_are_float32_whatever_the_input(dtype):
    X = np.round(low_rank() * 100).astype(dtype)
    fitted = model(max_iter=3)
    assert fitted.fit_transform(X).dtype == fitted.components_.dtype == fitted.transform(X).dtype == np.float32
    assert fitted.inverse_transform(fitted.transform(X)).dtype == np.float32


def test_a_larger_penalty_makes_coefficients_sparser():
    X = low_rank(rank=8)
    used = [(model(8, penalty=alpha).fit(X).result_.coefficients > 0).mean() for alpha in (0.0, 0.1, 0.4)]
    assert used[0] > used[1] > used[2]


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_features_keep_the_share_of_neurons_that_was_asked_for(share):
    components = model(sparsity=share).fit(low_rank()).components_
    assert ((components != 0).sum(axis=1) <= share * 24).all()


def test_names_of_the_outputs_are_those_of_the_class():
    assert list(model(3).fit(low_rank()).get_feature_names_out()) == ["seminmf0", "seminmf1", "seminmf2"]
