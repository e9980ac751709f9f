"""The strength of steering at which the mean KL divergence on neutral prompts is a given one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

# The divergence grows with the square of a small strength, and more slowly or faster with a large one.
SLOPES = (0.7, 4.0)
# Of the logarithm of the strength.
LARGEST_STEP = 3.0


@dataclasses.dataclass(frozen=True)
class Strength:
    """A strength found for a target: the divergence there in nats a token, and whether it is as near as was asked."""

    target: float
    strength: float
    kl: float
    reached: bool


def find_strengths(
    divergence: Callable[[float], float],
    targets: Sequence[float],
    guess: float,
    *,
    tolerance: float = 0.08,
    max_evaluations: int = 8,
) -> list[Strength]:
    """Finds the strength for each target by secants between the logarithms of strength and divergence.

    Parameters
    ----------
    divergence : callable
        The mean KL divergence, in nats a token, at a strength above zero.
    targets : sequence of float
        Divergences above zero.
    guess : float
        The strength that is tried first.
    tolerance : float, default 0.08
        The largest distance of the divergence's logarithm from the target's.
    max_evaluations : int, default 8
        The most evaluations for one target. If they do not suffice, the nearest strength is returned with
        `reached=False`.

    Examples
    --------
    >>> from unmix.experiments.strength import find_strengths
    >>> [found] = find_strengths(lambda strength: strength**2 / 2, [0.5], guess=3.0)
    >>> found.reached, round(found.strength, 1)
    (True, 1.0)
    """
    points: list[tuple[float, float]] = []

    def evaluate(position: float) -> None:
        value = divergence(math.exp(position))
        # Nothing is known where the steered model's logits are not finite, except that it is too much.
        points.append((position, math.log(max(value, 1e-12)) if math.isfinite(value) else math.inf))

    found = []
    for target in targets:
        goal = math.log(target)
        for _ in range(max_evaluations):
            if points and abs(_nearest(points, goal)[1] - goal) <= tolerance:
                break
            evaluate(_next(points, goal) if points else math.log(guess))
        position, value = _nearest(points, goal)
        found.append(Strength(target, math.exp(position), math.exp(value), abs(value - goal) <= tolerance))
    return found


def _nearest(points: Sequence[tuple[float, float]], goal: float) -> tuple[float, float]:
    return min(points, key=lambda point: abs(point[1] - goal))


def _next(points: Sequence[tuple[float, float]], goal: float) -> float:
    """The next logarithm of a strength to try."""
    below = max((point for point in points if point[1] <= goal), default=None)
    above = min((point for point in points if point[1] > goal), default=None, key=lambda point: point[0])
    if below and above and below[0] < above[0]:
        if math.isinf(above[1]):
            return (below[0] + above[0]) / 2
        share = (goal - below[1]) / (above[1] - below[1])
        # A step is kept off the ends, so that the bracket shrinks from both sides.
        return below[0] + min(max(share, 0.05), 0.95) * (above[0] - below[0])
    near = _nearest(points, goal)
    if math.isinf(near[1]):
        return min(position for position, _ in points) - math.log(4)
    others = sorted(
        (point for point in points if point[0] != near[0] and math.isfinite(point[1])),
        key=lambda point: abs(point[0] - near[0]),
    )
    slope = (others[0][1] - near[1]) / (others[0][0] - near[0]) if others else 2.0
    step = (goal - near[1]) / min(max(slope, SLOPES[0]), SLOPES[1])
    return near[0] + min(max(step, -LARGEST_STEP), LARGEST_STEP)
