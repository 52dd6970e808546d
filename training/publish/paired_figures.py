"""How near translated pictures come to their targets: figures with intervals, baselines beside."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genmodels import metrics
from genmodels.data import images
from genmodels.hub.pipelines import HubPipeline
from genmodels.metrics.figures import UndefinedFigureError, figure

FIGURES: dict[str, Callable[[Tensor, Tensor], np.ndarray]] = {  # Each gives [N], one per image.
    "mse": lambda a, b: metrics.mse(a, b).values,
    "psnr": lambda a, b: metrics.psnr(a, b).values,
    "ssim": lambda a, b: metrics.ssim(a, b).values,
    "chroma_error": lambda a, b: metrics.chroma_error(a, b).values,
}


def translated(pipeline: HubPipeline, sources: Tensor) -> Tensor:
    """What the pipeline makes of uint8 sources [N, 3, R, R] at their own size: uint8, the same."""
    made = []
    for chunk in sources.split(64) if len(sources) else ():
        pictures = images.to_pil(images.to_float(chunk))
        made.append(images.from_pil(pipeline(pictures, network_size=0).images))
    return torch.cat(made) if made else sources


def figures(
    made: Tensor,  # Uint8 [N, 3, R, R].
    targets: Tensor,  # Uint8 [N, 3, R, R].
    baseline: Tensor,  # What doing nothing gives, the sources: uint8 [N, 3, R, R].
) -> dict[str, Any]:
    """Every figure: value, 95 % interval over images, and the baseline's value.

    What is not defined is None, with a "reason": the PSNR of pictures that equal their targets, the
    texture of flat ones.
    """
    panel: dict[str, Any] = {"n": len(made)}
    for name in FIGURES:
        panel[name] = figure(
            value=partial(_mean, name, made, targets),
            interval=partial(_interval, name, made, targets),
            baseline=partial(_mean, name, baseline, targets),
        )
    of_sets: dict[str, Callable[[Tensor, Tensor], float]]
    of_sets = {"psnr_of_mean": _psnr_of_mean, "swd": _texture}
    for name, compute in of_sets.items():
        panel[name] = figure(
            value=partial(compute, made, targets), baseline=partial(compute, baseline, targets)
        )
    return panel


def _values(name: str, a: Tensor, b: Tensor) -> np.ndarray:
    """A figure of each of some pictures, [N]."""
    if not len(a):
        raise UndefinedFigureError("no pictures are held out")
    values = FIGURES[name](a, b)
    if equal := int(np.isinf(values).sum()):
        raise UndefinedFigureError(f"{equal} of {len(a)} pictures equal their targets")
    return values


def _mean(name: str, a: Tensor, b: Tensor) -> float:
    return float(_values(name, a, b).mean())


def _interval(name: str, a: Tensor, b: Tensor) -> metrics.Interval:
    return metrics.bootstrap_interval(_values(name, a, b))


def _texture(a: Tensor, b: Tensor) -> float:
    if len(a) < 2:
        raise UndefinedFigureError("it needs 2 or more held-out pairs")
    return metrics.swd(a, b)


def _psnr_of_mean(a: Tensor, b: Tensor) -> float:
    """The PSNR of the mean MSE, which papers often print: never above the mean of PSNRs."""
    error = _mean("mse", a, b)
    if error == 0:
        raise UndefinedFigureError("all pictures equal their targets")
    return float(10 * np.log10(255**2 / error))
