"""Nearest neighbours between sets of images: memorised, repeated and missing images.

Start at `nearest_neighbours`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genmodels.metrics.descriptors import (
    Images,
    image_batch,
    image_batches,
    random_conv_features,
    standardised,
    thumbnails,
)

COPY_RATIO = 1 / 3  # arXiv:2505.16959.
NUM_WORST = 16
SAME_PICTURE = 0.985  # Correlation of thumbnails above which two pictures are nearly one.
HEALTHY_DUPLICATES = 0.05  # Share of real images that count as duplicates.
_CHUNK = 32  # Queries per matrix product: bounds memory.


@dataclass(frozen=True)
class Neighbours:
    """What one way to measure distance says of N samples. Distances are root mean squares.

    `closeness` = nearest train distance / (that + nearest held-out distance), in [0, 1]: near 0
    for a copy. A ratio, because blur brings an image nearer to everything.
    """

    train_distance: np.ndarray  # [N] to the nearest training image.
    second_train_distance: np.ndarray  # [N] to the second nearest.
    held_out_distance: np.ndarray  # [N] to the nearest held-out image.
    train_index: np.ndarray  # [N] which training image is nearest.
    held_out_index: np.ndarray  # [N] which held-out image is nearest.
    closeness: np.ndarray  # [N] of the samples.
    held_out_closeness: np.ndarray  # [M] of each held-out image, to train and to the other M - 1.
    copies: np.ndarray  # [N] bool: nearest / second nearest train distance < 1/3, or no distance.
    worst: np.ndarray  # Up to 16 samples, the lowest closeness first.

    @property
    def closer_to_train(self) -> float:
        """Chance that a sample is closer to train than a held-out image is; 0.5 when healthy."""
        return share_smaller(self.closeness, self.held_out_closeness)


def nearest_neighbours(
    samples: Images,  # Two or more generated images.
    train: Images,  # All images that the model was trained on, or a random part.
    held_out: Images,  # Images of the same source that it has not seen.
    *,
    seed: int = 0,  # Weights of the random network behind "features".
) -> dict[str, Neighbours]:
    """Has the model memorised? Three ways to measure distance, each with its `Neighbours`.

    "pixels": 16x16 thumbnails, grey levels. "shifted": their inner 14x14, best of the sample's
    nine shifts by up to one thumbnail pixel and its mirror images. "features": random-conv
    features standardised by `train`. A training image that occurs twice hides its copies from the
    1/3 rule, unless they are exact: remove duplicates from `train` first. Samples whose features
    lie far outside those of real images all share a few neighbours, so that `closer_to_train` in
    "features" is then chance (0.98 for strongly blurred reals, which copy nothing); `copies` and
    the two other spaces are not affected.
    """
    batches = image_batches(
        samples, train, held_out, names=("samples", "train", "held_out"), at_least=2, min_side=16
    )
    small = [torch.from_numpy(thumbnails(batch)) for batch in batches]
    features = [random_conv_features(batch, seed) for batch in batches]
    spaces = {
        "pixels": ([x.flatten(1)[:, None] for x in small], [x.flatten(1) for x in small]),
        "shifted": (
            [_shifts_and_flips(x) for x in small],
            [x[..., 1:-1, 1:-1].flatten(1) for x in small],
        ),
    }
    rows = [torch.from_numpy(standardised(x, features[1])) for x in features]
    spaces["features"] = ([x[:, None] for x in rows], rows)
    return {name: _neighbours(queries, keys) for name, (queries, keys) in spaces.items()}


def _neighbours(queries: list[Tensor], keys: list[Tensor]) -> Neighbours:
    """Both lists: samples, train, held-out; queries [N, V, D] with V variants, keys [N, D]."""
    train, train_index = two_nearest(queries[0], keys[1])
    held_out, held_out_index = two_nearest(queries[0], keys[2])
    real_train, _ = two_nearest(queries[2], keys[1])
    real_held_out, _ = two_nearest(queries[2], keys[2], skip_self=True)
    closeness = _closeness(train[:, 0], held_out[:, 0])
    return Neighbours(
        train_distance=train[:, 0],
        second_train_distance=train[:, 1],
        held_out_distance=held_out[:, 0],
        train_index=train_index,
        held_out_index=held_out_index,
        closeness=closeness,
        held_out_closeness=_closeness(real_train[:, 0], real_held_out[:, 0]),
        copies=(train[:, 0] < COPY_RATIO * train[:, 1]) | (train[:, 0] == 0),
        worst=np.argsort(closeness, kind="stable")[:NUM_WORST],
    )


def _closeness(train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    total = train + held_out
    return np.divide(train, total, out=np.full_like(total, 0.5), where=total > 0)


def share_smaller(a: np.ndarray, b: np.ndarray) -> float:
    """Chance that a value of `a` is below one of `b`, ties counting half (Mann and Whitney)."""
    ordered = np.sort(b)
    below = np.searchsorted(ordered, a, side="left")
    not_above = np.searchsorted(ordered, a, side="right")
    return float(1 - (below + not_above).mean() / (2 * len(b)))


def _shifts_and_flips(small: Tensor) -> Tensor:
    """[N, 3, 16, 16] -> its nine inner 14x14 crops and their mirror images, [N, 18, 588]."""
    side = small.shape[-1] - 2
    crops = [small[..., y : y + side, x : x + side] for y in range(3) for x in range(3)]
    return torch.stack([v.flatten(1) for crop in crops for v in (crop, crop.flip(-1))], dim=1)


def two_nearest(
    queries: Tensor,  # [N, V, D]: V variants of each query, of which the best counts.
    keys: Tensor,  # [K, D].
    *,
    skip_self: bool = False,  # Whether key i is query i itself and does not count.
) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square distances to the two nearest keys [N, 2], and the nearest's index [N].

    Infinite where none is left.
    """
    key_norms = keys.square().sum(dim=1)
    distances, indices = [], []
    for start, chunk in zip(range(0, len(queries), _CHUNK), queries.split(_CHUNK), strict=True):
        squares = key_norms + chunk.square().sum(dim=2, keepdim=True) - 2 * (chunk @ keys.T)
        squares = squares.amin(dim=1)  # [n, K]
        if skip_self:
            squares[torch.arange(len(chunk)), torch.arange(start, start + len(chunk))] = torch.inf
        nearest = squares.topk(2, largest=False)
        distances.append((nearest.values / keys.shape[1]).clamp(min=0).sqrt())
        indices.append(nearest.indices[:, 0])
    # The expanded square leaves 1e-6 where two images are equal; rounding makes that exactly 0.
    return torch.cat(distances).numpy().round(4), torch.cat(indices).numpy()


