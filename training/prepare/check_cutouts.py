"""How well cars are cut out: masks against outlines that were drawn by hand.

    python -m training.prepare.check_cutouts --photos PHOTOS

Prints the intersection over union, its 95 % interval over the photographs, and the worst of them.
The regression that learns the outlines sees no hand-drawn one.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import tyro
from PIL import Image, ImageDraw

from genmodels.data import images
from genmodels.metrics import intervals
from training.prepare import cutouts
from training.prepare.u2netp import U2NetP

OUTLINES = Path(__file__).with_name("cars_outlines.csv")  # Outlines of 36 Stanford Cars.
FINER = 4  # Outlines are filled on a grid this much finer than the masks.


@dataclass(frozen=True)
class Config:
    """What to cut out, and what to compare it with."""

    photos: Path  # Folder of photographs; all of them teach the shapes.
    outlines: Path = OUTLINES  # CSV: file, outline as x:y of each corner in 1/128 of the square.
    u2netp: bool = True  # Compare this network, too.


def check(config: Config) -> dict[str, float]:
    """Mean intersection over union of each way to cut."""
    truth = read_outlines(config.outlines)
    missing = [file for file in truth if not (config.photos / file).is_file()]
    if missing:
        raise ValueError(f"{config.photos} must hold the outlined photographs, lacks {missing}")
    squares = [images.fit_square(images.open_rgb(config.photos / f), cutouts.SIDE) for f in truth]
    whole = np.stack(list(truth.values()))
    mean = whole.sum(0)
    ways: dict[str, Sequence[np.ndarray | None]] = {
        "mean of the other outlines": [(mean - mask) / (len(truth) - 1) > 0.5 for mask in whole],
        "GrabCut from an ellipse": [cutouts.grab_cut(s, cutouts.ellipse()) for s in squares],
        "GrabCut from learned outlines": of_all(config.photos, list(truth)),
    }
    if config.u2netp:
        network = U2NetP()
        ways["u2netp"] = [cutouts.tidy(network.segment(square)) for square in squares]
    return {name: print_way(name, masks, whole) for name, masks in ways.items()}


def of_all(photos: Path, files: list[str]) -> list[np.ndarray | None]:
    """Masks of some photographs, the shapes being learned from all; None for one left out."""
    masks, _ = cutouts.find_masks(photos, sorted(path.name for path in photos.iterdir()))
    return [masks.get(file) for file in files]


def print_way(name: str, masks: Sequence[np.ndarray | None], truth: np.ndarray) -> float:
    """Mean intersection over union of the masks that are there."""
    pairs = [(a, b) for a, b in zip(masks, truth, strict=True) if a is not None]
    ious = np.array([cutouts.iou(a, b) for a, b in pairs])
    low, high = intervals.bootstrap_interval(ious)
    print(
        f"{name}: {ious.mean():.3f} [{low:.3f}, {high:.3f}], "
        f"worst {ious.min():.2f}, {len(ious)} of {len(truth)} kept"
    )
    return float(ious.mean())


def read_outlines(path: Path) -> dict[str, np.ndarray]:
    """File name -> mask, bool [SIDE, SIDE]."""
    masks = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            corners = [tuple(map(float, corner.split(":"))) for corner in row["outline"].split()]
            side = cutouts.SIDE * FINER
            fine = Image.new("L", (side, side))
            scaled = [(x * side / 128, y * side / 128) for x, y in corners]
            ImageDraw.Draw(fine).polygon(scaled, fill=255)
            small = fine.resize((cutouts.SIDE,) * 2, Image.Resampling.BOX)
            masks[row["file"]] = np.asarray(small) > 127
    return masks


if __name__ == "__main__":
    check(tyro.cli(Config))
