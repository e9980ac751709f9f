"""Confidence intervals by resampling concepts, and within them seeds and prompts."""

from __future__ import annotations

import dataclasses

import numpy as np

DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with the ends of its 95% interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, mean: float, draws: np.ndarray) -> Interval:
        """From the mean of the data and its values in resampled data."""
        low, high = np.quantile(draws, (0.025, 0.975))
        return cls(float(mean), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f} {self.high:.3f}]"


def resampled_means(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The mean difference in data that are drawn anew, with replacement.

    The concepts and prompts that are drawn depend on the shapes alone. So the values of two methods can be subtracted,
    draw by draw.

    Parameters
    ----------
    inside : ndarray of shape (concepts, seeds, prompts)
        Values of a concept's own prompts.
    outside : ndarray of shape (concepts, seeds, other prompts)
        Values of prompts of others, which are subtracted.

    Returns
    -------
    ndarray of shape (draws,)

    Examples
    --------
    >>> import numpy as np
    >>> from unmix.experiments.bootstrap import resampled_means
    >>> draws = resampled_means(np.ones((4, 1, 3)), np.zeros((4, 1, 2)))
    >>> draws.shape, float(draws.std())
    ((1000,), 0.0)
    """
    generator = np.random.default_rng(0)
    concepts, seeds, prompts = inside.shape
    chosen = generator.integers(concepts, size=(DRAWS, concepts))
    own = generator.integers(prompts, size=(DRAWS, concepts, prompts))
    others = generator.integers(outside.shape[2], size=(DRAWS, concepts, outside.shape[2]))
    runs = generator.integers(seeds, size=(DRAWS, concepts, seeds))

    def means(values: np.ndarray, which: np.ndarray) -> np.ndarray:
        drawn = values[chosen[:, :, None, None], runs[:, :, :, None], which[:, :, None, :]]
        return drawn.mean((1, 2, 3))

    return means(inside, own) - means(outside, others)


def resampled_group_means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of values whose groups are drawn anew, with replacement.

    Values of one group are not independent of one another, such as those of one concept in several layers.

    Parameters
    ----------
    values : ndarray of shape (values,)
    groups : ndarray of shape (values,)
        The number of each value's group.

    Returns
    -------
    ndarray of shape (draws,)

    Examples
    --------
    >>> import numpy as np
    >>> from unmix.experiments.bootstrap import resampled_group_means
    >>> draws = resampled_group_means(np.array([0.0, 0.0, 3.0]), np.array([0, 0, 1]))
    >>> sorted(set(draws.tolist()))
    [0.0, 1.0, 3.0]
    """
    found, number = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(number, values), np.bincount(number)
    chosen = np.random.default_rng(0).integers(len(found), size=(DRAWS, len(found)))
    return sums[chosen].sum(1) / sizes[chosen].sum(1)
