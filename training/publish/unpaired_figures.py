"""How like pictures of another kind translated ones are, and how much of the picture stays."""

import contextlib
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from genmodels import metrics
from genmodels.data.image_folder import evenly
from genmodels.metrics.figures import UndefinedFigureError, figure
from genmodels.metrics.figures import figures as named_figures
from genmodels.metrics.registry import METRICS

KINDS = ("swd", "colour")  # Distances between sets, lower is better. KID needs more images.


def figures(
    translations: Tensor,  # Uint8 [N, 3, R, R].
    sources: Tensor,  # What they were made of, uint8 [N, 3, R, R].
    targets: Tensor,  # Pictures of the wanted kind that no training saw, uint8 [M, 3, R, R].
) -> dict[str, Any]:
    """Value and 95 % interval of each figure: those of KINDS, and "kept"; None has a "reason".

    Of the larger set, as many as of the smaller one are compared. kept: SSIM of the pictures in
    grey, 1 where nothing but colour was changed; near 0 where the picture is forgotten.
    """
    n = min(len(translations), len(targets))
    sets = [rows(x[evenly(len(x), n)]) for x in (translations, targets)]
    panel: dict[str, Any] = {"n": len(translations), "n_targets": len(targets)}
    for name in KINDS:
        distance = partial(_distance, name)
        panel |= named_figures(
            [name],
            value=partial(distance, *sets),
            interval=partial(metrics.subset_intervals, distance, *sets),
        )
    similarity = partial(_kept, translations, sources)
    panel["kept"] = figure(
        value=lambda: similarity().mean(), interval=lambda: metrics.bootstrap_interval(similarity())
    )
    return panel


def distances(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """How unlike two sets of as many pictures are, uint8 [N, R, R, 3], by each of KINDS.

    Without what they do not have: "swd" where a colour is flat in one of them.
    """
    values: dict[str, float] = {}
    for name in KINDS:
        with contextlib.suppress(UndefinedFigureError):
            values |= _distance(name, a, b)
    return values


def _distance(name: str, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    if min(len(a), len(b)) < 2:
        raise UndefinedFigureError("it needs 2 or more held-out pictures of each kind")
    return {name: METRICS[name].function(a, b)}


def _kept(translations: Tensor, sources: Tensor) -> np.ndarray:
    """How much of each picture is left, [N]."""
    if not len(translations):
        raise UndefinedFigureError("no pictures are held out")
    values: np.ndarray = METRICS["kept"].function(translations, sources).values
    return values


def rows(pictures: Tensor) -> np.ndarray:
    """uint8 [N, 3, R, R] -> uint8 [N, R, R, 3]."""
    return np.ascontiguousarray(pictures.permute(0, 2, 3, 1).numpy())
