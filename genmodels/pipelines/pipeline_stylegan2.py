"""Sampling from StyleGAN2."""

import random
import secrets
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import register_to_config
from PIL import Image
from torch import Tensor

from genmodels import conditions, images, recipe
from genmodels.hub import HubModel, HubPipeline, ImageOutput, check_range, check_whole
from genmodels.models import stylegan2
from genmodels.threads import threads_for


class StyleGAN2Pipeline(HubPipeline):
    """Draws images from a trained `stylegan2.Generator`, on condition where it has learnt one."""

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": stylegan2.Generator}

    @register_to_config
    def __init__(
        self,
        generator: stylegan2.Generator,
        conditions: dict[str, Any] | None = None,  # What c means: the schema of `conditions`.
    ) -> None:
        super().__init__()
        self.register_modules(generator=generator)
        self.schema = conditions or {}
        _check_schema(self.schema, generator.c_dim)

    @torch.inference_mode()
    def __call__(
        self,
        num_images: int = 1,  # How many, 1 to 256.
        *,
        seed: int | None = None,  # Image i uses seed + i; None draws one.
        truncation_psi: float = 0.7,  # 0: the average picture, 1: full variety; from -1 to 2.
        condition: dict[str, Any]
        | None = None,  # What is left out is drawn as often as in the data.
        noise_mode: str = "const",  # Fine grain: "const" or "none".
    ) -> ImageOutput:
        """New images, each with its recipe."""
        check_whole("num_images", num_images, 1, 256)
        check_range("truncation_psi", truncation_psi, -1, 2)
        if noise_mode not in ("const", "none"):
            raise ValueError(f'noise_mode must be "const" or "none", got {noise_mode!r}')
        if not isinstance(condition, dict | None):
            raise ValueError(f"condition must be a dict of names and values, got {condition!r}")
        seed = secrets.randbelow(2**31) if seed is None else seed
        check_whole("seed", seed, 0, 2**63 - 257)
        made: list[Image.Image] = []
        recipes: list[dict[str, Any]] = []
        for i in range(num_images):
            asked = conditions.draw(self.schema, condition, random.Random(seed + i))
            ws = self._styles(seed + i, asked, truncation_psi)
            settings = {"truncation_psi": truncation_psi, "noise_mode": noise_mode}
            recipes.append(recipe.make(self, seed + i, condition=asked, **settings))
            made.append(recipe.attach(self._draw(ws, noise_mode), recipes[-1]))
        return ImageOutput(images=made, recipes=recipes)

    def _styles(self, seed: int, condition: dict[str, Any], truncation_psi: float) -> Tensor:
        """The styles of one picture: [1, num_ws, w_dim]."""
        rng = torch.Generator().manual_seed(seed)
        z = torch.randn(1, self.generator.z_dim, generator=rng).to(self.device)
        c = torch.tensor([conditions.encode(self.schema, condition)], device=self.device)
        w = self.generator.mapping(z, c.reshape(1, self.generator.c_dim))
        w_avg = self.generator.w_avg(c.reshape(1, self.generator.c_dim))
        return self.generator.broadcast(torch.lerp(w_avg, w, truncation_psi))

    def _draw(self, ws: Tensor, noise_mode: str) -> Image.Image:
        """One picture: a batch would make it depend on its neighbours and be no faster on a CPU."""
        config = self.generator.config
        with threads_for(config.resolution**2 * config.base_channels):
            return images.to_pil(self.generator.synthesis(ws, noise_mode))[0]


def _check_schema(schema: dict[str, Any], c_dim: int) -> None:
    """The schema may come from a repo that nobody vouches for."""
    conditions.check(schema)
    if conditions.size(schema) != c_dim:
        raise ValueError(
            f"conditions must describe c_dim = {c_dim} numbers, got {conditions.size(schema)}"
        )
