"""How near translated pictures come to their targets: figures with intervals, baselines beside."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genmodels import images, metrics
from genmodels.hub import HubPipeline

FIGURES: dict[str, Callable[[Tensor, Tensor], np.ndarray]] = {  # Each gives [N], one per image.
    "mse": lambda a, b: metrics.mse(a, b).values,
    "psnr": lambda a, b: metrics.psnr(a, b).values,
    "ssim": lambda a, b: metrics.ssim(a, b).values,
    "chroma_error": lambda a, b: metrics.chroma_error(a, b).values,
}


def translated(pipeline: HubPipeline, sources: Tensor) -> Tensor:
    """What the pipeline makes of uint8 sources [N, 3, R, R] at their own size: uint8, the same."""
    made = []
    for chunk in sources.split(64):
        pictures = images.to_pil(images.to_float(chunk))
        made.append(images.from_pil(pipeline(pictures, network_size=0).images))
    return torch.cat(made)


def figures(
    made: Tensor,  # Uint8 [N, 3, R, R].
    targets: Tensor,  # Uint8 [N, 3, R, R].
    baseline: Tensor,  # What doing nothing gives, the sources: uint8 [N, 3, R, R].
) -> dict[str, Any]:
    """Every figure: value, 95 % interval over images, and the baseline's value.

    What is not defined is left out: "swd", or its baseline, of sets that have no texture.
    """
    panel: dict[str, Any] = {"n": len(made)}
    for name, figure in FIGURES.items():
        values = figure(made, targets)
        low, high = metrics.bootstrap_interval(values)
        panel[name] = {
            "value": float(values.mean()),
            "low": low,
            "high": high,
            "baseline": float(figure(baseline, targets).mean()),
        }
    panel["psnr_of_mean"] = {
        "value": _psnr_of_mean(made, targets),
        "baseline": _psnr_of_mean(baseline, targets),
    }
    textures = {"value": metrics.texture(made, targets)}
    textures["baseline"] = metrics.texture(baseline, targets)
    defined = {key: value for key, value in textures.items() if value is not None}
    return panel | ({"swd": defined} if "value" in defined else {})


def _psnr_of_mean(a: Tensor, b: Tensor) -> float:
    """The PSNR of the mean MSE, which papers often print: never above the mean of PSNRs."""
    return float(10 * np.log10(255**2 / metrics.mse(a, b)))
