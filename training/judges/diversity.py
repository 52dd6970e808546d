"""How much the images of a set differ from each other: layout, views, backgrounds.

`diversity` measures two sets side by side; more diverse sets are harder to learn.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from genmodels import metrics
from genmodels.metrics.descriptors import rgb_to_lab

CELLS = 4  # Cells per side of the edge descriptor.
ORIENTATIONS = 8  # Edge orientations over 180 degrees.
LUMA = (0.299, 0.587, 0.114)  # Weights of red, green and blue in luma.
GROUPS = {  # Figures by group: the name in the table, and whether higher is more diverse.
    "what no common layout explains": {
        "unshared_pixels": ("share of grey pixels' variance that the mean image lacks", True),
        "unshared_edges": ("share of edges' energy (HOG) that the mean lacks: views", True),
        "ms_ssim": ("likeness of random pairs (MS-SSIM)", False),
    },
    "in how many ways images vary": {
        "pixel_components": ("principal components for 90 % of grey pixels' variance", True),
        "edge_directions": ("independent directions in which edges vary", True),
    },
    "background": {
        "border_colour": ("how far border colours differ between images (L*a*b*)", True),
        "border_to_centre": ("the same, relative to the centre's colours", True),
        "border_detail": ("how busy the border is within an image (std of L*)", True),
    },
}
DIVERSITY = {key: told for group in GROUPS.values() for key, told in group.items()}

Figures = dict[str, float]


def diversity(first: Tensor, second: Tensor, seed: int) -> dict[str, dict[str, float]]:
    """Each figure of both sets, uint8 [N, 3, 32, 32]: values and intervals; gap: first - second.

    Intervals by half-samples: of a bootstrap's repeated rows the principal components are too few.
    """
    results: dict[str, dict[str, float]] = {key: {} for key in DIVERSITY}
    for describe, statistic in (
        (_grey, pixel_figures),
        (_edges, edge_figures),
        (rgb_to_lab, border_figures),
        (Tensor.numpy, partial(pair_figures, seed=seed)),
    ):
        rows = [describe(each) for each in (first, second)]
        both = partial(_of_both, statistic)
        values, intervals = both(*rows), metrics.subset_intervals(both, *rows)
        for name, (low, high) in intervals.items():
            which, key = name.split()
            results[key] |= {which: values[name], f"{which}_low": low, f"{which}_high": high}
    return results


def _of_both(
    statistic: Callable[[np.ndarray], Figures], first: np.ndarray, second: np.ndarray
) -> Figures:
    one, other = statistic(first), statistic(second)
    sides = {"first": one, "second": other, "gap": {key: one[key] - other[key] for key in one}}
    return {f"{which} {key}": value for which, each in sides.items() for key, value in each.items()}


def pixel_figures(grey: np.ndarray) -> Figures:
    """How much of grey pictures [N, R, R] one mean picture and a few directions explain."""
    rows = grey.reshape(len(grey), -1)
    rows = rows - rows.mean()
    centred = rows - rows.mean(axis=0)
    shares = _spectrum(centred)
    return {
        "unshared_pixels": float((centred**2).sum() / (rows**2).sum()),
        "pixel_components": float(np.searchsorted(shares.cumsum(), 0.9) + 1),
    }


def edge_figures(edges: np.ndarray) -> Figures:
    """How much the places and directions of edges [N, D] differ."""
    centred = edges - edges.mean(axis=0)
    shares = _spectrum(centred)
    return {
        "unshared_edges": float((centred**2).sum() / (edges**2).sum()),
        "edge_directions": float(1 / (shares**2).sum()),  # The participation ratio.
    }


def border_figures(lab: np.ndarray) -> Figures:
    """How much the outer eighth of pictures [N, 3, R, R], mostly background, differs in colour."""
    side = lab.shape[-1]
    border, centre = np.ones((side, side), dtype=bool), np.zeros((side, side), dtype=bool)
    border[side // 8 : -(side // 8), side // 8 : -(side // 8)] = False
    centre[side // 4 : -(side // 4), side // 4 : -(side // 4)] = True
    outside, inside = (
        float(np.sqrt(lab[:, :, where].var(axis=0).sum(axis=0).mean()))
        for where in (border, centre)
    )
    return {
        "border_colour": outside,
        "border_to_centre": outside / inside,
        "border_detail": float(lab[:, 0][:, border].std(axis=1).mean()),
    }


def pair_figures(pixels: np.ndarray, seed: int) -> Figures:
    """Mean likeness of random pairs of pictures, uint8 [N, 3, R, R]."""
    pairs = metrics.ms_ssim_diversity(torch.from_numpy(pixels), seed=seed)
    return {"ms_ssim": float(pairs)}


def _grey(pixels: Tensor) -> np.ndarray:
    return np.tensordot(pixels.numpy(), np.array(LUMA), axes=(1, 0))  # [N, R, R]


def _edges(pixels: Tensor) -> np.ndarray:
    """Energy of edges per cell and direction, of length 1 (HOG): [N, 3, R, R] -> [N, 128]."""
    grey = _grey(pixels)
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) / np.pi % 1 * ORIENTATIONS).astype(int) % ORIENTATIONS
    cells = (len(grey), CELLS, grey.shape[1] // CELLS, CELLS, grey.shape[2] // CELLS)
    energy = [
        np.where(turn == k, strength, 0).reshape(cells).sum((2, 4)) for k in range(ORIENTATIONS)
    ]
    rows = np.stack(energy, axis=-1).reshape(len(grey), -1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _spectrum(centred: np.ndarray) -> np.ndarray:
    """Shares of the variance of rows [N, D] along principal directions, largest first."""
    rows = centred if len(centred) > centred.shape[1] else centred.T  # The same, and smaller.
    values = np.linalg.eigvalsh(rows.T @ rows)[::-1].clip(min=0)
    return values / values.sum()


def is_first_more_diverse(key: str, figure: dict[str, float]) -> bool | None:
    """None if the interval of the difference holds 0."""
    if figure["gap_low"] <= 0 <= figure["gap_high"]:
        return None
    return (figure["gap"] > 0) == DIVERSITY[key][1]
