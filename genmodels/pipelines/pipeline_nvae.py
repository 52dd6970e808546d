"""Sampling from NVAE, and changing what it is told of a picture."""

import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, NamedTuple

import torch
from diffusers.configuration_utils import register_to_config
from PIL import Image
from torch import Tensor

from genmodels.data import conditions, images
from genmodels.hub import recipe
from genmodels.hub.checks import check_range, check_whole, plain, quoted
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import ImageOutput
from genmodels.hub.weights import unwrapped
from genmodels.models import nvae
from genmodels.nn.threads import threads_for
from genmodels.pipelines import batches, sampling
from genmodels.pipelines.conditional import ConditionalPipeline
from genmodels.pipelines.sampling import MAX_SEED

MIN_TEMPERATURE, MAX_TEMPERATURE = nvae.TEMPERATURES[0], nvae.TEMPERATURES[-1]


class NVAEPipeline(ConditionalPipeline):
    """Draws images from a trained `nvae.NVAE`, on condition where it has learnt one.

    The same seed under another condition is the same noise, so that a face keeps its identity. A
    condition whose value is None is unknown, and the network decides. `edit` gives a photo other
    conditions. Each picture has a recipe of its own, whatever made it.
    """

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": nvae.NVAE}
    tags = ("vae", "nvae")

    @register_to_config
    def __init__(
        self,
        generator: nvae.NVAE,
        conditions: dict[str, Any] | None = None,  # What c means: the schema of `conditions`.
    ) -> None:
        super().__init__()
        self.register_modules(generator=generator)
        self.schema = conditions or {}
        _check_schema(self.schema, self.networks["generator"].c_dim)

    def __call__(
        self,
        num_images: int = 1,  # How many, 1 to 256.
        *,
        image: Any = None,  # A photo whose latents to take instead of the seed's; see `edit`.
        original: dict[str, Any] | None = None,  # What is known of that photo.
        seed: int | None = None,  # Image i uses seed + i; None draws one.
        temperature: float = 0.7,  # 0.5: close to the average picture, 1: full variety.
        condition: dict[str, Any] | None = None,  # What is left out is drawn, by its frequency.
        variation_seed: int | None = None,  # A second latent, ...
        variation_strength: float = 0.0,  # ... and how far to go there, from 0 to 1.
        keep_levels: int | None = None,  # Coarse levels of latents to keep; None: all of them.
        redraw_seed: int | None = None,  # Where the other levels are from.
        toward: dict[str, Any] | None = None,  # Another picture: its seed and settings, ...
        toward_strength: float = 0.0,  # ... and how far to go there, from 0 to 1.
    ) -> ImageOutput:
        """New images, each with its recipe; or, of a photo, the photo under other conditions.

        A condition of None is unknown to the network. For a photo, so is what is left out.
        """
        num_images = check_whole("num_images", num_images, 1, 256)
        seed = secrets.randbelow(2**31) if seed is None else seed
        seed = check_whole("seed", seed, 0, MAX_SEED)
        settings: dict[str, Any] = {
            "temperature": temperature,
            "condition": condition,
            "variation_seed": variation_seed,
            "variation_strength": variation_strength,
            "keep_levels": keep_levels,
            "redraw_seed": redraw_seed,
            "toward": toward,
            "toward_strength": toward_strength,
        }
        asked = [settings | {"seed": seed + i} for i in range(num_images)]
        if image is None:
            if original is not None:
                raise ValueError("original is what is known of a photo: give that as image")
            return self.pictures(asked)
        return self._edited(asked, images.to_rgb(image), plain(original) or {})

    def pictures(
        self,
        asked: Sequence[dict[str, Any]],  # The settings of a call, and a seed, for each.
    ) -> ImageOutput:
        """One picture for each of the settings, in their order."""
        placed = [sampling.placed(one, self._place, _between) for one in asked]
        return self._drawn([one["seed"] for one in asked], placed)

    def edit(
        self,
        image: Any,  # A photo as `images.to_rgb` takes it; its middle square is used.
        *,
        condition: dict[str, Any] | None = None,  # What to change; all else is left to the network.
        original: dict[str, Any] | None = None,  # What is known of the photo, as conditions are.
        **settings: Any,  # Keyword arguments of `__call__`.
    ) -> ImageOutput:
        """The photo as the network sees it, under other conditions.

        Its latents are found under `original`, and drawn again under that with `condition` upon it.
        """
        seed = settings.pop("seed", 0)  # There is no chance in it unless levels are redrawn.
        return self(image=image, original=original, condition=condition, seed=seed, **settings)

    def redraw(
        self,
        *,
        seed: int,  # Seed of the picture.
        keep_levels: int = 1,  # Coarse levels that stay; all others are drawn anew.
        num_images: int = 8,  # How many, 1 to 256.
        **settings: Any,  # Keyword arguments of `__call__`.
    ) -> ImageOutput:
        """Pictures that share their coarse levels, such as the pose, and differ in the others."""
        rows = sampling.around(seed, 0.0, num_images)
        asked = [
            {"seed": seed, "keep_levels": keep_levels, "redraw_seed": row["variation_seed"]}
            for row in rows
        ]
        return self.pictures([settings | one for one in asked])

    def sweep(
        self,
        *,
        seed: int,  # Seed of the picture.
        name: str,  # The condition that changes.
        values: Sequence[Any],  # What it becomes: numbers, also beyond the data's, or classes.
        condition: dict[str, Any] | None = None,  # What else is asked; what is not, the seed draws.
        **settings: Any,  # Keyword arguments of `__call__`.
    ) -> ImageOutput:
        """One picture with one condition running through the values, all else kept."""
        if name not in self.schema:
            raise ValueError(f"name must be one of {list(self.schema)}, got {quoted(name)}")
        if not 1 <= len(values) <= 600:
            raise ValueError(f"values must be 1 to 600, got {len(values)}")
        kept = settings | {"seed": seed}
        asked = [kept | {"condition": (condition or {}) | {name: value}} for value in values]
        return self.pictures(asked)

    def _edited(
        self, asked: Sequence[dict[str, Any]], photo: Image.Image, original: dict[str, Any]
    ) -> ImageOutput:
        """The photo's noise under `original`, under the conditions and settings that are asked."""
        network = self.networks["generator"]
        small = images.from_pil([images.fit_square(photo, network.resolution)])
        x = images.to_float(small).to(self.device, self.dtype)
        with self.drawing() as generator, threads_for(_elements(network)):
            noise = unwrapped(generator).encode(x, self._c(original).to(x))
        placed = []
        for one in asked:
            if one["toward"] is not None:
                raise ValueError("a photo cannot go towards another picture: leave toward out")
            own = {key: value for key, value in one.items() if "toward" not in key}
            own["condition"] = original | (plain(own["condition"]) or {})
            place = partial(self._placed_photo, noise.float().cpu(), original)
            placed.append(sampling.of(own, place, "a picture"))
        return self._drawn([one["seed"] for one in asked], placed, photo)

    def _drawn(
        self,
        seeds: Sequence[int],
        placed: Sequence[tuple["_Point", dict[str, Any]]],
        photo: Image.Image | None = None,  # What they are made from.
    ) -> ImageOutput:
        output = ImageOutput(images=[], recipes=[])
        with self.drawing() as generator:
            sha256 = self.weights_sha256
            drawn = self._run(unwrapped(generator), [point for point, _ in placed])
            for seed, (_, settings), image in zip(seeds, placed, drawn, strict=True):
                made = recipe.make(self, seed, image=photo, weights_sha256=sha256, **settings)
                (picture,) = images.to_pil(image)
                output.images.append(recipe.attach(picture, made, recipe.source_type(made)))
                output.recipes.append(made)
        return output

    def _run(self, network: nvae.NVAE, points: Sequence["_Point"]) -> Iterator[Tensor]:
        """The pictures [1, 3, R, R] in their order."""
        elements, z_dim = _elements(network), network.z_dim
        with threads_for(elements):
            for temperature, run in groupby(points, key=lambda point: point.temperature):
                rows = torch.cat([torch.cat([point.noise, point.c], dim=1) for point in run])
                rows = rows.to(self.device, self.dtype)

                def draw(part: Tensor, temperature: float | None = temperature) -> Tensor:
                    return network(part[:, :z_dim], part[:, z_dim:], temperature)

                yield from batches.draw(draw, rows, elements=elements, key=f"NVAE {network.config}")

    def _place(
        self,
        seed: int,
        temperature: float = 0.7,
        condition: dict[str, Any] | None = None,
        variation_seed: int | None = None,
        variation_strength: float = 0.0,
        keep_levels: int | None = None,
        redraw_seed: int | None = None,
    ) -> tuple["_Point", dict[str, Any]]:
        """What a picture is drawn from, and the settings that its recipe needs."""
        temperature = _check_temperature(temperature)
        noise = self._noise("seed", seed, temperature)
        condition = self._condition(condition, seed)
        noise, changes = self._changed(
            noise, temperature, variation_seed, variation_strength, keep_levels, redraw_seed
        )
        settings = {"temperature": temperature, "condition": condition} | changes
        return _Point(noise, self._c(condition), temperature), settings

    def _placed_photo(
        self,
        noise: Tensor,  # The photo's [1, z_dim].
        original: dict[str, Any],  # What that was found under.
        seed: int,
        temperature: float = 0.7,
        condition: dict[str, Any] | None = None,
        variation_seed: int | None = None,
        variation_strength: float = 0.0,
        keep_levels: int | None = None,
        redraw_seed: int | None = None,
    ) -> tuple["_Point", dict[str, Any]]:
        """As `_place`, with a photo's noise, and the statistics of reconstructions."""
        del seed  # There is nothing left to draw from it.
        temperature = _check_temperature(temperature)
        condition = condition or {}
        noise, changes = self._changed(
            noise, temperature, variation_seed, variation_strength, keep_levels, redraw_seed
        )
        settings = {"temperature": temperature, "condition": condition, "original": original}
        return _Point(noise, self._c(condition), None), settings | changes

    def _changed(
        self,
        noise: Tensor,
        temperature: float,
        variation_seed: int | None,
        variation_strength: float,
        keep_levels: int | None,
        redraw_seed: int | None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """The noise of a variation with some levels redrawn, and the settings that say so."""
        settings: dict[str, Any] = {}
        variation_strength = check_range("variation_strength", variation_strength, 0, 1)
        if variation_seed is not None:
            other = self._noise("variation_seed", variation_seed, temperature)
            noise = sampling.walk(noise, other, variation_strength)
            settings["variation_seed"] = plain(variation_seed)
            settings["variation_strength"] = variation_strength
        if keep_levels is None:
            return noise, settings
        sizes = list(self.networks["generator"].level_sizes.values())
        keep_levels = check_whole("keep_levels", keep_levels, 0, len(sizes))
        if redraw_seed is None:
            raise ValueError("keep_levels needs a redraw_seed for the other levels, got None")
        kept = sum(sizes[:keep_levels])
        other = self._noise("redraw_seed", redraw_seed, temperature)
        settings |= {"keep_levels": keep_levels, "redraw_seed": plain(redraw_seed)}
        return torch.cat([noise[:, :kept], other[:, kept:]], dim=1), settings

    def _noise(self, name: str, seed: int, temperature: float) -> Tensor:
        """Noise [1, z_dim] of a seed; `name` is for the message."""
        z_dim = self.networks["generator"].z_dim
        return temperature * sampling.draw(check_whole(name, seed, 0, MAX_SEED), z_dim)

    def _c(self, condition: dict[str, Any]) -> Tensor:
        """c [1, c_dim]; what is None or left out is unknown."""
        if not isinstance(condition, dict):
            raise ValueError(
                f"condition must be a dict of names and values, got {quoted(condition)}"
            )
        known = {name: value for name, value in condition.items() if value is not None}
        unknown = [name for name in condition if name not in self.schema]
        if unknown:
            raise ValueError(
                f"unknown condition {quoted(unknown)}; this model knows {list(self.schema)}"
            )
        c = conditions.encode_known(self.schema, known)
        return torch.tensor([c], dtype=torch.float32, device="cpu")


class _Point(NamedTuple):
    """What a picture is drawn from."""

    noise: Tensor  # [1, z_dim], times the temperature.
    c: Tensor  # [1, c_dim]
    temperature: float | None  # Whose statistics to use; None: reconstructions'.


def _between(start: _Point, end: _Point, strength: float) -> _Point:
    """The point at a strength from 0 to 1 of the way; a photo has none."""
    assert start.temperature is not None
    assert end.temperature is not None
    noise = sampling.walk(start.noise, end.noise, strength)
    temperature = start.temperature + (end.temperature - start.temperature) * strength
    return _Point(noise, torch.lerp(start.c, end.c, strength), temperature)


def _check_temperature(temperature: float) -> float:
    return check_range("temperature", temperature, MIN_TEMPERATURE, MAX_TEMPERATURE)


def _elements(network: nvae.NVAE) -> int:
    """Numbers in the largest tensor of one picture."""
    return 2 * int(network.config.base_channels) * network.resolution**2


def _check_schema(schema: dict[str, Any], c_dim: int) -> None:
    """The schema may come from a repo that nobody vouches for."""
    conditions.check(schema)
    size = conditions.size(schema) + len(schema)
    if size != c_dim:
        raise ValueError(f"conditions must describe c_dim = {c_dim} numbers, got {size}")
