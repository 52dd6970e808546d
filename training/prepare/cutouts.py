"""Where the car is in a photograph, and the car on a plain background.

The photographs are squares that their car fills from left to right. A network finds the car, or,
without any, GrabCut (Rother et al. 2004) separates its colours from those around it, starting from
an ellipse. Both err on single photographs, each time in another way; so a ridge regression learns
from a sample of the masks which outline goes with which shapes (the descriptors of `viewpoints`).
A second GrabCut starts from that outline, and a mask that is far from it is left out.
Start at `find_masks`; `paste` puts a car on its new background.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from genmodels.data import images
from training.prepare import viewpoints

SIDE = 128  # Side of the cut-out squares and of the masks.
OUTLINE_SIDE = 32  # Side of the outlines that the regression learns.
SAMPLE = 1200  # Photographs whose first masks teach the outlines; four times as many: no better.
RIDGE = 30.0
GREY = (200, 200, 200)  # Light, but darker than a white car.
LENGTH, GROUND = 0.92, 0.8  # Length and lowest point of an aligned car, relative to the side.
AREA = (0.15, 0.55)  # Share of the square that a car covers.
MARGIN = 3  # Pixels that a square leaves on either side of its car: what is found there is another.
MIN_AGREEMENT = 0.8  # Smallest IoU of a mask with the outline it started from.

Segment = Callable[[Image.Image], np.ndarray]  # A picture -> bool [SIDE, SIDE] of its square.


def find_masks(
    folder: Path,  # Where the photographs are.
    files: Sequence[str],  # Their names.
    segment: Segment | None = None,  # Finds the car; None: GrabCut does.
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The masks, bool [SIDE, SIDE] each, and of the photographs without one, the reason."""
    pictures: dict[str, Image.Image] = {}
    masks: list[np.ndarray] = []
    reasons = {}
    for file in files:
        try:
            photo = images.open_rgb(folder / file)
        except ValueError as error:
            reasons[file] = str(error)
            continue
        pictures[file] = images.fit_square(photo, SIDE)
        if segment is not None:
            masks.append(tidy(segment(photo)))
            _print_progress(len(masks), len(files))
    if not pictures:
        return {}, reasons
    with ThreadPoolExecutor() as pool:
        shapes = np.stack(list(pool.map(viewpoints.describe, pictures.values())))
    if segment is None:
        masks, outlines = cut_by_colour(list(pictures.values()), shapes)
    else:
        outlines = learn_outlines(shapes, masks)
    usable = {}
    for file, mask, outline in zip(pictures, masks, outlines, strict=True):
        if reason := failure(mask, outline):
            reasons[file] = reason
        else:
            usable[file] = mask
    return usable, reasons


