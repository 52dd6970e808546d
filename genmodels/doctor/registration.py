"""Do the two pictures of a pair lie on each other? By where their edges fit best."""

from typing import NamedTuple

import numpy as np

SIDE = 128  # Pixels at which pairs are compared.
REACH = 14  # Largest shift that is looked for, in these pixels: a ninth of the side.
SIGMA = 1.0  # Of the blur before edges are found.
MAX_SHIFT = 0.016  # Share of the side that a pair may be out of register: 2 of 128 pixels.
MIN_GAIN = 0.1  # A better place must gain so much correlation: drawings gain 0.04, facades 0.09.


class Registration(NamedTuple):
    """How a target lies on its source."""

    shift: float  # Where its edges fit best, as a share of the side.
    correlation: float  # Correlation of the edges as they lie, ...
    moved_correlation: float  # ... and at the best place.

    @property
    def is_off(self) -> bool:
        """Whether the target surely lies beside the source.

        What is drawn differently, a larger jaw or a label map, moves the best place by a few pixels
        too, but fits hardly better there.
        """
        gain = self.moved_correlation - self.correlation
        return self.shift > MAX_SHIFT and gain > MIN_GAIN


def register(
    source: np.ndarray,  # Grey [128, 128].
    target: np.ndarray,
) -> Registration:
    """Where the target's edges fit the source's best, within a ninth of the side."""
    here, there = edges(source), edges(target)
    inner = slice(REACH, SIDE - REACH)
    middle = here[inner, inner] - here[inner, inner].mean()
    if middle.std() < 1e-2 or there.std() < 1e-2:
        return Registration(0.0, 0.0, 0.0)  # Nothing to go by.
    scores = _correlations(there, middle)
    best = np.unravel_index(scores.argmax(), scores.shape)
    y, x = int(best[0]) - REACH, int(best[1]) - REACH
    return Registration(
        float(np.hypot(y, x)) / SIDE, float(scores[REACH, REACH]), float(scores.max())
    )


def edges(grey: np.ndarray) -> np.ndarray:
    """Strength of edges, float64 [H, W]; the root keeps strong ones from deciding alone."""
    frequency = np.fft.fftfreq(2 * SIDE)
    soft = np.exp(-2 * (np.pi * SIGMA * frequency) ** 2)
    mirrored = np.pad(grey.astype(np.float64), ((0, SIDE), (0, SIDE)), mode="symmetric")
    smooth = np.fft.ifft2(np.fft.fft2(mirrored) * soft[:, None] * soft).real[:SIDE, :SIDE]
    down, right = np.gradient(smooth)
    strength: np.ndarray = np.sqrt(np.hypot(down, right))
    return strength


def _correlations(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Correlation of a part, of mean 0, with each place of a whole: [29, 29]."""
    size = whole.shape
    places = 2 * REACH + 1

    def correlate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        product = np.fft.rfft2(first) * np.fft.rfft2(second, size).conj()
        result: np.ndarray = np.fft.irfft2(product, size)[:places, :places]
        return result

    ones = np.ones_like(part)
    total, squares = correlate(whole, ones), correlate(np.square(whole), ones)
    variance = np.maximum(squares - total**2 / part.size, 1e-9)
    return correlate(whole, part) / np.sqrt(variance * np.square(part).sum())
