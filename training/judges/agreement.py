"""How far what was asked for and what was seen agree: figures with intervals, of one condition.

A figure holds value, low and high for generated images; real, real_low and real_high for held-out
ones, None where these carry no labels; and chance, what a model gets that does not listen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from genmodels.metrics.intervals import bootstrap_interval

Figure = dict[str, float | None]
Seen = tuple[np.ndarray, np.ndarray]  # The condition's part of c as asked and as judged, [N, size].


def class_figures(
    entry: dict[str, Any],
    said: dict[str, Seen],
    truth: Seen | None,
) -> dict[str, Any]:
    """Figures of a class: accuracies, and the accuracy per value, [generated, real]."""
    values, counts = entry["values"], entry["counts"]
    pairs = {way: _class_pairs(*both) for way, both in said.items()}
    real = None if truth is None else _class_pairs(*truth)
    shares = [_share_per_value(each, len(values)) for each in (pairs["evenly"], real)]
    return {
        "evenly": _figure(_mean_over_values, pairs["evenly"], real, 1 / len(values)),
        "by_frequency": _figure(_accuracy, pairs["by_frequency"], real, max(counts) / sum(counts)),
        "by_value": {str(value): both for value, *both in zip(values, *shares, strict=True)},
    }


def number_figures(
    entry: dict[str, Any],
    said: Seen,
    truth: Seen | None,
    train: np.ndarray,  # [N, 1]: who does not look would say their median.
) -> dict[str, Figure]:
    """Figures of a number: rank correlation, and error in the number's own units."""
    scale = entry["std"]
    pairs = scale * np.concatenate(said, axis=1)  # [N, 2]
    real = None if truth is None else scale * np.concatenate(truth, axis=1)
    blind = scale * float(np.abs(train - np.median(train)).mean())
    return {
        "spearman": _figure(_spearman, pairs, real, 0.0),
        "mean_absolute_error": _figure(_mean_absolute_error, pairs, real, blind),
    }


def _class_pairs(c: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """One-hot rows and the judge's logits -> index asked and index seen, [N, 2]."""
    return np.stack([c.argmax(axis=1), seen.argmax(axis=1)], axis=1)


def _share_per_value(pairs: np.ndarray | None, count: int) -> list[float | None]:
    """How much of each value is seen as itself; None where nothing was asked for."""
    by_value = [[] if pairs is None else pairs[pairs[:, 0] == i] for i in range(count)]
    return [
        float((rows[:, 1] == i).mean()) if len(rows) else None for i, rows in enumerate(by_value)
    ]


def _accuracy(pairs: np.ndarray) -> float:
    return float((pairs[:, 0] == pairs[:, 1]).mean())


def _mean_over_values(pairs: np.ndarray) -> float:
    """Accuracy in which every value that occurs weighs the same."""
    hits = np.bincount(pairs[:, 0], pairs[:, 0] == pairs[:, 1])
    counts = np.bincount(pairs[:, 0])
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def _mean_absolute_error(pairs: np.ndarray) -> float:
    return float(np.abs(pairs[:, 0] - pairs[:, 1]).mean())


def _spearman(pairs: np.ndarray) -> float:
    """Correlation of ranks; equal values share their mean rank."""
    ranks = []
    for column in pairs.T:
        _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
        means: np.ndarray = counts.cumsum() - (counts - 1) / 2
        ranks.append(means[place])
    if min(np.ptp(rank) for rank in ranks) == 0:  # One value only: nothing to correlate.
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def _figure(
    statistic: Callable[[np.ndarray], float],
    generated: np.ndarray,  # [N, 2]: asked and judged.
    real: np.ndarray | None,
    chance: float,
) -> Figure:
    figure: Figure = {"value": statistic(generated)}
    figure |= bootstrap_interval(generated, statistic)._asdict() | {"real": None, "chance": chance}
    if real is None:
        return figure | {"real_low": None, "real_high": None}
    low, high = bootstrap_interval(real, statistic)
    return figure | {"real": statistic(real), "real_low": low, "real_high": high}