def cut_by_colour(
    squares: Sequence[Image.Image], shapes: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """GrabCut's masks of squares whose descriptions are given, and the outlines they began with."""
    masks: list[np.ndarray] = []
    with ThreadPoolExecutor() as pool:
        sample = sample_of(len(squares))
        first = list(pool.map(lambda i: grab_cut(squares[i], ellipse()), sample))
        print(f"cutouts: {len(first)} first masks", flush=True)
        outlines = predict_outlines(shapes, *fit_outlines(shapes[sample], np.stack(first)))
        for mask in pool.map(grab_cut, squares, map(seed, outlines)):
            masks.append(tidy(mask))
            _print_progress(len(masks), len(squares))
    return masks, outlines


def learn_outlines(shapes: np.ndarray, masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Which outline each photograph should have by its shapes, from a sample of all masks."""
    sample = sample_of(len(masks))
    some = np.stack([masks[i] for i in sample])
    return predict_outlines(shapes, *fit_outlines(shapes[sample], some))


def sample_of(number: int) -> np.ndarray:
    """Places of at most SAMPLE photographs, evenly among all."""
    return np.linspace(0, number - 1, min(SAMPLE, number), dtype=int)


def _print_progress(done: int, of: int) -> None:
    if done % 500 == 0:
        print(f"cutouts: {done} of {of}", flush=True)


def ellipse() -> np.ndarray:
    """What GrabCut is told before anything is known, uint8 [SIDE, SIDE]."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE - 0.5
    y -= 0.03  # Most cars sit a little below the middle.
    hints = np.full((SIDE, SIDE), cv2.GC_PR_BGD, np.uint8)
    hints[(x / 0.48) ** 2 + (y / 0.28) ** 2 < 1] = cv2.GC_PR_FGD
    hints[(x / 0.31) ** 2 + (y / 0.125) ** 2 < 1] = cv2.GC_FGD
    hints[(abs(y) > 0.37) | (abs(x) > 0.485)] = cv2.GC_BGD
    return hints


def seed(outline: np.ndarray) -> np.ndarray:
    """What GrabCut is told of an outline, float [SIDE, SIDE]: where it may change it."""
    hints = np.where(outline > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    hints[outline > 0.8] = cv2.GC_FGD
    hints[outline < 0.2] = cv2.GC_BGD
    return hints


def grab_cut(square: Image.Image, hints: np.ndarray) -> np.ndarray:
    """The foreground, bool [SIDE, SIDE]. One iteration: two or four were no better."""
    cv2.setRNGSeed(0)  # Per thread; its k-means starts at random.
    mask = hints.copy()
    inside, outside = np.zeros((1, 65)), np.zeros((1, 65))  # The colour models, for it to fill.
    whole = (0, 0, SIDE, SIDE)  # Not looked at, as the hints are a mask.
    cv2.grabCut(np.array(square), mask, whole, outside, inside, 1, cv2.GC_INIT_WITH_MASK)
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


def fit_outlines(shapes: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, ...]:
    """Descriptions [n, 2, features] and masks -> means of both, weights between them."""
    size = (OUTLINE_SIDE, OUTLINE_SIDE)
    small = [cv2.resize(m.astype(np.float64), size, interpolation=cv2.INTER_AREA) for m in masks]
    upright = np.stack(small)
    targets = np.concatenate([upright, upright[:, :, ::-1]]).reshape(2 * len(masks), -1)
    return viewpoints.ridge(np.concatenate([shapes[:, 0], shapes[:, 1]]), targets, RIDGE)


def predict_outlines(
    shapes: np.ndarray, mean: np.ndarray, target_mean: np.ndarray, weights: np.ndarray
) -> list[np.ndarray]:
    """Descriptions [n, 2, features] -> n outlines, float [SIDE, SIDE], about 0 to 1."""
    upright, mirrored = (
        ((shapes[:, side] - mean) @ weights + target_mean).reshape(-1, OUTLINE_SIDE, OUTLINE_SIDE)
        for side in (0, 1)
    )
    both = (upright + mirrored[:, :, ::-1]) / 2
    return [cv2.resize(o, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for o in both]


def tidy(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask between the margins, its border smoothed and its holes filled."""
    between = np.zeros_like(mask)
    between[:, MARGIN:-MARGIN] = mask[:, MARGIN:-MARGIN]
    pieces, _ = ndimage.label(cv2.GaussianBlur(between.astype(np.float32), (0, 0), 1.5) > 0.5)
    sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
    return ndimage.binary_fill_holes(pieces == 1 + sizes.argmax())


def failure(mask: np.ndarray, outline: np.ndarray | None = None) -> str | None:
    """Why a mask cannot be a car's, or None."""
    area = mask.mean()
    if not AREA[0] <= area <= AREA[1]:
        return f"its mask covers {area:.0%} of the square"
    if outline is not None and iou(mask, outline > 0.5) < MIN_AGREEMENT:
        return "its mask is far from the outline of similar photographs"
    return None


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def paste(
    photo: Image.Image,
    mask: np.ndarray,  # bool [SIDE, SIDE]
    resolution: int,  # Side of the result in pixels.
    align: bool = False,  # Give the car its fixed length and ground.
) -> Image.Image:
    """The car alone on grey. Its edge fades inwards, so that no rim of the old background stays."""
    side = max(resolution, SIDE)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2)
    alpha = Image.fromarray((255 * np.clip(2 * soft - 1, 0, 1)).astype(np.uint8))
    square = Image.new("RGB", (side, side), GREY)
    square.paste(images.fit_square(photo, side), mask=alpha.resize((side, side)))
    if not align:
        return images.fit_square(square, resolution)
    padded = ImageOps.expand(square, side, GREY)
    left, top, right, bottom = (side * (1 + edge) for edge in frame(mask))
    box = (left, top, right, bottom)
    return padded.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)


def frame(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The square around a car that gives it LENGTH and GROUND: left, top, right, bottom, in sides.

    It may reach beyond the photograph, that is, below 0 or above 1.
    """
    rows, columns = np.nonzero(mask)
    left, right, bottom = columns.min(), columns.max() + 1, rows.max() + 1
    span = (right - left) / LENGTH
    x, y = (left + right - span) / 2, bottom - GROUND * span
    return x / SIDE, y / SIDE, (x + span) / SIDE, (y + span) / SIDE
