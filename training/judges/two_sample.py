"""How well a newly trained classifier distinguishes generated images from real ones.

The classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545), as an area under the
ROC curve on images that it was not trained on: 0.5 if the two sets cannot be distinguished, 1 if
they always can. Unlike the figures of `metrics`, it can be compared across data sets of the same
resolution and size, since a perfect model scores 0.5 on each. In full detail an early model always
scores 1; `side` reduces the images so that only the layout and the colours count.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.metrics.intervals import bootstrap_interval
from genmodels.nn.augment import diff_augment
from training.judges.classifier import Classifier, fit, look, shrink

TWO_SAMPLE_VERSION = 2  # Raised whenever the same images would get another figure.
NUM_NETWORKS = 3  # Their scores are averaged: one alone depends on its initialisation.
MAX_IMAGES = 10_000  # Training images seen by each: half a minute of a busy core at 32 px.


def two_sample_test(
    real: tuple[Tensor, Tensor],  # To train on and to test on, uint8 [N, 3, R, R] each.
    fake: tuple[Tensor, Tensor],  # The same numbers.
    *,
    side: int | None = None,  # Reduce the images to this side; default: full size.
    seed: int = 0,
) -> dict[str, Any]:
    """The area under the ROC curve as value, low, high; the interval is over the test images."""
    counts = [[len(part) for part in side] for side in (real, fake)]
    if counts[0] != counts[1] or min(counts[0]) < 16:
        raise ValueError(
            f"real and fake must be 16 or more images and as many of each, got {counts}"
        )
    learnt, tested = (_coarse(torch.cat([r, f]), side) for r, f in zip(real, fake, strict=True))
    is_real = torch.arange(len(learnt))[:, None] < counts[0][0]
    scores = np.zeros(len(tested))
    with torch.random.fork_rng():
        for network_seed in range(seed, seed + NUM_NETWORKS):
            torch.manual_seed(network_seed)
            network = Classifier(1)
            loss = F.binary_cross_entropy_with_logits
            fit(network, shrink(learnt), is_real.float(), loss, _equalised, max_images=MAX_IMAGES)
            scores += look(network, tested)[:, 0].numpy()
    rows = np.stack([scores, np.arange(len(tested)) < counts[0][1]], axis=1)
    interval = bootstrap_interval(rows, area_under_curve)
    n_learnt, n_asked = counts[0]
    value = area_under_curve(rows)
    return {"value": value, **interval._asdict(), "n_learnt": n_learnt, "n_asked": n_asked}


def _coarse(pixels: Tensor, side: int | None) -> Tensor:
    """Images uint8 [N, 3, R, R] with no more in them than `side` px per side hold."""
    if side is None:
        return pixels
    small = F.adaptive_avg_pool2d(pixels.float(), side)
    return F.interpolate(small, size=pixels.shape[2:], mode="bilinear").round().to(torch.uint8)


def area_under_curve(rows: np.ndarray) -> float:
    """How often a row of class 1 scores above one of class 0; rows [N, 2] of score and class."""
    is_one = rows[:, 1] == 1
    _, place, counts = np.unique(rows[:, 0], return_inverse=True, return_counts=True)
    ranks: np.ndarray = (counts.cumsum() - (counts - 1) / 2)[place]  # Equal scores share a rank.
    ones, zeros = int(is_one.sum()), int((~is_one).sum())
    return float((ranks[is_one].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _equalised(x: Tensor) -> Tensor:
    """Both sides a little blurred and noisy, or the finest grain alone would decide everything."""
    kernel = torch.tensor([1.0, 2.0, 1.0], device=x.device) / 4
    weight = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    blurred = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), weight, groups=3)
    share, sigma = torch.rand(2, len(x), 1, 1, 1, device=x.device)
    x = x + share * (blurred - x) + 0.06 * sigma * torch.randn_like(x)
    return diff_augment(x, "translation")
