"""Sampling from StyleGAN2."""

import functools
import random
import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import register_to_config
from PIL import Image
from torch import Tensor

from genmodels import conditions, images, latents, recipe
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
        # A quarter of a small picture's time, and the same for every picture of a condition.
        self._w_avg = functools.lru_cache(maxsize=64)(
            lambda device, *c: generator.w_avg(torch.tensor([c], device=device))
        )

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
        toward: dict[str, Any] | None = None,  # Another picture: its seed and settings, ...
        toward_strength: float = 0.0,  # ... and how far to go there, from 0 to 1.
    ) -> ImageOutput:
        """New images, each with its recipe."""
        check_whole("num_images", num_images, 1, 256)
        check_range("toward_strength", toward_strength, 0, 1)
        seed = secrets.randbelow(2**31) if seed is None else seed
        check_whole("seed", seed, 0, 2**63 - 257)
        output = ImageOutput(images=[], recipes=[])
        for own in range(seed, seed + num_images):
            ws, settings = self._placed(
                own,
                truncation_psi,
                condition,
                noise_mode,
                variation_seed,
                variation_strength,
                mix_seed,
                mix_condition,
                mix_layers,
            )
            if toward is not None:
                there, other = latents.of(toward, self._placed)
                ws = torch.lerp(ws, there, toward_strength)
                settings["toward"] = {"seed": toward["seed"], **other}
                settings["toward_strength"] = toward_strength
            output.recipes.append(recipe.make(self, own, **settings))
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
        asked = latents.around(seed, strength, num_images)
        return latents.pictures(self, [settings | one for one in asked])

    def interpolate(
        self,
        *,
        seeds: Sequence[int] = (),  # Two or more pictures to pass through, in this order ...
        recipes: Sequence[dict[str, Any]] = (),  # ... or any pictures, by their recipes.
        frames: int = 24,  # From one picture to the next; the last picture is one more.
        **settings: Any,  # Of the call, for seeds; a condition left out stays the first picture's.
    ) -> ImageOutput:
        """The pictures on the way, ready for a film: frames for each but the last, and that one."""
        if recipes:
            if seeds or settings:
                raise ValueError(f"recipes say all, got also {[*seeds, *settings]}")
            return latents.pictures(self, latents.through(self, recipes, frames))
        way = latents.between(seeds, frames)
        # One condition for the whole way: between two bodies there is no third.
        settings["condition"] = self._drawn(settings.get("condition"), seeds[0])
        return latents.pictures(self, [settings | one for one in way])

    def sweep(
        self,
        *,
        seed: int,  # Of the picture.
        name: str = "year",  # The condition that changes.
        values: Sequence[Any],  # What it becomes: numbers, also beyond the data's, or classes.
        condition: dict[str, Any] | None = None,  # What else is asked; what is not, the seed draws.
        **settings: Any,  # Of the call.
    ) -> ImageOutput:
        """One picture with one condition running through the values, all else kept.

        A second picture that is mixed in runs through the values too.
        """
        if name not in self.schema:
            raise ValueError(f"name must be one of {list(self.schema)}, got {name!r}")
        if not 1 <= len(values) <= 600:
            raise ValueError(f"values must be 1 to 600, got {len(values)}")
        self._drawn(condition, seed)  # Refuses what is no condition.
        kept = {"condition": condition or {}}
        if settings.get("mix_condition") is not None:
            kept["mix_condition"] = settings["mix_condition"]
        asked = [{key: one | {name: value} for key, one in kept.items()} for value in values]
        return latents.pictures(self, [settings | {"seed": seed} | one for one in asked])

    def mix(
        self,
        *,
        row_seeds: Sequence[int],  # Pictures that give what the other layers decide.
        column_seeds: Sequence[int],  # Pictures that give the styles of `layers`.
        layers: str | Sequence[int] = "middle",  # "coarse", "middle", "fine" or (first, last).
        **settings: Any,  # Of the call.
    ) -> ImageOutput:
        """A grid, row by row: every row's picture with the layers' styles of every column's."""
        cells = [
            {"seed": row, "mix_seed": column, "mix_layers": layers}
            for row in row_seeds
            for column in column_seeds
        ]
        return latents.pictures(self, [settings | cell for cell in cells])

    @torch.inference_mode()
    def layer_shares(
        self,
        num_images: int = 64,  # Of pairs to compare, 2 to 4096; the error shrinks with its root.
        seed: int = 0,  # Pair i is of the pictures of seed + i and seed + num_images + i.
        truncation_psi: float = 1.0,  # As in the call.
        condition: dict[str, Any] | None = None,  # As in the call.
    ) -> dict[str, float]:
        """Which share of the pictures' variance each range of layers decides; they sum to 1.

        Of two pictures that share the styles of a range and nothing else, the covariance over the
        variance is the range's closed Sobol index (Sobol 1993; estimated as in Janon et al. 2014,
        10.1051/ps/2013040), here of all pixels together. "middle" is what knowing the middle layers
        adds to the coarse, "fine" what remains, so what ranges decide together counts for the finer
        one. Estimates, so that a share of nothing may come out a little below 0.
        """
        check_whole("num_images", num_images, 2, 4096)
        check_whole("seed", seed, 0, 2**63 - 1 - 2 * num_images)
        check_range("truncation_psi", truncation_psi, -1, 2)

        def styles(own: int) -> Tensor:
            c = self._encoded(self._drawn(condition, own))
            return self._styles(self._latent(own), c, truncation_psi)

        config, middle, fine = self.generator.config, LAYERS["middle"][0], LAYERS["fine"][0]
        sums = torch.zeros((), dtype=torch.float64)
        for own in range(seed, seed + num_images):
            ws, other = styles(own), styles(own + num_images)
            # The picture; one with its coarse styles only; one with its coarse and middle styles.
            mixed = [ws, *(torch.cat([ws[:, :end], other[:, end:]], 1) for end in (middle, fine))]
            with threads_for(config.resolution**2 * config.base_channels):
                made = self.generator.synthesis(torch.cat(mixed)).clamp(-1, 1).cpu().double()
            one, two = made[:1], made[1:]  # [1, C, R, R], [2, C, R, R]
            sums = sums + torch.stack([(one + two) / 2, (one**2 + two**2) / 2, one * two])
        mean, square, product = sums / num_images  # [2, C, R, R] each
        covariance, variance = ((x - mean**2).mean((1, 2, 3)) for x in (product, square))
        if not variance.min() > 1e-12:
            raise ValueError("all these pictures are the same: they have no variance to share")
        coarse, both = (covariance / variance).tolist()
        return {"coarse": coarse, "middle": both - coarse, "fine": 1 - both}

    def layers(self, names: str | Sequence[int]) -> tuple[int, int]:
        """The first and last style of a range: of "coarse", "middle", "fine", or of itself."""
        end = self.generator.num_ws - 1
        if isinstance(names, str):
            if names not in LAYERS:
                raise ValueError(f"layers must be among {', '.join(LAYERS)}, got {names!r}")
            first, last = LAYERS[names]
            if first > end:
                side = self.generator.config.resolution
                raise ValueError(f"a network of {side} px has no {names} layers")
            last = end if last is None else min(last, end)
        else:
            if len(names) != 2:
                raise ValueError(f"layers must be (first, last), got {list(names)}")
            first, last = names
        check_whole("the first layer", first, 0, end)
        check_whole("the last layer", last, first, end)
        return first, last

    def _placed(
        self,
        seed: int,
        truncation_psi: float = 0.7,
        condition: dict[str, Any] | None = None,
        noise_mode: str = "const",
        variation_seed: int | None = None,
        variation_strength: float = 0.0,
        mix_seed: int | None = None,
        mix_condition: dict[str, Any] | None = None,
        mix_layers: str | Sequence[int] = "middle",
    ) -> tuple[Tensor, dict[str, Any]]:
        """The styles of one picture, [1, num_ws, w_dim], and the settings that its recipe needs."""
        check_whole("seed", seed, 0, 2**63 - 257)
        check_range("truncation_psi", truncation_psi, -1, 2)
        check_range("variation_strength", variation_strength, 0, 1)
        if noise_mode not in ("const", "none"):
            raise ValueError(f'noise_mode must be "const" or "none", got {noise_mode!r}')
        asked = self._drawn(condition, seed)
        settings = {"condition": asked, "truncation_psi": truncation_psi, "noise_mode": noise_mode}
        z = self._latent(seed)
        if variation_seed is not None:
            check_whole("variation_seed", variation_seed, 0, 2**63 - 257)
            z = latents.walk(z, self._latent(variation_seed), variation_strength)
            settings["variation_seed"] = variation_seed
            settings["variation_strength"] = variation_strength
        ws = self._styles(z, self._encoded(asked), truncation_psi)
        if mix_seed is not None:
            check_whole("mix_seed", mix_seed, 0, 2**63 - 257)
            first, last = self.layers(mix_layers)
            other = self._drawn(condition if mix_condition is None else mix_condition, mix_seed)
            mixed_in = self._styles(self._latent(mix_seed), self._encoded(other), truncation_psi)
            ws = torch.cat([ws[:, :first], mixed_in[:, first : last + 1], ws[:, last + 1 :]], 1)
            settings |= {"mix_seed": mix_seed, "mix_condition": other, "mix_layers": [first, last]}
        return ws, settings

    def _drawn(self, condition: dict[str, Any] | None, seed: int) -> dict[str, Any]:
        """The condition of a seed's picture: what is asked, completed by the seed."""
        return conditions.draw(self.schema, condition, random.Random(seed))

    def _encoded(self, condition: dict[str, Any]) -> Tensor:
        """c [1, c_dim]."""
        c = torch.tensor([conditions.encode(self.schema, condition)], device=self.device)
        return c.reshape(1, self.generator.c_dim)

    def _latent(self, seed: int) -> Tensor:
        """z [1, z_dim]."""
        return latents.draw(seed, self.generator.z_dim).to(self.device)

    def _styles(self, z: Tensor, c: Tensor, truncation_psi: float) -> Tensor:
        """The styles of one picture: [1, num_ws, w_dim]."""
        with threads_for(stylegan2.W_AVG_SAMPLES * self.generator.w_dim):
            w_avg = self._w_avg(self.device, *c.flatten().tolist())
            w = torch.lerp(w_avg, self.generator.mapping(z, c), truncation_psi)
        return self.generator.broadcast(w)

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
