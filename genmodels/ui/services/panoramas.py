"""Panoramas on the page: a visitor's photo, the frame it lies in, and what is drawn there.

What was drawn is kept for a while: the same photo with the same settings is not drawn twice.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

import genmodels
from genmodels.ui.server import work_folder
from genmodels.ui.services import photos, pictures, workers
from genmodels.ui.services.photos import MIN_SIDE

MAX_KEPT = 32  # Pictures; the one that was unused for longest makes room.
MODES = {
    "Extend the photo": "extend",
    "360° strip": "wrap",
    "Another shape": "retarget",
    "A new picture": "resample",
}
SIZES: dict[str, tuple[int, int]] = {  # A shape, or exact pixels.
    "2 : 1": (2, 1),
    "3 : 1": (3, 1),
    "4 : 1": (4, 1),
    "21 : 9": (21, 9),
    "Desktop 1920 x 1080": (1920, 1080),
    "Phone 1080 x 1920": (1080, 1920),
}
MAX_PIXELS = 4_200_000  # Largest picture that fits into memory.
HEIGHT = 432  # Pixels, of what has only a shape: seconds, on two cores.

_kept: OrderedDict[str, tuple[str, dict[str, Any]]] = OrderedDict()
_keeping = threading.Lock()


class Place(NamedTuple):
    """Where the photo lies in the picture."""

    width: int  # Width of the picture in pixels.
    height: int
    share: float  # How large the photo is: 1 as large as fits.
    across: float  # 0 at the left, 1 at the right.
    down: float  # 0 at the top, 1 at the bottom.


def check(place: Place) -> None:
    """Anyone can send numbers: a ValueError says which of them cannot be."""
    for name, side in (("width", place.width), ("height", place.height)):
        if not (isinstance(side, int) and MIN_SIDE <= side <= 16_384):
            raise ValueError(f"the {name} must be {MIN_SIDE} to 16384 pixels, got {side}")
    if place.width * place.height > MAX_PIXELS:
        actual = f"{place.width} x {place.height}"
        raise ValueError(f"a picture may have at most {MAX_PIXELS} pixels here, got {actual}")
    if not 0.05 <= place.share <= 1:  # Nor is NaN.
        raise ValueError(f"the photo's size in the picture must be 0.05 to 1, got {place.share}")


def size_of(name: str, photo: tuple[int, int]) -> tuple[int, int]:
    """The pixels of a size by its name, for a photo of (width, height)."""
    width, height = SIZES[name]
    if width > 100:
        return width, height
    rows = min(photo[1], HEIGHT)
    return round(rows * width / height), rows


def fitted(photo: tuple[int, int], place: Place) -> tuple[int, int]:
    """(width, height) of the photo in the picture."""
    scale = place.share * min(place.width / photo[0], place.height / photo[1])
    width, height = (max(1, round(side * scale)) for side in photo)
    return min(width, place.width), min(height, place.height)


def steps(
    engine: Any, photo: Image.Image, mode: str, place: Place, seed: int, **settings: Any
) -> Iterator[tuple[Any, Any]]:
    """The picture as it gets finer, without a recipe; at last its file's path and its recipe.

    Drawn by a process of its own: close this, and it ends. While there is nothing new, what is
    shown stays.
    """
    check(place)
    is_kept = mode in ("extend", "wrap")
    size = fitted(photo.size, place if is_kept else place._replace(share=1))
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    settings |= {"mode": mode, "seed": seed, "width": place.width, "height": place.height}
    if is_kept:
        settings["left"] = round((place.width - photo.width) * place.across)
        settings["top"] = round((place.height - photo.height) * place.down)
    engine.steps(photo, **settings)  # Complains before anything is drawn.
    from genmodels.hub import recipe  # Brings torch.
    from genmodels.pipelines import pipeline_patches

    key = recipe.pixels_sha256(photo) + json.dumps(settings, sort_keys=True)
    stored = _take(key)
    if stored is None:
        pixels = (photo.size, photo.tobytes())
        megabytes = pipeline_patches.megabytes(photo.size, settings)
        for result in workers.run(_draw, pixels, settings, megabytes=megabytes):  # Or refuses.
            match result:
                case None:
                    yield gr.skip(), None
                case str():
                    yield result, None
                case _:
                    stored = result
        if stored is None:
            raise ValueError(workers.BROKEN_OFF)
    _keep(key, stored)
    yield stored


def _draw(pixels: tuple[tuple[int, int], bytes], settings: dict[str, Any]) -> Iterator[Any]:
    """In a process of its own: paths of previews, at last the picture's and its recipe."""
    from genmodels.hub import recipe

    photo = Image.frombytes("RGB", *pixels)
    for picture in genmodels.load("patches").steps(photo, **settings):
        if recipe.KEY in picture.info:
            record = recipe.read(picture)
            yield pictures.saved(picture, record), record
        else:
            yield work_folder.png(photos.preview(picture), "preview")


def before(photo: Image.Image, recipe: dict[str, Any]) -> Image.Image:
    """What was there before an extension: the photo in its place, on grey."""
    settings = recipe["settings"]
    canvas = Image.new("RGB", (settings["width"], settings["height"]), "#8a857d")
    size = recipe["image"]["width"], recipe["image"]["height"]
    at = settings.get("left"), settings.get("top")
    if None in at:  # Nothing lies there as it was.
        at = ((canvas.width - size[0]) // 2, (canvas.height - size[1]) // 2)
    canvas.paste(photo.resize(size, Image.Resampling.LANCZOS), at)
    return canvas


def _take(key: str) -> tuple[str, dict[str, Any]] | None:
    with _keeping:
        stored = _kept.get(key)
    return stored if stored is not None and work_folder.is_kept(Path(stored[0])) else None


def _keep(key: str, drawn: tuple[str, dict[str, Any]]) -> None:
    """As the newest; the oldest go."""
    with _keeping:
        _kept[key] = drawn
        _kept.move_to_end(key)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
