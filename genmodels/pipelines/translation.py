"""Pictures to pictures: what a network of any family needs around it. Start at `__call__`.

The output has the size of the input, whatever that is, and its transparency.
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genmodels.data import color, images
from genmodels.hub import recipe
from genmodels.hub.checks import check_range, check_whole, plain, quoted
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from genmodels.nn.threads import threads_for
from genmodels.pipelines import batches, tiling

PREDICTS = ("rgb", "chroma")
MAX_PIXELS = 24_000_000
MAX_STRETCH = 100  # Sides to each other: a thin strip costs what its padding does, not its pixels.
MAX_IMAGES = 256
MAX_HINTS = 500  # Their recipe must stay short enough to be read back.
MAX_GRAIN = 1.0
MAX_MARGIN = 64
MAX_NETWORK_SIZE = 4096
BAND = 1 << 20  # Pixels of a photo that are floats at a time.
HINT_SIDE = 5  # Pixels, at the size that the network sees.

Hint = tuple[int, int, str]  # Column and row in the picture, and a colour, "#c03020".


class TranslationPipeline(HubPipeline):
    """Runs a trained generator on pictures; subclasses name its class.

    A network that predicts "rgb" takes [N, 3, H, W] in [-1, 1] and gives the same. One of "chroma"
    takes luma, the chroma of hints and where they are [N, 4, H, W], and gives chroma [N, 2, H, W]:
    it colours, and the brightness of every pixel stays.
    """

    def __init__(
        self,
        generator: Any,
        predicts: str = "rgb",  # One of PREDICTS.
        network_size: int = 0,  # Shorter side of what the network sees, at most; 0: no limit.
        grain: float = 0.0,  # Standard deviation of input noise, 0 to 1; rgb only.
        margin: int = 0,  # Pixels of the mirror image that it sees around a picture, at most 64.
    ) -> None:
        super().__init__()
        if predicts not in PREDICTS:
            actual = quoted(predicts)
            raise ValueError(f"predicts must be one of {', '.join(PREDICTS)}, got {actual}")
        check_whole("network_size", network_size, 0, MAX_NETWORK_SIZE)
        check_range("grain", grain, 0, MAX_GRAIN if predicts == "rgb" else 0)
        check_whole("margin", margin, 0, MAX_MARGIN)
        self.register_modules(generator=generator)
        config = self.networks["generator"].config
        channels = (config.in_channels, config.out_channels)
        wanted = (3, 3) if predicts == "rgb" else (4, 2)
        if channels != wanted:
            raise ValueError(
                f"a network that predicts {predicts} must have {wanted[0]} channels in and "
                f"{wanted[1]} out, got {channels[0]} and {channels[1]}"
            )
        self.register_to_config(
            predicts=predicts, network_size=network_size, grain=grain, margin=margin
        )

    def __call__(
        self,
        image: Any,  # As `images.to_rgb` takes it, of any size; or a list of several.
        *,
        seed: int | None = 0,  # Seed of the grain; image i uses seed + i; None draws one.
        strength: float = 1.0,  # 0: as it came (to be coloured: in grey), 1: all that it does.
        network_size: int | None = None,  # Shorter side that it sees, at most; None: the model's.
        detail: float = 0.0,  # Detail finer than an rgb network sees: 0 = none, 1 = all of it.
        hints: Sequence[Hint] = (),  # Colours of places, for a network that predicts chroma.
    ) -> ImageOutput:
        """The pictures translated, each with its recipe.

        Without grain there is no chance, and the seed counts for nothing.

        Errors: ValueError for what is no picture, for one of more than 24 megapixels or more than
        100 times as long as wide, or for a setting out of its range.
        """
        several = list(image) if isinstance(image, list | tuple) else [image]
        if not 1 <= len(several) <= MAX_IMAGES:
            raise ValueError(f"images must be 1 to {MAX_IMAGES}, got {len(several)}")
        given = [_as_picture(picture) for picture in several]
        seed = secrets.randbelow(2**31) if seed is None else seed
        seed = check_whole("seed", seed, 0, 2**63 - 1 - MAX_IMAGES)
        strength = check_range("strength", strength, 0, 1)
        detail = check_range("detail", detail, 0, 1)
        limit = self.config.network_size if network_size is None else network_size
        limit = check_whole("network_size", limit, 0, MAX_NETWORK_SIZE)
        if not isinstance(hints, list | tuple) or len(hints) > MAX_HINTS:
            actual = len(hints) if isinstance(hints, list | tuple) else quoted(hints)
            raise ValueError(f"hints must be a list of at most {MAX_HINTS}, got {actual}")
        hints = [self._checked(plain(hint), given) for hint in hints]
        settings: dict[str, Any] = {"strength": strength, "network_size": limit}
        if self.config.predicts == "rgb":
            settings["detail"] = detail
        if hints:
            settings["hints"] = hints
        output = ImageOutput(images=[], recipes=[])
        with self.drawing() as generator:
            sha256 = self.weights_sha256
            for alike in _alike(given, limit):
                first = seed + len(output.images)
                drawn = self._translated(generator, alike, first, strength, limit, detail, hints)
                for image_seed, (picture, result) in enumerate(
                    zip(alike, drawn, strict=True), first
                ):
                    record = recipe.make(
                        self, image_seed, image=picture, weights_sha256=sha256, **settings
                    )
                    output.images.append(recipe.attach(result, record, recipe.COMPOSITE))
                    output.recipes.append(record)
        return output

    def _translated(
        self,
        generator: Any,
        pictures: Sequence[Image.Image],  # That the network sees at one size.
        seed: int,  # Seed of the first image.
        strength: float,
        limit: int,
        detail: float,
        hints: Sequence[Hint],
    ) -> list[Image.Image]:
        size = _size_within(limit, (pictures[0].height, pictures[0].width))
        photos = [images.from_pil([picture.convert("RGB")]) for picture in pictures]
        if self.config.predicts == "chroma":
            # In whole levels, which rounding does not move.
            photos = [color.to_grey(pixels) for pixels in photos]
        small = [self._small(pixels, size) for pixels in photos]
        given = [
            self._given(seen, image_seed, _marks(hints, size, picture.size).to(self.device))
            for image_seed, (seen, picture) in enumerate(zip(small, pictures, strict=True), seed)
        ]
        results = []
        for picture, pixels, seen, out in zip(
            pictures, photos, small, self._run(generator, torch.cat(given)), strict=True
        ):
            if self.config.predicts == "chroma":
                translation = _coloured(pixels, out, strength)
            else:
                translation = _painted(pixels, out.clamp(-1, 1), seen, strength, detail)
            (result,) = images.to_pil(translation)
            if picture.mode == "RGBA":
                result.putalpha(picture.getchannel("A"))
            results.append(result)
        return results

    def _small(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        """A photo, uint8 [1, 3, H, W], at the network's size and on its device, in [-1, 1]."""
        # It may be large, so each channel is resized separately.
        planes = (images.to_float(pixels[:, c : c + 1]).to(self.device) for c in range(3))
        return torch.cat([_resized(plane, size) for plane in planes], 1)

    def _given(self, small: Tensor, seed: int, marks: Tensor) -> Tensor:
        """What the network takes of a picture [1, 3, h, w] and its marks."""
        seen = grained(small, self.config.grain, torch.Generator().manual_seed(seed))
        return encode(seen, self.config.predicts, marks).to(self.dtype)

    def _run(self, generator: Any, given: Tensor) -> list[Tensor]:
        """What the network makes of each of [N, C, h, w], float [1, c, h, w]."""
        network, margin = self.networks["generator"], self.config.margin
        elements = given.shape[2] * given.shape[3] * 32
        with threads_for(elements):
            drawn = batches.draw(
                lambda rows: tiling.through(network, rows, margin, run=generator),
                given,
                elements=elements,
                key=f"{type(network).__module__} {margin} {dict(network.config)}",
            )
            return [out.float() for out in drawn]

    def _checked(self, hint: Any, given: Sequence[Image.Image]) -> Hint:
        if self.config.predicts != "chroma":
            raise ValueError("hints are for a network that predicts chroma, this one predicts rgb")
        is_hint = isinstance(hint, list | tuple) and len(hint) == 3
        if not is_hint or not re.fullmatch("#[0-9a-fA-F]{6}", str(hint[2])):
            raise ValueError(f'a hint must be (column, row, "#rrggbb"), got {quoted(hint)}')
        for name, place, sides in (
            ("column", hint[0], [picture.width for picture in given]),
            ("row", hint[1], [picture.height for picture in given]),
        ):
            check_whole(f"a hint's {name}", place, 0, min(sides) - 1)
        return tuple(hint)


