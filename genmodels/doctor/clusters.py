"""Is it one kind of picture or several? Clusters of frozen features, and how far they are apart."""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from genmodels.data.splits import first_repeats

COMPONENTS = 24  # Principal components that are kept of the features.
MAX_CLUSTERS = 5
SEPARATE = 6.0  # Clusters farther apart are different kinds: parts of single sets reach 5.9 ...
SEPARATE_OF_FEW, FEW = 8.0, 100  # ... and those of fewer than 100 images 7.1.
MIN_SHARE, MIN_MEMBERS = 0.05, 10  # A smaller cluster is none.
MIN_IMAGES = 40  # Fewer have no clusters to speak of.
_ROUNDS = 30
_STARTS = 4


class Clusters(NamedTuple):
    """A set's pictures by likeness."""

    labels: np.ndarray  # Int [N], the largest cluster first.
    separation: float  # From its nearest, of the cluster that is farthest from its: `gaps_of`.
    spread: float  # Mean cosine distance of two pictures' features, 0 to 1.


def cluster(features: np.ndarray) -> Clusters:
    """Clusters of features [N, D], each of length 1; one cluster where they do not divide.

    Deterministic. Of 2 to 5 clusters, those are taken of which one is farthest apart; what is not
    apart from another is one with it.
    """
    count = len(features)
    if count < 2:
        return Clusters(np.zeros(count, dtype=np.int64), 0.0, 0.0)
    mean = features.mean(axis=0)
    spread = (1 - float(mean @ mean)) * count / (count - 1)  # Over pairs of different pictures.
    least = SEPARATE if count >= FEW else SEPARATE_OF_FEW
    best_labels, separation = np.zeros(count, dtype=np.int64), 0.0
    if count >= MIN_IMAGES:
        points = _components(features - mean)
        for k in range(2, MAX_CLUSTERS + 1):
            labels = _k_means(points, k)
            apart = max(
                (min(gaps.values()) for gaps in gaps_of(points, labels).values()), default=0.0
            )
            if apart > separation:
                best_labels, separation = _merged(points, labels, least), apart
    if separation <= least:
        best_labels = np.zeros(count, dtype=np.int64)
    return Clusters(_by_size(best_labels), separation, spread)


def gaps_of(points: np.ndarray, labels: np.ndarray) -> dict[int, dict[int, float]]:
    """How far each large cluster of points [N, D] is from each other one: Ashman's D.

    On the line between their middles, in units of their widths: about 2.6 where one Gaussian cloud
    was cut in two (Ashman et al. 1994).
    """
    sizes = np.bincount(labels)
    least = max(MIN_MEMBERS, MIN_SHARE * len(labels))
    centres = {int(k): points[labels == k].mean(axis=0) for k in np.flatnonzero(sizes >= least)}
    gaps: dict[int, dict[int, float]] = {k: {} for k in centres} if len(centres) > 1 else {}
    for k, other in combinations(gaps, 2):
        line = centres[other] - centres[k]
        line = line / max(float(np.linalg.norm(line)), 1e-9)
        here, there = (points[labels == each] @ line for each in (k, other))
        width = max(float(np.sqrt((here.var() + there.var()) / 2)), 1e-9)
        gaps[k][other] = gaps[other][k] = float(there.mean() - here.mean()) / width
    return gaps


def _merged(points: np.ndarray, labels: np.ndarray, separate: float) -> np.ndarray:
    """Labels after joining clusters that are not apart; a small one joins its nearest."""
    gaps = gaps_of(points, labels)
    if not gaps:
        return np.zeros_like(labels)
    large = list(gaps)
    keys = [
        [f"{min(k, other)} {max(k, other)}" for other, gap in gaps[k].items() if gap <= separate]
        for k in large
    ]
    firsts = dict(zip(large, first_repeats(keys), strict=True))
    centres = np.stack([points[labels == k].mean(axis=0) for k in large])
    for k in set(labels.tolist()) - set(large):
        squares = _squares(points[labels == k].mean(axis=0)[None], centres)
        firsts[k] = firsts[large[int(squares.argmin())]]
    joined: np.ndarray = np.array([firsts[int(label)] for label in labels])
    return joined


def examples(features: np.ndarray, labels: np.ndarray, cluster_label: int, count: int) -> list[int]:
    """Rows of the pictures nearest to a cluster's middle."""
    rows = np.flatnonzero(labels == cluster_label)
    likeness = features[rows] @ features[rows].mean(axis=0)
    return [int(row) for row in rows[np.argsort(-likeness, kind="stable")[:count]]]


def _components(centred: np.ndarray) -> np.ndarray:
    """Principal components [N, 24] of centred features [N, D], in the features' own units."""
    if len(centred) < centred.shape[1]:  # The smaller of the two products has the same ones.
        values, vectors = np.linalg.eigh(centred @ centred.T)
        return (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :COMPONENTS]
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return centred @ vectors[:, ::-1][:, :COMPONENTS]


def _k_means(points: np.ndarray, k: int) -> np.ndarray:
    """Labels of the best of a few starts, by k-means++ (Arthur and Vassilvitskii 2007)."""
    best_labels, least = np.zeros(len(points), dtype=np.int64), np.inf
    for start in range(_STARTS):
        rng = np.random.default_rng([k, start])
        centres = points[[rng.integers(len(points))]]
        while len(centres) < k:
            squares = _squares(points, centres).min(axis=1)
            chances = squares / max(float(squares.sum()), 1e-12)
            chosen = min(int(np.searchsorted(chances.cumsum(), rng.random())), len(points) - 1)
            centres = np.concatenate([centres, points[[chosen]]])
        labels = np.zeros(len(points), dtype=np.int64)
        for _ in range(_ROUNDS):
            squares = _squares(points, centres)
            before, labels = labels, squares.argmin(axis=1)
            if (before == labels).all():
                break
            members = [points[labels == i] for i in range(k)]
            pairs = zip(members, centres, strict=True)
            centres = np.stack([some.mean(0) if len(some) else old for some, old in pairs])
        total = float(_squares(points, centres).min(axis=1).sum())
        if total < least:
            best_labels, least = labels, total
    return best_labels


def _squares(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    norms = np.square(points).sum(1)[:, None] + np.square(centres).sum(1)
    return np.maximum(norms - 2 * points @ centres.T, 0)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """The same clusters, numbered by size from the largest."""
    _, compact, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[compact]
