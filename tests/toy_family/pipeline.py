"""Sampling from the linear generator."""

import secrets
from typing import ClassVar

import torch

from genmodels.data import images
from genmodels.hub import recipe
from genmodels.hub.checks import check_whole
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from genmodels.models import linear
from genmodels.pipelines import sampling


class LinearPipeline(HubPipeline):
    """Draws images from a trained `linear.Generator`."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": linear.Generator}
    tags = ("linear",)

    def __init__(self, generator: linear.Generator) -> None:
        super().__init__()
        self.register_modules(generator=generator)

    def __call__(self, num_images: int = 1, *, seed: int | None = None) -> ImageOutput:
        """New images, each with its recipe; image i uses seed + i."""
        num_images = check_whole("num_images", num_images, 1, 256)
        seed = secrets.randbelow(2**31) if seed is None else seed
        seed = check_whole("seed", seed, 0, sampling.MAX_SEED)
        output = ImageOutput(images=[], recipes=[])
        with self.drawing() as generator, torch.no_grad():
            for i in range(num_images):
                z = sampling.draw(seed + i, self.networks["generator"].z_dim)
                image = generator(z.to(self.device, self.dtype))[0]
                record = recipe.make(self, seed + i, weights_sha256=self.weights_sha256)
                (picture,) = images.to_pil(image[None])
                output.images.append(recipe.attach(picture, record))
                output.recipes.append(record)
        return output
