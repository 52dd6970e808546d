"""Sampling from DCGAN."""

import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from genmodels.data import images
from genmodels.hub import recipe
from genmodels.hub.checks import check_range, check_whole
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from genmodels.models import dcgan
from genmodels.nn.threads import threads_for
from genmodels.pipelines import batches, sampling


class DCGANPipeline(HubPipeline):
    """Draws images from a trained `dcgan.Generator`."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": dcgan.Generator}
    tags = ("gan", "dcgan")

    def __init__(self, generator: dcgan.Generator) -> None:
        super().__init__()
        self.register_modules(generator=generator)

    def __call__(
        self,
        num_images: int = 1,  # How many, 1 to 256.
        *,
        seed: int | None = None,  # Image i uses seed + i; None draws one.
        variation_seed: int | None = None,  # A second latent, ...
        variation_strength: float = 0.0,  # ... and how far to go there, from 0 to 1.
        toward: dict[str, Any] | None = None,  # Another picture: its seed and settings, ...
        toward_strength: float = 0.0,  # ... and how far to go there, from 0 to 1.
    ) -> ImageOutput:
        """New images, each with its recipe."""
        num_images = check_whole("num_images", num_images, 1, 256)
        seed = secrets.randbelow(2**31) if seed is None else seed
        seed = check_whole("seed", seed, 0, sampling.MAX_SEED)
        settings: dict[str, Any] = {"variation_seed": variation_seed}
        settings |= {"variation_strength": variation_strength}
        settings |= {"toward": toward, "toward_strength": toward_strength}
        return self.pictures([settings | {"seed": seed + i} for i in range(num_images)])

    def pictures(
        self,
        calls: Sequence[dict[str, Any]],  # The settings of a call, and a seed, for each.
    ) -> ImageOutput:
        """One picture for each of the settings, in their order."""
        placed = [sampling.placed(call, self._latent, sampling.walk) for call in calls]
        output = ImageOutput(images=[], recipes=[])
        with self.drawing() as generator:
            sha256 = self.weights_sha256
            config = self.networks["generator"].config
            elements = config.resolution**2 // 4 * config.base_channels
            z = torch.cat([latent for latent, _ in placed]).to(self.device, self.dtype)
            with threads_for(elements):
                drawn = batches.draw(generator, z, elements=elements, key=f"DCGAN {config}")
                for call, (_, settings), image in zip(calls, placed, drawn, strict=True):
                    record = recipe.make(self, call["seed"], weights_sha256=sha256, **settings)
                    (picture,) = images.to_pil(image)
                    output.images.append(recipe.attach(picture, record))
                    output.recipes.append(record)
        return output

    def vary(
        self,
        *,
        seed: int,  # Seed of the picture to vary.
        strength: float = 0.3,  # 0: the same again, 1: another picture.
        num_images: int = 8,  # How many, 1 to 256.
    ) -> ImageOutput:
        """Pictures around one, the same ones each time."""
        return self.pictures(sampling.around(seed, strength, num_images))

    def interpolate(
        self,
        *,
        seeds: Sequence[int] = (),  # Two or more pictures to pass through, in this order ...
        recipes: Sequence[dict[str, Any]] = (),  # ... or any pictures, by their recipes.
        frames: int = 24,  # From one picture to the next; the last picture is one more.
    ) -> ImageOutput:
        """The pictures on the way, ready for a film: frames for each but the last, and that one."""
        if recipes:
            return self.pictures(sampling.through(self, recipes, frames))
        return self.pictures(sampling.between(seeds, frames))

    def _latent(
        self, seed: int, variation_seed: int | None = None, variation_strength: float = 0.0
    ) -> tuple[Tensor, dict[str, Any]]:
        """z [1, z_dim] of one picture, and the settings that its recipe needs."""
        z_dim = self.networks["generator"].z_dim
        z = sampling.draw(check_whole("seed", seed, 0, sampling.MAX_SEED), z_dim)
        variation_strength = check_range("variation_strength", variation_strength, 0, 1)
        if variation_seed is None:
            return z, {}
        variation_seed = check_whole("variation_seed", variation_seed, 0, sampling.MAX_SEED)
        z = sampling.walk(z, sampling.draw(variation_seed, z_dim), variation_strength)
        return z, {"variation_seed": variation_seed, "variation_strength": variation_strength}
