"""Figures of one picture: sharpness, brightness, information, colour, bars along its edges."""

from typing import NamedTuple

import numpy as np

TILES = 8  # A side, on which sharpness is measured: what is in focus may be a part.
SHARPEST = 16  # So many of the 64 tiles count.
PLAIN_LEVELS = 6.0  # A row of a bar varies less, in grey levels, ...
EDGE_LEVELS = 16  # ... the picture beside it differs by more ...
EDGE_ROWS = 3
EDGE_SHARE = 0.6  # ... along so much of the side.
MAX_BAR = 0.42  # Share of the side; beyond it is a plain background.

_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


class Bars(NamedTuple):
    """Plain bars along the edges of a square, as shares of its side."""

    top: float
    bottom: float
    left: float
    right: float


def to_grey(square: np.ndarray) -> np.ndarray:
    """RGB uint8 [R, R, 3] -> brightness, float32 [R, R], 0 to 255 (Rec. 601)."""
    return square.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def sharpness(grey: np.ndarray) -> float:
    """Contrast of the finest octave by that of the next, of the sharpest quarter of the picture.

    Grey float32 [R, R], R a multiple of 16. Photographs have about equal contrast in each octave,
    so that this hangs little on what they show. 0 for a flat picture.
    """
    soft = blurred(grey)
    half = soft[::2, ::2]
    fine, coarse = _tile_energy(grey - soft), _tile_energy(half - blurred(half))
    chosen = fine.ravel().argsort()[-SHARPEST:]
    energy = float(coarse.ravel()[chosen].sum())
    return float(np.sqrt(fine.ravel()[chosen].sum() / energy)) if energy > 1e-3 else 0.0


def blurred(grey: np.ndarray) -> np.ndarray:
    """Float32 [H, W], smoothed by a binomial filter of five taps each way."""
    height, width = grey.shape
    padded = np.pad(grey, 2, mode="reflect")
    rows, result = np.zeros((height, width + 4), grey.dtype), np.zeros_like(grey)
    for i, tap in enumerate(_TAPS):
        rows += tap * padded[i : i + height]
    for i, tap in enumerate(_TAPS):
        result += tap * rows[:, i : i + width]
    return result


def information(grey: np.ndarray) -> float:
    """Entropy of the grey levels in bits, 0 to 8: how much one pixel says."""
    shares = np.bincount(grey.astype(np.uint8).ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def chroma(square: np.ndarray) -> float:
    """Mean difference between the largest and the smallest of a pixel's three colours."""
    red, green, blue = (square[..., i] for i in range(3))
    most = np.maximum(np.maximum(red, green), blue)  # 20 times as fast as along the last axis.
    return float((most - np.minimum(np.minimum(red, green), blue)).mean())


def bars(square: np.ndarray) -> Bars:
    """Bars of one colour along the edges that end at a sharp line; all 0 where there are none.

    A plain background is none: the subject rises from it here and there, not along a line.
    """
    pixels = square.astype(np.float32)
    side = len(pixels)
    top, bottom = _bar(pixels), _bar(pixels[::-1])
    between = pixels[top : side - bottom].swapaxes(0, 1)
    left, right = _bar(between), _bar(between[::-1])
    return Bars(*(each / side for each in (top, bottom, left, right)))


def _bar(pixels: np.ndarray) -> int:
    """Rows of a bar at the top of float [H, W, 3]."""
    if np.abs(pixels[0] - pixels[0].mean(axis=0)).mean() > PLAIN_LEVELS:
        return 0  # As of most pictures: the rest would take long.
    limit = int(MAX_BAR * len(pixels))
    head = pixels[: limit + 1]
    colour = head[0].mean(axis=0)
    is_plain = (np.abs(head - colour).mean(axis=1) < PLAIN_LEVELS).all(axis=1)
    rows = int(is_plain.argmin()) if not is_plain.all() else len(head)
    if not 0 < rows <= limit:
        return 0
    # Where a small picture was enlarged, the line is a few rows wide.
    away = np.abs(pixels[rows : rows + EDGE_ROWS] - colour).max(axis=2) > EDGE_LEVELS
    return rows if away.mean(axis=1).max() >= EDGE_SHARE else 0


def _tile_energy(band: np.ndarray) -> np.ndarray:
    """Mean square of each of 8 x 8 tiles."""
    tile = len(band) // TILES
    return np.square(band).reshape(TILES, tile, TILES, tile).mean(axis=(1, 3))
