"""A photograph inked like a comic: targets for training. Start at `comic_teacher`.

Flat colours by repeated bilateral filtering and a soft quantisation of lightness (Winnemoeller et
al. 2006), under lines by the extended difference of Gaussians, XDoG (Winnemoeller et al. 2012,
Computers & Graphics 36), which also fills what is dark with ink. Nothing is learned and nothing
moves, so that a network can learn the way from the photograph to the comic.

Departures: the lines are the flow-guided kind of Kang et al. 2007, with a tangent field from the
smoothed structure tensor (Kyprianidis and Kang 2011) in place of their iteration; specks of ink
smaller than a dot are dropped; contrast is stretched first, as faint photographs have faint lines.
"""

from collections.abc import Callable

import cv2
import numpy as np

from training.prepare.pair_checks import check_picture

# All sigmas are in pixels at 256 px.
SIGMA = 0.85  # About half the width of the lines.
RATIO = 1.6  # Ratio of the two Gaussians' sigmas.
SHARPNESS = 32.0  # XDoG's p: how much lines count against tone.
INK_BELOW = 0.23  # XDoG's epsilon, in lightness 0 to 1: darker regions are filled with ink.
STEEPNESS = 10.0  # XDoG's phi: how hard the border of the ink is.
FLOW_SIGMA = 2.2  # Over which the direction of lines is smoothed.
ALONG = 3.0  # Over which lines are smoothed along themselves.
SPECK = 14  # Pixels at 256 px; ink of fewer is noise.

BILATERAL_PASSES, BILATERAL_SPACE, BILATERAL_COLOUR = 3, 3.0, 8.0  # Colour in Lab.
LEVELS = 6  # Number of lightness levels.
SOFTNESS = 0.3  # Share of a level over which it passes to the next.
FLATNESS = 0.7  # Share of the steps of lightness; all of it leaves blots on cheeks.
SATURATION = 1.0
SHADE = 0.88  # Colours are printed darker than light.


def comic_teacher(
    image: np.ndarray,  # Photograph, RGB uint8 [H, W, 3], 64 to 1024 px a side.
    *,
    levels: int = LEVELS,  # Lightness levels of the flat colours, 2 to 16.
    ink_below: float = INK_BELOW,  # Lightness under which all is ink, 0 to 1.
) -> np.ndarray:
    """The photograph as an inked comic, uint8 [H, W, 3]; the same one gives the same one always.

    Errors: ValueError for a picture that is no such array and numbers outside their ranges.
    """
    check_picture("image", image)
    if type(levels) is not int or not 2 <= levels <= 16:
        raise ValueError(f"levels must be a whole number from 2 to 16, got {levels!r}")
    if not 0 <= ink_below <= 1:
        raise ValueError(f"ink_below must be 0 to 1, got {ink_below}")
    # Lines grow less than the picture: those of a small one would else be too thin to see.
    scale = (min(image.shape[:2]) / 256) ** 0.75
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab[..., 0] = stretch(lab[..., 0])
    flat = flatten(lab, scale)
    ink = draw_ink(0.5 * (lab[..., 0] + flat[..., 0]) / 100, scale, ink_below)
    colours = flat.copy()
    steps = quantise(cv2.GaussianBlur(flat[..., 0], (0, 0), scale), levels)
    colours[..., 0] = SHADE * (FLATNESS * steps + (1 - FLATNESS) * flat[..., 0])
    colours[..., 1:] *= SATURATION
    rgb = np.clip(cv2.cvtColor(colours, cv2.COLOR_LAB2RGB), 0, 1)
    printed = rgb * (1 - ink[..., None]) + 0.03 * ink[..., None]
    return (255 * printed).round().astype(np.uint8)


def stretch(lightness: np.ndarray) -> np.ndarray:
    """Half of the way to the full range 0 to 100; a flat picture stays as it is."""
    low, high = np.quantile(lightness, (0.01, 0.99))
    if high - low < 10:
        return lightness
    return 0.5 * lightness + 0.5 * np.clip((lightness - low) / (high - low) * 100, 0, 100)


