"""Enlarging pictures."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from PIL import Image

from genmodels import images, recipe
from genmodels.hub import HubModel, HubPipeline, ImageOutput, check_whole
from genmodels.models import upscaler
from genmodels.threads import threads_for

TILE = 256  # Side, in pixels of the input, of what is enlarged at once; activations take 80 MB.
MAX_IMAGES = 256


class UpscalerPipeline(HubPipeline):
    """Enlarges pictures of any size with a trained `upscaler.Upscaler`.

    It invents detail: what is in the large picture and not in the small one is likely, not known.
    """

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"upscaler": upscaler.Upscaler}

    def __init__(self, upscaler: upscaler.Upscaler) -> None:
        super().__init__()
        self.register_modules(upscaler=upscaler.eval())

    @torch.inference_mode()
    def __call__(
        self,
        image: Image.Image | Sequence[Image.Image],  # RGB or RGBA, of any size; or several.
        *,
        factor: int | None = None,  # How many times larger, 2 up to the network's, the default.
    ) -> ImageOutput:
        """The pictures enlarged, each with its recipe.

        A picture that carries its own recipe passes that on, so that both steps can be replayed.

        Errors: ValueError for a picture of another mode, for a result of more than 64 megapixels,
        and for a factor out of range.
        """
        given: list[Image.Image] = list(image) if isinstance(image, list | tuple) else [image]
        if not 1 <= len(given) <= MAX_IMAGES:
            raise ValueError(f"images must be 1 to {MAX_IMAGES}, got {len(given)}")
        factor = self.upscaler.scale if factor is None else factor
        check_whole("factor", factor, 2, self.upscaler.scale)
        for picture in given:
            _check_picture(picture, factor)
        output = ImageOutput(images=[], recipes=[])
        for picture in given:
            made = recipe.make(self, 0, image=picture, factor=factor)
            large = self._enlarged(picture, factor)
            output.recipes.append(made)
            output.images.append(recipe.attach(large, made, recipe.source_type(made)))
        return output

    def _enlarged(self, picture: Image.Image, factor: int) -> Image.Image:
        width, height = picture.size
        pixels = images.from_pil([picture.convert("RGB")])
        large = np.empty((factor * height, factor * width, 3), np.uint8)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                rows, columns = slice(top, top + TILE), slice(left, left + TILE)
                tile = self._tile(pixels, rows, columns, factor)
                place = (factor * top, factor * left)
                ends = [start + side for start, side in zip(place, tile.shape[:2], strict=True)]
                large[place[0] : ends[0], place[1] : ends[1]] = tile
        result = Image.fromarray(large)
        if picture.mode == "RGBA":
            alpha = picture.getchannel("A")
            result.putalpha(alpha.resize(result.size, Image.Resampling.BICUBIC))
        return result

    def _tile(self, pixels: torch.Tensor, rows: slice, columns: slice, factor: int) -> np.ndarray:
        """Some rows and columns of uint8 [1, 3, H, W], enlarged: uint8 [h, w, 3].

        With all around it that can matter, a tile is what it would be in the whole.
        """
        around = self.upscaler.reach + 2  # The filter that shrinks sees less than two.
        top, left = (max(0, part.start - around) for part in (rows, columns))
        seen = pixels[..., top : rows.stop + around, left : columns.stop + around]
        x = images.to_float(seen).to(self.device, self.upscaler.dtype)
        with threads_for(x.shape[2] * x.shape[3] * self.upscaler.config.channels):
            large = images.to_uint8(self.upscaler(x, factor))[0]
        height = factor * (min(rows.stop, pixels.shape[2]) - rows.start)
        width = factor * (min(columns.stop, pixels.shape[3]) - columns.start)
        y, x0 = factor * (rows.start - top), factor * (columns.start - left)
        return large[:, y : y + height, x0 : x0 + width].permute(1, 2, 0).cpu().numpy()


def _check_picture(picture: Image.Image, factor: int) -> None:
    if not isinstance(picture, Image.Image) or picture.mode not in ("RGB", "RGBA"):
        came = getattr(picture, "mode", type(picture).__name__)
        raise ValueError(f"image must be a PIL image of mode RGB or RGBA, got {came}")
    width, height = (factor * side for side in picture.size)
    if not 1 <= width * height <= images.MAX_PIXELS:
        raise ValueError(
            f"the enlarged picture must have 1 to {images.MAX_PIXELS} pixels, got {width}x{height}"
        )
