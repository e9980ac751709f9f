"""Plots of a fit, by matplotlib, on axes of one's own or on new ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _unmix
from ._optional import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_loss(run: dict[str, Any], ax: Axes | None = None) -> Axes:
    """The relative error after each iteration; see :meth:`unmix.Fit.plot_loss`."""
    ax = _axes(ax)
    losses = np.asarray(run["loss_curve"]) / (run["squared_norm"] or 1.0)
    ax.plot(np.arange(1, len(losses) + 1), losses, color="C0", marker="o" if len(losses) < 30 else "", markersize=3)
    best = run["best_iteration"]
    if 1 <= best <= len(losses):
        ax.axvline(best, color="0.6", linewidth=1, linestyle=":", label=f"best: {best}")
        ax.legend(frameon=False)
    ax.set_xlabel("iteration")
    ax.set_ylabel("relative error")
    return ax


def plot_activations(text: _unmix.Text, number: int, bins: int = 32, ax: Axes | None = None) -> Axes:
    """A histogram of the coefficients of a feature; see :meth:`unmix.Fit.plot_activations`."""
    ax = _axes(ax)
    distribution = json.loads(_unmix.coefficient_distributions(text, bins))[number]
    edges = np.linspace(0.0, distribution["largest"] or 1.0, bins + 1)
    ax.stairs(distribution["counts"], edges, fill=True, color="C0", alpha=0.8)
    if distribution["active"]:
        ax.set_yscale("log")
    ax.set_xlabel(f"coefficient of feature {number}, where it is above zero")
    ax.set_ylabel("tokens")
    return ax


def plot_map(text: _unmix.Text, shares: np.ndarray, names: list[str], ax: Axes | None = None) -> Axes:
    """The features on a plane, as the report's map has them; see :meth:`unmix.Fit.plot_map`."""
    ax = _axes(ax)
    positions = np.asarray(_unmix.feature_positions(text))
    largest = shares.max() if shares.size and shares.max() > 0 else 1.0
    ax.scatter(
        positions[:, 0],
        positions[:, 1],
        s=12 + 160 * np.clip(shares, 0, None) / largest,
        color="C0",
        alpha=0.6,
        linewidths=0,
    )
    for (x, y), name in zip(positions, names, strict=True):
        # A dollar sign would begin a formula.
        ax.annotate(
            name.replace("$", r"\$"),
            (x, y),
            fontsize=7,
            ha="center",
            va="bottom",
            xytext=(0, 4),
            textcoords="offset points",
        )
    # The first row of the report's map is at the top.
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(1.03, -0.03)
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def _axes(ax: Axes | None) -> Axes:
    """The axes that were given, or those of a new figure."""
    if ax is not None:
        return ax
    return needed("matplotlib.pyplot", "plots").figure().add_subplot()
