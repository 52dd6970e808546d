"""Enlarging pictures."""

import secrets
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torch import Tensor

from genmodels.data import images
from genmodels.hub import recipe
from genmodels.hub.checks import check_whole
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from genmodels.models import upscaler
from genmodels.nn.threads import threads_for

TILE = 256  # Side, in pixels of the input, of what is enlarged at once; activations take 80 MB.
MAX_IMAGES = 256


class UpscalerPipeline(HubPipeline):
    """Enlarges pictures of any size with a trained `upscaler.Generator`.

    It invents detail: what is in the large picture and not in the small one is likely, not known.
    """

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": upscaler.Generator}
    tags = ("super-resolution", "upscaler")

    def __init__(self, generator: upscaler.Generator) -> None:
        super().__init__()
        self.register_modules(generator=generator)

    def __call__(
        self,
        image: Any,  # As `images.to_rgb` takes it, of any size; or a list of several.
        *,
        factor: int | None = None,  # How many times larger, 2 up to the network's, the default.
        seed: int | None = 0,  # As everywhere; it counts for nothing, there is no chance in this.
    ) -> ImageOutput:
        """The pictures enlarged, each with its recipe, and their transparency.

        The recipe of the input picture is included, so that both steps can be replayed.

        Errors: ValueError for what is no picture, for a result of more than 64 megapixels, and for
        a factor out of range.
        """
        several = list(image) if isinstance(image, list | tuple) else [image]
        if not 1 <= len(several) <= MAX_IMAGES:
            raise ValueError(f"images must be 1 to {MAX_IMAGES}, got {len(several)}")
        seed = secrets.randbelow(2**31) if seed is None else seed
        seed = check_whole("seed", seed, 0, 2**63 - 1 - MAX_IMAGES)
        largest = self.networks["generator"].config.scale
        factor = check_whole("factor", largest if factor is None else factor, 2, largest)
        given = [_as_picture(picture, factor) for picture in several]
        output = ImageOutput(images=[], recipes=[])
        with self.drawing() as generator:
            sha256 = self.weights_sha256
            for image_seed, picture in enumerate(given, seed):
                large = self._enlarged(generator, picture, factor)
                record = recipe.make(
                    self, image_seed, image=picture, weights_sha256=sha256, factor=factor
                )
                output.images.append(recipe.attach(large, record, recipe.source_type(record)))
                output.recipes.append(record)
        return output

    def _enlarged(self, generator: Any, picture: Image.Image, factor: int) -> Image.Image:
        width, height = picture.size
        pixels = images.from_pil([picture.convert("RGB")])
        large = np.empty((factor * height, factor * width, 3), np.uint8)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                rows = slice(top, min(top + TILE, height))
                columns = slice(left, min(left + TILE, width))
                place = tuple(
                    slice(factor * part.start, factor * part.stop) for part in (rows, columns)
                )
                large[place] = self._tile(generator, pixels, rows, columns, factor)
        result = Image.fromarray(large)
        if picture.mode == "RGBA":
            alpha = picture.getchannel("A")
            result.putalpha(alpha.resize(result.size, Image.Resampling.BICUBIC))
        return result

    def _tile(
        self, generator: Any, pixels: Tensor, rows: slice, columns: slice, factor: int
    ) -> np.ndarray:
        """Some rows and columns of uint8 [1, 3, H, W], enlarged: uint8 [h, w, 3].

        With all around it that can matter, a tile is what it would be in the whole.
        """
        config = self.networks["generator"].config
        around = config.num_layers + 4  # A layer sees one pixel on; the filter that shrinks, two.
        top, left = (max(0, part.start - around) for part in (rows, columns))
        seen = pixels[..., top : rows.stop + around, left : columns.stop + around]
        x = images.to_float(seen).to(self.device, self.dtype)
        with threads_for(x.shape[2] * x.shape[3] * config.channels):
            large = images.to_uint8(generator(x, factor))[0]
        inner = (
            slice(factor * (part.start - first), factor * (part.stop - first))
            for part, first in ((rows, top), (columns, left))
        )
        return large[:, *inner].permute(1, 2, 0).cpu().numpy()


def _as_picture(given: Any, factor: int) -> Image.Image:
    """RGB or RGBA, small enough to be enlarged."""
    picture = images.to_rgb(given, keep_alpha=True)
    width, height = (factor * side for side in picture.size)
    if width * height > images.MAX_PIXELS:
        raise ValueError(
            f"the enlarged picture must have at most {images.MAX_PIXELS} pixels, "
            f"got {width}x{height}"
        )
    return picture
