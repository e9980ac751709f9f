"""The estimator passes scikit-learn's own checks of estimators. No failure is expected of it, so none is listed."""

import pytest
import unmix
from sklearn.utils.estimator_checks import parametrize_with_checks

ESTIMATORS = [
    unmix.SemiNMF(n_components=2, device="cpu"),
    unmix.SemiNMF(n_components=2, device="cpu", solver="projected-ls", random_state=None),
    unmix.SemiNMF(n_components=1, device="cpu", preset="paper"),
    unmix.SemiNMF(n_components=2, device="cpu", runs=2),
]


@pytest.mark.filterwarnings("error::DeprecationWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)
