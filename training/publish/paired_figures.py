"""Paired metrics of translated pictures, with intervals and baselines."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genmodels import metrics
from genmodels.data import images
from genmodels.hub.pipelines import ImagePipeline
from genmodels.metrics.figures import UndefinedFigureError, figure
from genmodels.metrics.registry import METRICS, paired_metrics


def translated(pipeline: ImagePipeline, sources: Tensor) -> Tensor:
    """What the pipeline makes of uint8 sources [N, 3, R, R] at their own size: uint8, the same."""
    translations = []
    for chunk in sources.split(64) if len(sources) else ():
        pictures = images.to_pil(images.to_float(chunk))
        translations.append(images.from_pil(pipeline(pictures, network_size=0).images))
    return torch.cat(translations) if translations else sources


def figures(
    translations: Tensor,  # Uint8 [N, 3, R, R].
    targets: Tensor,  # Uint8 [N, 3, R, R].
    baseline: Tensor,  # What doing nothing gives, the sources: uint8 [N, 3, R, R].
) -> dict[str, Any]:
    """Every figure: value, 95 % interval over images, and the baseline's value.

    What is not defined is None, with a "reason": the PSNR of pictures that equal their targets, the
    texture of flat ones.
    """
    panel: dict[str, Any] = {"n": len(translations)}
    for name in paired_metrics():
        parts: dict[str, Callable[[], Any]] = {"value": partial(_mean, name, translations, targets)}
        if METRICS[name].takes == "pair":
            parts["interval"] = partial(_interval, name, translations, targets)
        panel[name] = figure(**parts, baseline=partial(_mean, name, baseline, targets))
    texture = partial(_texture, translations, targets), partial(_texture, baseline, targets)
    panel["swd"] = figure(value=texture[0], baseline=texture[1])
    return panel


def _values(name: str, a: Tensor, b: Tensor) -> np.ndarray:
    """A figure of each of some pictures, [N], or that of all, []."""
    if not len(a):
        raise UndefinedFigureError("no pictures are held out")
    result = METRICS[name].function(a, b)
    values = np.asarray(getattr(result, "values", result))
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
