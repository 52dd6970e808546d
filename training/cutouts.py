"""Where the car is in a photograph, without any trained network, and the car on a plain background.

The photographs are squares that their car fills from left to right. GrabCut (Rother et al. 2004)
separates its colours from those around it, starting from an ellipse. On single photographs it errs,
each time in another way; so a ridge regression learns from a sample of its masks which outline goes
with which shapes (the descriptors of `viewpoints`), and a second GrabCut starts from that outline.
Start at `find_masks`; `paste` puts a car on its new background.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

from genmodels import images
from training import viewpoints

SIDE = 128  # Of the squares that are cut out, and of the masks.
OUTLINE_SIDE = 32  # Of the outlines that the regression learns.
SAMPLE = 1200  # Photographs whose first masks teach the outlines; four times as many: no better.
RIDGE = 30.0
GREY = (200, 200, 200)  # Light, but darker than a white car.
AREA = (0.15, 0.55)  # Share of the square that a car covers.
MIN_AGREEMENT = 0.8  # Of a mask with the outline it started from, as intersection over union.


def find_masks(
    folder: Path,  # Where the photographs are.
    files: Sequence[str],  # Their names.
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The masks, bool [SIDE, SIDE] each, and of the photographs without one, the reason."""
    squares, reasons = {}, {}
    for file in files:
        try:
            squares[file] = images.fit_square(images.open_rgb(folder / file), SIDE)
        except ValueError as error:
            reasons[file] = str(error)
    if not squares:
        return {}, reasons
    with ThreadPoolExecutor() as pool:
        shapes = np.stack(list(pool.map(viewpoints.describe, squares.values())))
        sample = np.linspace(0, len(squares) - 1, min(SAMPLE, len(squares)), dtype=int)
        pictures = list(squares.values())
        first = list(pool.map(lambda i: grab_cut(pictures[i], ellipse()), sample))
        print(f"cutouts: {len(first)} first masks", flush=True)
        outlines = predict_outlines(shapes, *fit_outlines(shapes[sample], np.stack(first)))
        masks = {}
        second = pool.map(grab_cut, pictures, map(seed, outlines))
        for done, (file, outline, mask) in enumerate(zip(squares, outlines, second, strict=True)):
            masks[file] = tidy(mask)
            if reason := failure(masks[file], outline):
                reasons[file] = reason
                del masks[file]
            if (done + 1) % 1000 == 0:
                print(f"cutouts: {done + 1} of {len(squares)}", flush=True)
    return masks, reasons


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
    """The largest piece of a mask, its border smoothed and its holes filled."""
    pieces, _ = ndimage.label(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5) > 0.5)
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


def paste(photo: Image.Image, mask: np.ndarray, resolution: int) -> Image.Image:
    """The car alone on grey. Its edge fades inwards, so that no rim of the old background stays."""
    side = max(resolution, SIDE)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2)
    alpha = Image.fromarray((255 * np.clip(2 * soft - 1, 0, 1)).astype(np.uint8))
    square = Image.new("RGB", (side, side), GREY)
    square.paste(images.fit_square(photo, side), mask=alpha.resize((side, side)))
    return images.fit_square(square, resolution)
