"""The leak probe: whether samples show what only the augmentation of real images does.

A generator whose discriminator sees augmented real images learns to draw them so: tilted, moved,
with repeated pixels along the borders. Start at `leak`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64  # Pixels that larger images are looked at with.
DEPTH = 10  # A tenth of the side from each border is looked at, row by row.
ANGLES = 12  # Bins of directions, from along the image's rows to along its columns.
RIDGE = 0.05  # Added to variances, which are about 1: a few dozen images must do.
SOFTER = (1.0, 1.5, 2.0, 4.0)  # By how much images are made softer: samples are, and it is no leak.


def leak(
    samples: Tensor,  # uint8 [N, 3, R, R].
    real: Tensor,  # uint8 [M, 3, R, R]: training images as they are ...
    augmented: Tensor,  # ... and as the discriminator is shown them, uint8 [M, 3, R, R].
) -> float:
    """Where samples lie on average between real images, 0, and augmented ones, 1.

    In statistics of borders and angles, along the direction that tells the two apart best (Fisher's
    linear discriminant), sharp or soft. It sees tilted, shifted and smeared pictures, and borders
    of one colour; mirror images it does not see.
    """
    fake = _statistics(_small(samples))
    before, after = (
        [_statistics(_softer(_small(x), by)) for by in SOFTER] for x in (real, augmented)
    )
    scale = np.concatenate(before).std(axis=0) + 1e-6
    fake, before, after = (np.concatenate(x) / scale for x in ([fake], before, after))
    away = after.mean(axis=0) - before.mean(axis=0)
    within = (np.cov(before.T) + np.cov(after.T)) / 2
    direction = np.linalg.solve(within + RIDGE * np.eye(len(within)), away)
    return float((fake.mean(axis=0) - before.mean(axis=0)) @ direction / (away @ direction))


def _small(images: Tensor) -> Tensor:
    """Grey levels of at most 64 px, float32 [N, 1, S, S]."""
    grey = images.float().mean(dim=1, keepdim=True)
    return F.adaptive_avg_pool2d(grey, min(SIDE, grey.shape[3]))


def _softer(grey: Tensor, by: float) -> Tensor:
    if by == 1:
        return grey
    small = F.interpolate(grey, scale_factor=1 / by, mode="area")
    return F.interpolate(small, size=grey.shape[2:], mode="bilinear")


def _statistics(grey: Tensor) -> np.ndarray:
    """Of the borders and angles of each image [N, 1, S, S]: float64 [N, 2 * (S // 10) + 12]."""
    grey = grey[:, 0]
    down, right = grey.diff(dim=1), grey.diff(dim=2)
    profiles = [_profile(down, right), _profile(right.transpose(1, 2), down.transpose(1, 2))]
    return torch.cat([*profiles, _directions(down, right)], dim=1).double().numpy()


def _profile(rows: Tensor, columns: Tensor) -> Tensor:
    """How large differences are at each distance from the border, by those inside: log, [N, D]."""
    rows, columns = rows.abs(), columns.abs().transpose(1, 2)
    depth = rows.shape[2] // DEPTH
    sides = torch.stack([rows, rows.flip(1), columns, columns.flip(1)])  # [4, N, S - 1, S]
    size = sides.mean(dim=(0, 3))
    inside = size[:, depth : 3 * depth].mean(dim=1, keepdim=True)
    return ((size[:, :depth] + 0.5) / (inside + 0.5)).log()


def _directions(down: Tensor, right: Tensor) -> Tensor:
    """Share of the edges in each direction, [N, 12]."""
    y, x = down[:, :, :-1].abs(), right[:, :-1].abs()
    bins = (torch.atan2(y, x) / (torch.pi / 2) * ANGLES).long().clamp(max=ANGLES - 1)
    energy = (y.square() + x.square()).flatten(1)
    shares = torch.zeros(len(down), ANGLES).scatter_add_(1, bins.flatten(1), energy)
    return shares / (shares.sum(dim=1, keepdim=True) + 1e-6)
