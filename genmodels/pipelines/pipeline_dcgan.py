"""Sampling from DCGAN."""

import secrets
from typing import ClassVar

import torch

from genmodels import images, recipe
from genmodels.hub import HubModel, HubPipeline, ImageOutput, check_whole
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
    ) -> ImageOutput:
        """New images, each with its recipe."""
        check_whole("num_images", num_images, 1, 256)
        seed = secrets.randbelow(2**31) if seed is None else seed
        check_whole("seed", seed, 0, 2**63 - 257)
        config = self.generator.config
        made = []
        # One by one: a picture must not depend on its neighbours, and on a CPU it costs no more.
        with threads_for(config.resolution**2 // 4 * config.base_channels):
            for i in range(num_images):
                rng = torch.Generator().manual_seed(seed + i)
                z = torch.randn(1, config.z_dim, generator=rng).to(self.device)
                made += images.to_pil(self.generator(z))
        recipes = [recipe.make(self, seed + i) for i in range(num_images)]
        made = [recipe.attach(*pair) for pair in zip(made, recipes, strict=True)]
        return ImageOutput(images=made, recipes=recipes)
