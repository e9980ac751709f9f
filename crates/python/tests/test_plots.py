"""Plots, by what is drawn rather than by how it looks."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure


def test_the_loss_is_the_error_after_each_iteration(fit):
    axes = fit.plot_loss()
    (line, *_) = axes.get_lines()
    assert len(line.get_ydata()) == len(fit.run["loss_curve"])
    assert min(line.get_ydata()) == pytest.approx(fit.run["relative_error"], rel=1e-3)


def test_a_histogram_counts_the_tokens_that_use_a_feature(fit):
    axes = fit.plot_activations(2, bins=10)
    (stairs,) = axes.patches
    counts, edges, _ = stairs.get_data()
    active = fit.coefficients[:, 2][fit.coefficients[:, 2] > 0]
    assert counts.sum() == len(active) and len(counts) == 10
    assert edges[-1] == pytest.approx(active.max())
    with pytest.raises(IndexError, match="features 0 to 7"):
        fit.plot_activations(8)


def test_the_map_has_a_dot_and_a_name_for_each_feature(fit):
    axes = fit.plot_map()
    (dots,) = axes.collections
    places = np.asarray(dots.get_offsets())
    assert places.shape == (8, 2) and (places >= 0).all() and (places <= 1).all()
    words = [feature.words[0].name for feature in fit.features(sort="index")]
    assert [text.get_text().replace(r"\$", "$") for text in axes.texts] == words
    sizes, shares = dots.get_sizes(), [feature.share for feature in fit.features(sort="index")]
    assert np.argmax(sizes) == np.argmax(shares)


def test_plots_are_drawn_where_they_are_asked_for(fit):
    axes = Figure().subplots(1, 3)
    assert fit.plot_loss(ax=axes[0]) is axes[0]
    assert fit.plot_activations(0, ax=axes[1]) is axes[1]
    assert fit.plot_map(ax=axes[2]) is axes[2]


def test_a_histogram_has_at_least_one_bin(fit):
    with pytest.raises(ValueError, match="bins=0: a whole number from 1"):
        fit.plot_activations(2, bins=0)


def test_a_package_that_is_not_installed_is_named_with_its_extra(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ModuleNotFoundError, match="matplotlib is needed for plots; .*notebook"):
        fit.plot_loss()
