"""Sampling from StyleGAN2."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from genmodels.data import images
from genmodels.hub import recipe
from genmodels.hub.checks import check_range, check_whole, quoted
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import ImageOutput
from genmodels.hub.weights import unwrapped
from genmodels.models import stylegan2
from genmodels.nn.threads import threads_for
from genmodels.pipelines import batches, blending, sampling
from genmodels.pipelines.conditional import ConditionalPipeline
from genmodels.pipelines.stylegan2_styles import LAYERS, Styles, check_schema, layers


class StyleGAN2Pipeline(ConditionalPipeline):
    """Draws images from a trained `stylegan2.Generator`, on condition where it has learnt one.

    `vary`, `interpolate` and `mix` are calls with a second seed, so that each of their pictures has
    a recipe of its own.
    """

    components_allowed: ClassVar[dict[str, type[HubModel]]] = {"generator": stylegan2.Generator}
    tags = ("gan", "stylegan2")

    @register_to_config
    def __init__(
        self,
        generator: stylegan2.Generator,
        conditions: dict[str, Any] | None = None,  # What c means: the schema of `conditions`.
        parents: list[dict[str, Any]] | None = None,  # What `blend` made it of: names and hashes.
    ) -> None:
        super().__init__()
        self.register_modules(generator=generator)
        self.schema = conditions or {}
        check_schema(self.schema, self.networks["generator"].c_dim)

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
        num_images = check_whole("num_images", num_images, 1, 256)
        seed = secrets.randbelow(2**31) if seed is None else seed
        seed = check_whole("seed", seed, 0, sampling.MAX_SEED)
        settings: dict[str, Any] = {
            "truncation_psi": truncation_psi,
            "condition": condition,
            "noise_mode": noise_mode,
            "variation_seed": variation_seed,
            "variation_strength": variation_strength,
            "mix_seed": mix_seed,
            "mix_condition": mix_condition,
            "mix_layers": mix_layers,
            "toward": toward,
            "toward_strength": toward_strength,
        }
        return self.pictures([settings | {"seed": seed + i} for i in range(num_images)])

    def pictures(
        self,
        calls: Sequence[dict[str, Any]],  # The settings of a call, and a seed, for each.
    ) -> ImageOutput:
        """One picture for each of the settings, in their order."""
        output = ImageOutput(images=[], recipes=[])
        with self.drawing() as generator:
            sha256 = self.weights_sha256
            network = unwrapped(generator)
            styles = Styles(network, self.schema, sha256)
            placed = [sampling.placed(call, styles.of, torch.lerp) for call in calls]
            for call, (_, settings), image in zip(
                calls, placed, _drawn(network, placed), strict=True
            ):
                record = recipe.make(self, call["seed"], weights_sha256=sha256, **settings)
                (picture,) = images.to_pil(image)
                output.images.append(recipe.attach(picture, record))
                output.recipes.append(record)
        return output

    def sweep(
        self,
        *,
        seed: int,  # Seed of the picture.
        name: str = "year",  # The condition that changes.
        values: Sequence[Any],  # What it becomes: numbers, also beyond the data's, or classes.
        condition: dict[str, Any] | None = None,  # What else is asked; what is not, the seed draws.
        **settings: Any,  # Keyword arguments of `__call__`.
    ) -> ImageOutput:
        """One picture with one condition running through the values, all else kept.

        A second picture that is mixed in runs through the values too.
        """
        if name not in self.schema:
            raise ValueError(f"name must be one of {list(self.schema)}, got {name!r}")
        if not 1 <= len(values) <= 600:
            raise ValueError(f"values must be 1 to 600, got {len(values)}")
        self._condition(condition, seed)  # Refuses what is no condition.
        fixed = {"condition": condition or {}}
        if settings.get("mix_condition") is not None:
            fixed["mix_condition"] = settings["mix_condition"]
        calls = [{key: each | {name: value} for key, each in fixed.items()} for value in values]
        return self.pictures([settings | {"seed": seed} | each for each in calls])

    def mix(
        self,
        *,
        row_seeds: Sequence[int],  # Pictures that give what the other layers decide.
        column_seeds: Sequence[int],  # Pictures that give the styles of `layers`.
        layers: str | Sequence[int] = "middle",  # "coarse", "middle", "fine" or (first, last).
        **settings: Any,  # Keyword arguments of `__call__`.
    ) -> ImageOutput:
        """A grid, row by row: every row's picture with the layers' styles of every column's."""
        cells = [
            {"seed": row, "mix_seed": column, "mix_layers": layers}
            for row in row_seeds
            for column in column_seeds
        ]
        return self.pictures([settings | cell for cell in cells])

    def layer_shares(
        self,
        num_images: int = 64,  # Pairs to compare, 2 to 4096; the error falls with the square root.
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
        num_images = check_whole("num_images", num_images, 2, 4096)
        seed = check_whole("seed", seed, 0, 2**63 - 1 - 2 * num_images)
        truncation_psi = check_range("truncation_psi", truncation_psi, -1, 2)
        middle, fine = LAYERS["middle"][0], LAYERS["fine"][0]
        sums = torch.zeros((), dtype=torch.float64, device="cpu")
        with self.drawing() as generator:
            network = unwrapped(generator)
            space = Styles(network, self.schema, self.weights_sha256)

            def styles(image_seed: int) -> Tensor:
                c = space.encoded(space.condition(condition, image_seed))
                return space.truncated(space.latent(image_seed), c, truncation_psi)

            for image_seed in range(seed, seed + num_images):
                ws, other = styles(image_seed), styles(image_seed + num_images)
                # The picture; one with its coarse styles; one with its coarse and middle styles.
                ends = (middle, fine)
                mixed = [ws, *(torch.cat([ws[:, :end], other[:, end:]], 1) for end in ends)]
                with threads_for(_elements(network)):
                    drawn = network.synthesis(torch.cat(mixed)).clamp(-1, 1).cpu().double()
                first, second = drawn[:1], drawn[1:]  # [1, C, R, R], [2, C, R, R]
                sums = sums + torch.stack(
                    [(first + second) / 2, (first**2 + second**2) / 2, first * second]
                )
        mean, square, product = sums / num_images  # [2, C, R, R] each
        covariance, variance = ((x - mean**2).mean((1, 2, 3)) for x in (product, square))
        if not variance.min() > 1e-12:
            raise ValueError("all these pictures are the same: they have no variance to share")
        coarse, both = (covariance / variance).tolist()
        return {"coarse": coarse, "middle": both - coarse, "fine": 1 - both}

    def blend(
        self,
        other: "StyleGAN2Pipeline",  # Fine-tuned from this model, or both from a third.
        swap_resolution: int = 16,  # Layers up to this side in pixels are this model's, ...
        *,
        shares: Mapping[int, float] | None = None,  # ... or the other's share by side, 0 to 1.
    ) -> "StyleGAN2Pipeline":
        """A new model: this one's layout, by seed and condition, in the other's fine layers.

        The fewer pixels `swap_resolution` has, the more is the other's. It draws, saves and is
        pushed like any other; `parents` in its config says what it was made of. ValueError where
        the two were trained apart. Pinkney and Adler 2020 (arXiv:2010.05334).
        """
        network = self.networks["generator"]
        if shares is None:
            sides = [4 * 2**i for i in range(len(network.blocks))]
            if swap_resolution not in sides[:-1]:
                came = quoted(swap_resolution)
                raise ValueError(f"swap_resolution must be among {sides[:-1]}, got {came}")
            shares = {side: 1.0 for side in sides if side > swap_resolution}
        generator = blending.blended(network, other.networks["generator"], shares)
        parents: list[dict[str, Any]] = [
            {"name": pipe.source, "weights_sha256": pipe.weights_sha256} for pipe in (self, other)
        ]
        parents[1]["shares"] = {str(side): share for side, share in shares.items()}
        return StyleGAN2Pipeline(generator, self.schema, parents)

    def layers(self, names: str | Sequence[int]) -> tuple[int, int]:
        """The first and last style of a range: of "coarse", "middle", "fine", or of itself."""
        return layers(self.networks["generator"], names)


def _drawn(
    network: stylegan2.Generator,
    placed: Sequence[tuple[Tensor, dict[str, Any]]],  # Styles and settings of each picture.
) -> Iterator[Tensor]:
    """The pictures [1, C, R, R] in their order."""
    elements = _elements(network)
    with threads_for(elements):
        for noise_mode, run in groupby(placed, key=lambda call: call[1]["noise_mode"]):
            yield from batches.draw(
                partial(network.synthesis, noise_mode=noise_mode),
                torch.cat([ws for ws, _ in run]),
                elements=elements,
                key=f"StyleGAN2 {noise_mode} {network.config}",
            )


def _elements(network: stylegan2.Generator) -> int:
    """Numbers in the largest tensor of one picture."""
    return network.config.resolution**2 * network.config.base_channels
