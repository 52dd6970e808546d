"""Sampling from DCGAN."""

import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from genmodels import images, latents, recipe
from genmodels.hub import HubModel, HubPipeline, ImageOutput, check_range, check_whole
from genmodels.models import dcgan
from genmodels.threads import threads_for


class DCGANPipeline(HubPipeline):
    """Draws images from a trained `dcgan.Generator`."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": dcgan.Generator}

    def __init__(self, generator: dcgan.Generator) -> None:
        super().__init__()
        # In training mode a picture would depend on its batch.
        self.register_modules(generator=generator.eval())

    @torch.inference_mode()
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
        check_whole("num_images", num_images, 1, 256)
        check_range("toward_strength", toward_strength, 0, 1)
        seed = secrets.randbelow(2**31) if seed is None else seed
        check_whole("seed", seed, 0, 2**63 - 257)
        config = self.generator.config
        output = ImageOutput(images=[], recipes=[])
        # One by one: a picture must not depend on its neighbours, and on a CPU it costs no more.
        with threads_for(config.resolution**2 // 4 * config.base_channels):
            for own in range(seed, seed + num_images):
                z, settings = self._latent(own, variation_seed, variation_strength)
                if toward is not None:
                    z = latents.walk(z, latents.of(toward, self._latent)[0], toward_strength)
                    settings |= {"toward": toward, "toward_strength": toward_strength}
                (image,) = images.to_pil(self.generator(z.to(self.device)))
                output.recipes.append(recipe.make(self, own, **settings))
                output.images.append(recipe.attach(image, output.recipes[-1]))
        return output

    def vary(
        self,
        *,
        seed: int,  # Of the picture to vary.
        strength: float = 0.3,  # 0: the same again, 1: another picture.
        num_images: int = 8,  # How many, 1 to 256.
    ) -> ImageOutput:
        """Pictures around one, the same ones each time."""
        return latents.pictures(self, latents.around(seed, strength, num_images))

    def interpolate(
        self,
        *,
        seeds: Sequence[int] = (),  # Two or more pictures to pass through, in this order ...
        recipes: Sequence[dict[str, Any]] = (),  # ... or any pictures, by their recipes.
        frames: int = 24,  # From one picture to the next; the last picture is one more.
    ) -> ImageOutput:
        """The pictures on the way, ready for a film: frames for each but the last, and that one."""
        if recipes:
            return latents.pictures(self, latents.through(self, recipes, frames))
        return latents.pictures(self, latents.between(seeds, frames))

    def _latent(
        self, seed: int, variation_seed: int | None = None, variation_strength: float = 0.0
    ) -> tuple[Tensor, dict[str, Any]]:
        """z [1, z_dim] of one picture, and the settings that its recipe needs."""
        check_whole("seed", seed, 0, 2**63 - 257)
        check_range("variation_strength", variation_strength, 0, 1)
        z = latents.draw(seed, self.generator.z_dim)
        if variation_seed is None:
            return z, {}
        check_whole("variation_seed", variation_seed, 0, 2**63 - 257)
        z = latents.walk(z, latents.draw(variation_seed, self.generator.z_dim), variation_strength)
        return z, {"variation_seed": variation_seed, "variation_strength": variation_strength}