def grained(
    image: Tensor,  # [N, 3, H, W] in [-1, 1].
    grain: float,  # Standard deviation of the noise.
    rng: torch.Generator,  # On the CPU.
) -> Tensor:
    """The image with noise, so that a network can draw strokes in flat areas."""
    if not grain:
        return image
    noise = torch.randn(image.shape, generator=rng, dtype=torch.float32, device="cpu")
    return image + grain * noise.to(image.device)


def encode(
    image: Tensor,  # RGB [N, 3, H, W] in [-1, 1].
    predicts: str,  # One of PREDICTS.
    marks: Tensor | None = None,  # Chroma of hints and where they are [N, 3, H, W]; None: no hint.
) -> Tensor:
    """What the network takes: [N, 3, H, W], or for chroma [N, 4, H, W]."""
    if predicts == "rgb":
        return image
    if marks is None:
        marks = torch.zeros_like(image)
    return torch.cat([color.luma(image), marks], dim=1)


def _as_picture(given: Any) -> Image.Image:
    """RGB or RGBA; its size is checked before anything is made of it."""
    if isinstance(given, Image.Image):
        _check_size(given)
    picture = images.to_rgb(given, keep_alpha=True)
    _check_size(picture)
    return picture


def _check_size(picture: Image.Image) -> None:
    if not 1 <= picture.width * picture.height <= MAX_PIXELS:
        raise ValueError(
            f"image must have one pixel or more and at most {MAX_PIXELS} pixels, "
            f"got {picture.width}x{picture.height}"
        )
    if max(picture.size) > MAX_STRETCH * min(picture.size):
        raise ValueError(
            f"image must be at most {MAX_STRETCH} times as long as it is wide, "
            f"got {picture.width}x{picture.height}"
        )