def flatten(lab: np.ndarray, scale: float) -> np.ndarray:
    """Lab without its texture, edges kept."""
    for _ in range(BILATERAL_PASSES):
        lab = cv2.bilateralFilter(lab, 0, BILATERAL_COLOUR, BILATERAL_SPACE * scale)
    return lab


def quantise(lightness: np.ndarray, levels: int) -> np.ndarray:
    """Lightness 0 to 100 in steps with soft edges, which do not flicker between alike pictures."""
    place = lightness / 100 * levels - 0.5
    below = np.floor(place)
    soft = np.clip((place - below - 0.5) / SOFTNESS + 0.5, 0, 1)
    return np.clip((below + soft * soft * (3 - 2 * soft) + 0.5) / levels, 0, 1) * 100


def draw_ink(lightness: np.ndarray, scale: float, ink_below: float) -> np.ndarray:
    """Share of ink [H, W], 0 to 1, of a picture of lightness 0 to 1."""
    lightness = lightness.astype(np.float32)
    across, along = flow(lightness, scale)
    sigma = SIGMA * scale
    narrow = smear(lightness, across, lambda t: gauss(t, sigma), 3 * sigma * RATIO)
    wide = smear(lightness, across, lambda t: gauss(t, sigma * RATIO), 3 * sigma * RATIO)
    sharpened = (1 + SHARPNESS) * narrow - SHARPNESS * wide
    tone = smear(sharpened, along, lambda t: gauss(t, ALONG * scale), 2 * ALONG * scale)
    ink = -np.tanh(STEEPNESS * np.minimum(0, tone - ink_below))
    return despeckle(ink, SPECK * scale**2)


def flow(lightness: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (x, y) across and along the lines, [H, W, 2] each."""
    x, y = (cv2.Scharr(lightness, cv2.CV_32F, int(i == 0), int(i == 1)) for i in (0, 1))
    tensor = cv2.GaussianBlur(np.dstack([x * x, x * y, y * y]), (0, 0), FLOW_SIGMA * scale)
    angle = 0.5 * np.arctan2(2 * tensor[..., 1], tensor[..., 0] - tensor[..., 2])
    across = np.dstack([np.cos(angle), np.sin(angle)])
    return across, np.dstack([-across[..., 1], across[..., 0]])


def gauss(distance: float, sigma: float) -> float:
    """A Gaussian that is 1 at 0."""
    return float(np.exp(-(distance**2) / (2 * sigma**2)))


def smear(
    values: np.ndarray, vectors: np.ndarray, weight: Callable[[float], float], reach: float
) -> np.ndarray:
    """Mean of values [H, W] on a path that follows the vectors both ways from each pixel."""
    height, width = values.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    total, weights = weight(0) * values, weight(0)
    step = 0.7  # Pixels; lines are a few wide.
    for side in (-1, 1):
        place_x, place_y, heading = x, y, side * vectors
        for i in range(1, int(np.ceil(reach / step)) + 1):
            place_x = place_x + step * heading[..., 0]
            place_y = place_y + step * heading[..., 1]
            seen = cv2.remap(values, place_x, place_y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
            total = total + weight(i * step) * seen
            weights += weight(i * step)
            there = cv2.remap(
                vectors, place_x, place_y, cv2.INTER_NEAREST, None, cv2.BORDER_REFLECT
            )
            turned = (there * heading).sum(axis=2, keepdims=True) < 0
            heading = np.where(turned, -there, there)
    return total / weights


def despeckle(ink: np.ndarray, area: float) -> np.ndarray:
    """Ink without the pieces that are smaller than `area` pixels, and what is too faint for one."""
    dark = (ink > 0.3).astype(np.uint8)
    _, pieces, figures, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    large = figures[:, cv2.CC_STAT_AREA] >= area
    large[0] = False
    near = cv2.dilate(large[pieces].astype(np.uint8), np.ones((3, 3), np.uint8))
    return ink * near
