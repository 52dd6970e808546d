"""How like pictures of another kind translated ones are, and how much of the picture stays."""

from typing import Any

import numpy as np
from torch import Tensor

from genmodels import colour, metrics
from training.translator_run import evenly

KINDS = ("swd", "colour")  # Of two sets; lower is more alike. A KID of so few says nothing.


def figures(
    made: Tensor,  # Translations, uint8 [N, 3, R, R].
    sources: Tensor,  # What they were made of, uint8 [N, 3, R, R].
    targets: Tensor,  # Pictures of the wanted kind that no training saw, uint8 [M, 3, R, R].
) -> dict[str, Any]:
    """Value and 95 % interval of each figure: those of KINDS, and "kept".

    Of the larger set, as many as of the smaller one are compared. kept: SSIM of the pictures in
    grey, 1 where nothing but colour was changed; near 0 where the picture is forgotten.
    """
    n = min(len(made), len(targets))
    sets = [rows(x[evenly(len(x), n)]) for x in (made, targets)]
    values = distances(*sets)
    intervals = metrics.subset_intervals(distances, *sets)
    panel: dict[str, Any] = {"n": len(made), "n_targets": len(targets)}
    for name in values:
        low, high = intervals[name]
        panel[name] = {"value": values[name], "low": low, "high": high}
    kept = metrics.ssim(colour.to_grey(made), colour.to_grey(sources)).values
    low, high = metrics.bootstrap_interval(kept)
    return panel | {"kept": {"value": float(kept.mean()), "low": low, "high": high}}


def distances(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """How unlike two sets of as many pictures are, uint8 [N, R, R, 3], by each of KINDS.

    Without "swd" where a colour is flat in one of them.
    """
    colours = metrics.colour_panel(a, b).values()
    swd = metrics.texture(a, b)
    found = {} if swd is None else {"swd": swd}
    return found | {"colour": float(np.mean([channel["wasserstein"] for channel in colours]))}


def rows(pictures: Tensor) -> np.ndarray:
    """uint8 [N, 3, R, R] -> uint8 [N, R, R, 3]."""
    return np.ascontiguousarray(pictures.permute(0, 2, 3, 1).numpy())