def _size_within(limit: int, size: tuple[int, int]) -> tuple[int, int]:
    """The size, or one of its shape whose shorter side is the limit."""
    factor = limit / min(size) if limit and min(size) > limit else 1.0
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _alike(given: Sequence[Image.Image], limit: int) -> Iterator[list[Image.Image]]:
    """Consecutive pictures of one input size; large photos are alone."""
    alike: list[Image.Image] = []
    pixels = 0
    for picture in given:
        size, shape = picture.width * picture.height, (picture.height, picture.width)
        first = (alike[0].height, alike[0].width) if alike else shape
        is_like = _size_within(limit, shape) == _size_within(limit, first)
        if alike and not (is_like and pixels + size <= BAND and len(alike) < batches.MAX_BATCH):
            yield alike
            alike, pixels = [], 0
        alike.append(picture)
        pixels += size
    yield alike


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bicubic", antialias=True).clamp(-1, 1)


def _bands(pixels: Tensor) -> Iterator[slice]:
    """Rows of a picture [1, 3, H, W], some at a time: floats of all would be four copies of it."""
    height, width = pixels.shape[2:]
    rows = max(1, BAND // width)
    return (slice(first, first + rows) for first in range(0, height, rows))


def _painted(
    pixels: Tensor,  # The photo, uint8 [1, 3, H, W].
    out: Tensor,  # What the network made, [1, 3, h, w] in [-1, 1].
    small: Tensor,  # What it saw, the same size.
    strength: float,
    detail: float,
) -> Tensor:
    """The picture, uint8 [1, 3, H, W]."""
    painted, size = torch.empty_like(pixels), pixels.shape[2:]
    for channel in range(3):
        only = slice(channel, channel + 1)
        new = _resized(out[:, only], size)
        seen = _resized(small[:, only], size) if detail else None
        for rows in _bands(pixels):
            whole, part = images.to_float(pixels[:, only, rows]).to(out.device), new[:, :, rows]
            if seen is not None:
                part = part + detail * (whole - seen[:, :, rows])
            painted[:, only, rows] = images.to_uint8(torch.lerp(whole, part, strength))
    return painted


def _coloured(
    pixels: Tensor,  # The photo in grey, uint8 [1, 3, H, W].
    out: Tensor,  # The chroma that the network made, [1, 2, h, w].
    strength: float,
) -> Tensor:
    """The picture, uint8 [1, 3, H, W]."""
    coloured, size = torch.empty_like(pixels), pixels.shape[2:]
    planes = [_resized(plane, size) for plane in out.split(1, dim=1)]
    for rows in _bands(pixels):
        whole = images.to_float(pixels[:, :, rows]).to(out.device)
        chroma = torch.cat([plane[:, :, rows] for plane in planes], 1)
        coloured[:, :, rows] = images.to_uint8(color.join(color.luma(whole), strength * chroma))
    return coloured


def _marks(hints: Sequence[Hint], size: tuple[int, int], picture_size: tuple[int, int]) -> Tensor:
    """Chroma of the hints and where they are: [1, 3, H, W] at the network's size."""
    marks = torch.zeros(1, 3, *size, dtype=torch.float32, device="cpu")
    scale_x, scale_y = size[1] / picture_size[0], size[0] / picture_size[1]
    for column, row, code in hints:
        levels = [int(code[i : i + 2], 16) for i in (1, 3, 5)]
        rgb = images.to_float(
            torch.tensor(levels, dtype=torch.uint8, device="cpu").view(1, 3, 1, 1)
        )
        x, y = int((column + 0.5) * scale_x), int((row + 0.5) * scale_y)
        half = HINT_SIDE // 2
        place = (slice(max(0, y - half), y + half + 1), slice(max(0, x - half), x + half + 1))
        marks[0, :2, *place] = color.chroma(rgb)[0]
        marks[0, 2, *place] = 1
    return marks
