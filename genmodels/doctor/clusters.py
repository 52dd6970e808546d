"""Is it one kind of picture or several? Clusters of frozen features, and how far they are apart."""

from typing import NamedTuple

import numpy as np

COMPONENTS = 24  # Principal components that are kept of the features.
MAX_CLUSTERS = 5
MIN_SHARE = 0.05  # A smaller cluster is none.
MIN_IMAGES = 40  # Fewer have no clusters to speak of.
_ROUNDS = 30
_STARTS = 4


class Clusters(NamedTuple):
    """A set's pictures by likeness."""

    labels: np.ndarray  # Int [N], the largest cluster first.
    separation: float  # Of the cluster that is farthest apart from its nearest: `separation`.
    spread: float  # Mean cosine distance of two pictures' features, 0 to 1.


def cluster(features: np.ndarray) -> Clusters:
    """Clusters of features [N, D], each of length 1; one cluster where they do not divide.

    Deterministic. The number of clusters is that with the widest gaps.
    """
    count = len(features)
    if count < 2:
        return Clusters(np.zeros(count, dtype=np.int64), 0.0, 0.0)
    mean = features.mean(axis=0)
    spread = (1 - float(mean @ mean)) * count / (count - 1)  # Over pairs of different pictures.
    single = Clusters(np.zeros(count, dtype=np.int64), 0.0, spread)
    if count < MIN_IMAGES:
        return single
    points = _components(features - mean)
    best = single
    for k in range(2, MAX_CLUSTERS + 1):
        labels = _k_means(points, k)
        apart = max(separations(points, labels).values(), default=0.0)
        if apart > best.separation:
            best = Clusters(_by_size(labels), apart, spread)
    return best


def separations(points: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """How far each cluster of points [N, D] is from its nearest: Ashman's D on the line between.

    About 2.6 where one Gaussian cloud was cut in two; Ashman et al. 1994 call 2 a clean division
    of two clouds that are given.
    """
    sizes = np.bincount(labels)
    large = [int(k) for k in np.flatnonzero(sizes >= MIN_SHARE * len(labels))]
    centres = {k: points[labels == k].mean(axis=0) for k in large}
    result = {}
    for k in large:
        gaps = []
        for other in large:
            if other == k:
                continue
            line = centres[other] - centres[k]
            line = line / max(float(np.linalg.norm(line)), 1e-9)
            here, there = (points[labels == each] @ line for each in (k, other))
            scatter = np.sqrt((here.var() + there.var()) / 2)
            gaps.append(float((there.mean() - here.mean()) / max(float(scatter), 1e-9)))
        if gaps:
            result[k] = min(gaps)
    return result


def examples(features: np.ndarray, labels: np.ndarray, cluster_label: int, count: int) -> list[int]:
    """Rows of the pictures nearest to a cluster's middle."""
    rows = np.flatnonzero(labels == cluster_label)
    likeness = features[rows] @ features[rows].mean(axis=0)
    return [int(row) for row in rows[np.argsort(-likeness, kind="stable")[:count]]]


def _components(centred: np.ndarray) -> np.ndarray:
    """Principal components [N, 24] of centred features [N, D], in the features' own units."""
    covariance = centred.T @ centred
    _, vectors = np.linalg.eigh(covariance)
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
            centres = np.stack([m.mean(0) if len(m) else c for m, c in zip(members, centres)])
        total = float(_squares(points, centres).min(axis=1).sum())
        if total < least:
            best_labels, least = labels, total
    return best_labels


def _squares(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    norms = np.square(points).sum(1)[:, None] + np.square(centres).sum(1)
    return np.maximum(norms - 2 * points @ centres.T, 0)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """The same clusters, numbered by size from the largest."""
    order = np.argsort(-np.bincount(labels), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[labels]