def near_repeats(
    images: Images,  # N of them.
    others: Images,  # M, of any size.
) -> np.ndarray:
    """Which images [N] nearly show what one of the others does, perhaps mirrored.

    By the correlation of 16x16 thumbnails: as after another compression, size or exposure.
    """
    if not len(images) or not len(others):
        return np.zeros(len(images), dtype=bool)
    batch, keys = correlated_thumbnails(images, "images"), correlated_thumbnails(others, "others")
    flat = [x.flatten(1) for x in (batch, batch.flip(-1))]
    repeats = []
    for image, mirrored in zip(*(x.split(_CHUNK) for x in flat), strict=True):
        both = torch.maximum(image @ keys.flatten(1).T, mirrored @ keys.flatten(1).T)
        repeats.append((both > SAME_PICTURE).any(1))
    return torch.cat(repeats).numpy()


def correlated_thumbnails(images: Images, name: str) -> Tensor:
    """Thumbnails whose product is their correlation, float32 [N, 3, 16, 16]; 0 for a flat one."""
    small = torch.from_numpy(thumbnails(image_batch(images, name))).float()
    small -= small.mean(dim=(1, 2, 3), keepdim=True)
    norm = small.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return small / norm.clamp(min=1)


class DensityCoverage(NamedTuple):
    """Both are near 1 for samples like the reference; see `genmodels.metrics.density_coverage`."""

    density: float
    coverage: float


def density_and_coverage(
    fake: np.ndarray,  # [N, D].
    real: np.ndarray,  # [M, D].
    k: int,  # A real image's ball reaches to its k-th nearest real neighbour.
) -> DensityCoverage:
    """Equations 5 and 6 of Naeem et al. 2020, arXiv:2002.09797."""
    real_norms = np.square(real).sum(axis=1)
    real_real = real_norms[:, None] + real_norms - 2 * real @ real.T
    np.fill_diagonal(real_real, np.inf)
    radii = np.partition(real_real, k - 1, axis=1)[:, k - 1]
    real_fake = real_norms[:, None] + np.square(fake).sum(axis=1) - 2 * real @ fake.T  # [M, N]
    inside = real_fake < radii[:, None]
    return DensityCoverage(float(inside.sum() / (k * len(fake))), float(inside.any(axis=1).mean()))


def duplicate_flags(samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Which samples [N] are nearer to another sample than 95 % of references are to theirs.

    Rows of equally many images, [N, D] each, as distances to neighbours shrink with the number.
    """
    a, b = (
        two_nearest(torch.from_numpy(x)[:, None], torch.from_numpy(x), skip_self=True)[0][:, 0]
        for x in (samples, reference)
    )
    return a <= np.quantile(b, HEALTHY_DUPLICATES)
