"""Photos that visitors bring, and those that are there to try."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

from PIL import Image

from genmodels.ui.assets import ASSETS
from genmodels.ui.server import work_folder
from genmodels.ui.services.decoder import DECODER

SCENES = sorted((ASSETS / "scenes").glob("*.jpg"))
# What visitors may bring; the library reads TIFF, too, whose decoder has had most of the holes.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PHOTO = 24_000_000  # Pixels of an upload.
PREVIEW_SIDE = 1600  # Longer side: a phone is not sent two pictures of 10 MB to look at.
MIN_SIDE = 16  # Smallest side of an upload in pixels.
MAX_STRETCH = 20  # Longer side to shorter: networks see strips at their width, however long.


def opened(path: str | Path, *, keep_alpha: bool = False) -> Image.Image:
    """A visitor's photo, upright and RGB (or RGBA, where asked); ValueError says what is wrong."""
    wanted: dict[str, Any] = {"max_pixels": MAX_PHOTO, "keep_alpha": keep_alpha}
    try:
        photo = DECODER.photo(path, formats=FORMATS, **wanted)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), Path(path).name)) from error
    _check_size(photo.size)
    return photo


def size(path: str | Path) -> tuple[int, int]:
    """Width and height of a visitor's photo; ValueError says what is wrong with them."""
    try:
        width, height = DECODER.size(path, formats=FORMATS)
    except ValueError as error:
        raise ValueError(f"{Path(path).name} is no photo that can be read") from error
    _check_size((width, height))
    return width, height


def _check_size(size: tuple[int, int]) -> None:
    actual = f"{size[0]} x {size[1]}"
    if min(size) < MIN_SIDE:
        raise ValueError(f"a photo must be {MIN_SIDE} x {MIN_SIDE} pixels or more, got {actual}")
    if max(size) > MAX_STRETCH * min(size):
        raise ValueError(
            f"a photo may be {MAX_STRETCH} times as long as it is wide at most, got {actual}"
        )


def preview(photo: Image.Image) -> Image.Image:
    """The photo as large as a screen shows it, with all that its file would say."""
    if max(photo.size) <= PREVIEW_SIDE:
        return photo
    small = photo.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), reducing_gap=3)
    return small


def thumbnail(photo: Image.Image, side: int = 360) -> str:
    """The photo as a small picture in a data URL."""
    small = photo.copy()
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def copied(scene: Path) -> str:
    """The path of a scene as if it had been uploaded."""
    content = scene.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    return work_folder.written_once(key, scene.name, lambda path: path.write_bytes(content))
