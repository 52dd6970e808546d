"""Sampling from StyleGAN2."""

import math
import random
import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import register_to_config
from PIL import Image
from torch import Tensor

from genmodels import conditions, images, recipe
from genmodels.hub import HubModel, HubPipeline, ImageOutput, check_range, check_whole
from genmodels.models import stylegan2
from genmodels.threads import threads_for

# Which layers' styles a name stands for, first and last; the last of "fine" is the network's last.
LAYERS = {"coarse": (0, 2), "middle": (3, 6), "fine": (7, None)}  # Up to 8 px, 16-32 px, 64 px on.


class StyleGAN2Pipeline(HubPipeline):
    """Draws images from a trained `stylegan2.Generator`, on condition where it has learnt one.

    `vary`, `interpolate` and `mix` are calls with a second seed, so that each of their pictures has
    a recipe of its own.
    """

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
        condition: dict[str, Any] | None = None,  # What is left out is drawn, by its frequency.
        noise_mode: str = "const",  # Fine grain: "const" or "none".
        variation_seed: int | None = None,  # A second latent, ...
        variation_strength: float = 0.0,  # ... and how far to go there, from 0 to 1.
        mix_seed: int | None = None,  # A picture whose styles the layers of `mix_layers` take, ...
        mix_condition: dict[str, Any] | None = None,  # That picture's; None: as `condition`.
        mix_layers: str | Sequence[int] = "middle",  # ... coarse, middle, fine or (first, last).
    ) -> ImageOutput:
        """New images, each with its recipe."""
        check_whole("num_images", num_images, 1, 256)
        check_range("truncation_psi", truncation_psi, -1, 2)
        check_range("variation_strength", variation_strength, 0, 1)
        if noise_mode not in ("const", "none"):
            raise ValueError(f'noise_mode must be "const" or "none", got {noise_mode!r}')
        if not isinstance(condition, dict | None):
            raise ValueError(f"condition must be a dict of names and values, got {condition!r}")
        seed = secrets.randbelow(2**31) if seed is None else seed
        for name, number in {
            "seed": seed,
            "variation_seed": seed if variation_seed is None else variation_seed,
            "mix_seed": seed if mix_seed is None else mix_seed,
        }.items():
            check_whole(name, number, 0, 2**63 - 257)
        settings: dict[str, Any] = {"truncation_psi": truncation_psi, "noise_mode": noise_mode}
        if variation_seed is not None:
            settings |= {
                "variation_seed": variation_seed,
                "variation_strength": variation_strength,
            }
        if mix_seed is not None:
            first, last = self.layers(mix_layers)
            other = condition if mix_condition is None else mix_condition
            other = conditions.draw(self.schema, other, random.Random(mix_seed))
            mixed_in = self._styles(self._latent(mix_seed), other, truncation_psi)
            settings |= {"mix_seed": mix_seed, "mix_condition": other, "mix_layers": [first, last]}

        output = ImageOutput(images=[], recipes=[])
        for own in range(seed, seed + num_images):
            asked = conditions.draw(self.schema, condition, random.Random(own))
            z = self._latent(own)
            if variation_seed is not None:
                # On the sphere where latents live, so that all that is between is as likely.
                angle = variation_strength * math.pi / 2
                z = math.cos(angle) * z + math.sin(angle) * self._latent(variation_seed)
            ws = self._styles(z, asked, truncation_psi)
            if mix_seed is not None:
                ws = torch.cat([ws[:, :first], mixed_in[:, first : last + 1], ws[:, last + 1 :]], 1)
            output.recipes.append(recipe.make(self, own, condition=asked, **settings))
            output.images.append(recipe.attach(self._draw(ws, noise_mode), output.recipes[-1]))
        return output

    def vary(
        self,
        *,
        seed: int,  # Of the picture to vary.
        strength: float = 0.3,  # 0: the same again, 1: another picture.
        num_images: int = 8,  # How many, 1 to 256.
        **settings: Any,  # Of the call.
    ) -> ImageOutput:
        """Pictures around one, the same ones each time."""
        check_whole("num_images", num_images, 1, 256)
        rng = random.Random(seed)
        settings |= {"seed": seed, "variation_strength": strength}
        return _joined(
            [self(1, variation_seed=rng.randrange(2**31), **settings) for _ in range(num_images)]
        )

    def interpolate(
        self,
        *,
        seeds: Sequence[int],  # Two or more pictures to pass through, in this order.
        frames: int = 24,  # From one picture to the next; the last picture is one more.
        **settings: Any,  # Of the call; a condition that is left out stays the first picture's.
    ) -> ImageOutput:
        """The pictures on the way, ready for a film: frames * (len(seeds) - 1) + 1 of them."""
        if len(seeds) < 2:
            raise ValueError(f"seeds must be two or more, got {list(seeds)}")
        check_whole("frames", frames, 1, 600)
        # One condition for the whole way: between two bodies there is no third.
        drawn = random.Random(seeds[0])
        settings["condition"] = conditions.draw(self.schema, settings.get("condition"), drawn)
        way = [
            self(1, seed=a, variation_seed=b, variation_strength=i / frames, **settings)
            for a, b in zip(seeds, seeds[1:], strict=False)
            for i in range(frames)
        ]
        return _joined([*way, self(1, seed=seeds[-1], **settings)])

    def mix(
        self,
        *,
        row_seeds: Sequence[int],  # Pictures that give what the other layers decide.
        column_seeds: Sequence[int],  # Pictures that give the styles of `layers`.
        layers: str | Sequence[int] = "middle",  # "coarse", "middle", "fine" or (first, last).
        **settings: Any,  # Of the call.
    ) -> ImageOutput:
        """A grid, row by row: every row's picture with the layers' styles of every column's."""
        return _joined(
            [
                self(1, seed=row, mix_seed=column, mix_layers=layers, **settings)
                for row in row_seeds
                for column in column_seeds
            ]
        )

    def layers(self, names: str | Sequence[int]) -> tuple[int, int]:
        """The first and last style of a range: of "coarse", "middle", "fine", or of itself."""
        end = self.generator.num_ws - 1
        if isinstance(names, str):
            if names not in LAYERS:
                raise ValueError(f"layers must be among {', '.join(LAYERS)}, got {names!r}")
            first, last = LAYERS[names]
            last = end if last is None else min(last, end)
        else:
            if len(names) != 2:
                raise ValueError(f"layers must be (first, last), got {list(names)}")
            first, last = names
        check_whole("the first layer", first, 0, end)
        check_whole("the last layer", last, first, end)
        return first, last

    def _latent(self, seed: int) -> Tensor:
        """z [1, z_dim] of a seed, drawn on the CPU so that it is the same on every device."""
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(1, self.generator.z_dim, generator=rng).to(self.device)

    def _styles(self, z: Tensor, condition: dict[str, Any], truncation_psi: float) -> Tensor:
        """The styles of one picture: [1, num_ws, w_dim]."""
        c = torch.tensor([conditions.encode(self.schema, condition)], device=self.device)
        c = c.reshape(1, self.generator.c_dim)
        w = torch.lerp(self.generator.w_avg(c), self.generator.mapping(z, c), truncation_psi)
        return self.generator.broadcast(w)

    def _draw(self, ws: Tensor, noise_mode: str) -> Image.Image:
        """One picture: a batch would make it depend on its neighbours and be no faster on a CPU."""
        config = self.generator.config
        with threads_for(config.resolution**2 * config.base_channels):
            return images.to_pil(self.generator.synthesis(ws, noise_mode))[0]


def _joined(parts: list[ImageOutput]) -> ImageOutput:
    return ImageOutput(
        images=[image for part in parts for image in part.images],
        recipes=[one for part in parts for one in part.recipes],
    )


def _check_schema(schema: dict[str, Any], c_dim: int) -> None:
    """The schema may come from a repo that nobody vouches for."""
    conditions.check(schema)
    if conditions.size(schema) != c_dim:
        raise ValueError(
            f"conditions must describe c_dim = {c_dim} numbers, got {conditions.size(schema)}"
        )
