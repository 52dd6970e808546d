"""How far a figure may be off: intervals by resampling images."""

from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from genmodels.metrics.figures import UndefinedFigureError


class Interval(NamedTuple):
    """Where the figure would lie in most repetitions with other images of the same source."""

    low: float
    high: float


def bootstrap_interval(
    values: np.ndarray,  # [N, ...]: one row per image: figures, features, or the images.
    statistic: Callable[[np.ndarray], float] = np.mean,  # Function of resampled rows [N, ...].
    *,
    level: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over images (Efron 1979).

    Not for figures that look for neighbours or duplicates, as a resample repeats rows by design:
    `subset_intervals` is for those.
    """
    values = np.asarray(values)
    _check_interval(level, num_resamples, values)
    rng = np.random.default_rng(seed)
    n = len(values)
    results = [statistic(values[rng.integers(n, size=n)]) for _ in range(num_resamples)]
    low, high = np.quantile(results, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def wilson_interval(
    count: int,  # Images that have it, ...
    total: int,  # ... of so many, 1 or more.
    *,
    level: float = 0.95,
) -> Interval:
    """Of a share (Wilson 1927), also where no image has it: a bootstrap would say 0 to 0."""
    if total < 1 or not 0 <= count <= total:
        raise ValueError(f"count must lie between 0 and total, got {count} of {total}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = count / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    margin = z / (1 + weight) * (share * (1 - share) / total + weight / (4 * total)) ** 0.5
    return Interval(max(0.0, middle - margin), min(1.0, middle + margin))


def subset_intervals(
    statistic: Callable[[np.ndarray, np.ndarray], Mapping[str, float]],  # Named figures.
    a: np.ndarray,  # [N, ...]: one row per image of the first set.
    b: np.ndarray,  # [M, ...]: of the second set.
    *,
    level: float = 0.95,
    num_subsets: int = 20,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals for figures of two sets: the value -+ z standard deviations of its half-samples.

    Halves are drawn without replacement from both sets. The spread of a figure over random halves
    estimates that of the whole (the delete-half jackknife, Shao and Wu 1989); only the spread is
    used, so the bias of smaller sets does not move the interval. Somewhat wide for figures, such
    as an unbiased kernel distance near 0, that settle faster than 1 / sqrt(N).
    """
    _check_interval(level, num_subsets, a, b)
    rng = np.random.default_rng(seed)
    halves = [
        statistic(*(x[rng.permutation(len(x))[: len(x) // 2]] for x in (a, b)))
        for _ in range(num_subsets)
    ]
    z = NormalDist().inv_cdf((1 + level) / 2)
    intervals = {}
    for name, value in statistic(a, b).items():
        margin = z * float(np.std([half[name] for half in halves], ddof=1))
        intervals[name] = Interval(value - margin, value + margin)
    return intervals


def _check_interval(level: float, repetitions: int, *sets: np.ndarray) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if repetitions < 2:
        raise ValueError(f"resamples or subsets must be 2 or more, got {repetitions}")
    if min(len(values) for values in sets) < 2:
        raise UndefinedFigureError("an interval needs at least 2 images in each set")
