"""Photographs of cars, drawn: the shapes tell the view, noise and colours differ."""

import numpy as np
from PIL import Image, ImageDraw

# In units of the side. The nose of the first points to the left.
OUTLINES = {
    "front-three-quarter": [(0.04, 0.55), (0.3, 0.5), (0.42, 0.36), (0.8, 0.36), (0.96, 0.5)],
    "front": [(0.04, 0.6), (0.2, 0.52), (0.28, 0.36), (0.72, 0.36), (0.8, 0.52), (0.96, 0.6)],
}
SILL = [(0.96, 0.7), (0.04, 0.7)]


def draw(
    view: str,
    facing: str,  # "left", "right" or "".
    seed: int,  # Of colours, noise and a small shift.
    side: int = 128,
) -> tuple[Image.Image, np.ndarray]:
    """The photograph and where in it the car is, bool [side, side]."""
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-0.02, 0.02)
    points = [(x * side, (y + shift) * side) for x, y in OUTLINES[view] + SILL]
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    pen.polygon(points, fill=255)
    for x in (0.24, 0.76):
        middle = (x * side, (0.69 + shift) * side)
        pen.circle(middle, 0.07 * side, fill=255)
    if facing == "right":
        mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    noise = rng.normal(0, 8, (side, side, 3))
    ground, paint = rng.uniform(120, 230, 3), rng.uniform(0, 90, 3)
    inside = np.asarray(mask) > 127
    pixels = np.where(inside[..., None], paint, ground) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), inside
