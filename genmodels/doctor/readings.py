"""What is measured of each image, decoded once for all checks. Start at `read_images`.

Everything but the size is measured on the centre square, which is what a network is trained on.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from genmodels.data import images as pixels
from genmodels.data.decoding import DECODE_ERRORS
from genmodels.data.image_files import Item, Skipped
from genmodels.data.pixel_cache import digest
from genmodels.doctor import measures
from genmodels.doctor.measures import Bars
from genmodels.models.efficientnet_lite import EfficientNetLite0

NETWORK = "efficientnet-lite0"
FEATURE_SIDE = 96  # Pixels that the network sees: half the time of 128.
BATCH = 32
THUMBNAIL_SIDE = 16
GREY_SIDE = 128  # Copies on which two pictures are laid over each other.
RESOLUTIONS = (64, 128, 256)


class Reader(Protocol):
    """How image files are opened."""

    def size(self, source: Path | BinaryIO) -> tuple[int, int]:
        """Width and height, upright; any of `DECODE_ERRORS` where they cannot be read."""

    def photo(self, source: Path | BinaryIO, min_side: int) -> Image.Image:
        """RGB, or RGBA where something is transparent. Errors: ValueError."""


class Files:
    """Reads files in this process, as training does."""

    def size(self, source: Path | BinaryIO) -> tuple[int, int]:
        return pixels.upright_size(source)

    def photo(self, source: Path | BinaryIO, min_side: int) -> Image.Image:
        return pixels.open_rgb(source, min_side=min_side, keep_alpha=True)


@dataclass(frozen=True)
class Reading:
    """One image in figures."""

    name: str
    size: tuple[int, int]  # Width and height of the file.
    class_name: str | None
    digests: tuple[str, str]  # Of the whole picture and of its square; equal for the mirror image.
    sharpness: float
    shadows: float  # Brightness, 0 to 1, that 5 % of the pixels lie below ...
    highlights: float  # ... and 99 %.
    information: float  # Bits.
    chroma: float
    is_transparent: bool
    bars: Bars
    thumbnail: np.ndarray  # Uint8 [16, 16, 3].
    grey: np.ndarray  # Uint8 [128, 128].


class Readings(NamedTuple):
    """The readable images of a set, in its order, and what was left out."""

    images: list[Reading]
    features: np.ndarray  # Float32 [N, 1280], each of length 1.
    skipped: Skipped
    resolution: int


def default_resolution(sizes: Sequence[tuple[int, int]]) -> int:
    """The largest of 64, 128 and 256 px that nine of ten pictures have, or else 64."""
    short = np.quantile([min(size) for size in sizes], 0.1)
    return max((side for side in RESOLUTIONS if side <= short), default=RESOLUTIONS[0])


def read_images(
    items: Sequence[Item],
    reader: Reader,
    resolution: int | None = None,  # Side to train at, a multiple of 16; None: as they allow.
) -> Iterator[int | Readings]:
    """How many images are read so far, and at last what was read."""
    sizes: dict[str, tuple[int, int]] = {}
    skipped: Skipped = []
    for number, item in enumerate(items):
        with suppress(*DECODE_ERRORS):  # Decoding it will say what is wrong.
            sizes[item.name] = reader.size(item.open())
        if number % 500 == 0:
            yield 0
    side = resolution or (default_resolution(list(sizes.values())) if sizes else RESOLUTIONS[0])
    network = EfficientNetLite0.from_pretrained(NETWORK)
    images: list[Reading] = []
    features: list[np.ndarray] = []

    def read(item: Item) -> tuple[Reading, np.ndarray] | str:
        try:
            photo = reader.photo(item.open(), 2 * side)  # As the loader of the training scripts.
        except ValueError as error:
            return str(error)
        return _reading(item, sizes.get(item.name, photo.size), photo, side)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            squares = []
            for item, result in zip(batch, pool.map(read, batch), strict=True):
                if isinstance(result, str):
                    skipped.append((item.name, result))
                else:
                    images.append(result[0])
                    squares.append(result[1])
            if squares:
                features.append(_features(network, np.stack(squares)))
            yield start + len(batch)
    empty = np.empty((0, 1280), np.float32)
    yield Readings(images, np.concatenate([empty, *features]), sorted(skipped), side)


def _reading(
    item: Item, size: tuple[int, int], photo: Image.Image, side: int
) -> tuple[Reading, np.ndarray]:
    """The figures of a picture, and what the network sees of it, uint8 [96, 96, 3]."""
    is_transparent = photo.mode == "RGBA"
    photo = pixels.to_rgb(photo)
    picture = pixels.fit_square(photo, side)
    square = np.asarray(picture)
    grey = measures.to_grey(square)
    shadows, highlights = np.quantile(grey, [0.05, 0.99]) / 255
    label = item.labels.get("class")
    reading = Reading(
        name=item.name,
        size=size,
        class_name=None if label is None else str(label),
        digests=(digest(np.asarray(photo)), digest(square)),
        sharpness=measures.sharpness(grey),
        shadows=float(shadows),
        highlights=float(highlights),
        information=measures.information(grey),
        chroma=measures.chroma(square),
        is_transparent=is_transparent,
        bars=measures.bars(square),
        thumbnail=_resized(picture, THUMBNAIL_SIDE),
        grey=_resized(picture.convert("L"), GREY_SIDE),
    )
    return reading, _resized(picture, FEATURE_SIDE)


def _resized(picture: Image.Image, side: int) -> np.ndarray:
    filter_ = Image.Resampling.BOX if side < picture.width else Image.Resampling.BILINEAR
    return np.asarray(picture.resize((side, side), filter_))


@torch.inference_mode()
def _features(network: EfficientNetLite0, squares: np.ndarray) -> np.ndarray:
    """Uint8 [n, 96, 96, 3] -> float32 [n, 1280] of length 1."""
    batch: Any = torch.from_numpy(squares).permute(0, 3, 1, 2)
    return F.normalize(network(pixels.to_float(batch)), dim=1).numpy()
