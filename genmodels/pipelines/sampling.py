"""Latents: drawn from a seed, walked between, and the pictures that lie on such walks.

What every pipeline with a Gaussian latent shares. Each picture of a walk is a call of the pipeline
with a second seed, `variation_seed`, so that it has a recipe of its own.
"""

import inspect
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from genmodels.hub.checks import check_range, check_whole, plain, quoted
from genmodels.hub.pipelines import HubPipeline

MAX_SEED = 2**63 - 257  # The last image of a batch of 256 still has a seed.

Point = TypeVar("Point")  # Whatever a family draws a picture from.


def draw(seed: int, z_dim: int) -> Tensor:
    """z [1, z_dim] of a seed, drawn on the CPU so that it is the same on every device."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(1, z_dim, generator=rng, dtype=torch.float32, device="cpu")


def walk(start: Tensor, end: Tensor, strength: float) -> Tensor:
    """The latent at `strength` on the way from `start`, at 0, to `end`, at 1; all [1, z_dim].

    On the sphere where latents live, so that all that is between is as likely (White 2016,
    arXiv:1609.04468); two draws in many dimensions are taken to be at a right angle.
    """
    if strength == 1:
        return end  # Exactly: the cosine of a right angle is not quite 0 here.
    angle = strength * math.pi / 2
    return math.cos(angle) * start + math.sin(angle) * end


def around(seed: int, strength: float, num_images: int) -> list[dict[str, Any]]:
    """The settings of `num_images` pictures around one, the same ones each time."""
    num_images = check_whole("num_images", num_images, 1, 256)
    seed = check_whole("seed", seed, 0, MAX_SEED)
    rng = random.Random(seed)
    return [
        {"seed": seed, "variation_seed": rng.randrange(2**31), "variation_strength": strength}
        for _ in range(num_images)
    ]


def between(seeds: Sequence[int], frames: int) -> list[dict[str, Any]]:
    """The settings of the pictures on the way: `frames` from each to the next, and the last."""
    seeds = [check_whole("seed", seed, 0, MAX_SEED) for seed in seeds]
    if len(seeds) < 2:
        raise ValueError(f"seeds must be two or more, got {seeds}")
    frames = check_whole("frames", frames, 1, 600)
    way: list[dict[str, Any]] = [
        {"seed": a, "variation_seed": b, "variation_strength": i / frames}
        for a, b in zip(seeds, seeds[1:], strict=False)
        for i in range(frames)
    ]
    return [*way, {"seed": seeds[-1]}]


def through(
    pipeline: HubPipeline, recipes: Sequence[dict[str, Any]], frames: int
) -> list[dict[str, Any]]:
    """As `between`, for any pictures of the pipeline, by their recipes."""
    if len(recipes) < 2:
        raise ValueError(f"recipes must be two or more, got {len(recipes)}")
    frames = check_whole("frames", frames, 1, 600)
    sha256 = pipeline.weights_sha256
    for each in recipes:
        if each["weights_sha256"] != sha256:
            raise ValueError(
                f"the recipes must be of this model's pictures, one is {each['model']}"
            )
        if "image" in each:
            raise ValueError("a picture that was made from a photo cannot be passed through")
        if "toward" in each["settings"]:
            raise ValueError("a picture that is itself between two others cannot be passed through")
    stops = [{**each["settings"], "seed": each["seed"]} for each in recipes]
    way = [
        {**a, "toward": b, "toward_strength": i / frames}
        for a, b in zip(stops, stops[1:], strict=False)
        for i in range(frames)
    ]
    return [*way, stops[-1]]


def placed(
    picture: dict[str, Any],  # Its seed and settings, and perhaps another picture to go toward.
    place: Callable[..., tuple[Point, dict[str, Any]]],  # A seed and settings -> as this function.
    between: Callable[[Point, Point, float], Point],  # The point at a strength from 0 to 1.
) -> tuple[Point, dict[str, Any]]:
    """Where in its latent space a picture lies, and the settings that its recipe needs."""
    picture = dict(picture)
    toward, strength = picture.pop("toward", None), picture.pop("toward_strength", 0.0)
    point, settings = of(picture, place, "a picture")
    strength = check_range("toward_strength", strength, 0, 1)
    if toward is not None:
        toward = plain(toward)
        end, others = of(toward, place)
        point = between(point, end, strength)
        settings |= {"toward": {"seed": toward["seed"], **others}, "toward_strength": strength}
    return point, settings


def of(picture: dict[str, Any], place: Callable[..., Any], name: str = "toward") -> Any:
    """What `place` makes of a picture's seed and settings, which may be a stranger's."""
    known = inspect.signature(place).parameters
    if not isinstance(picture, dict) or "seed" not in picture or set(picture) - set(known):
        raise ValueError(
            f"{name} must be a dict of seed and {', '.join(known)}, got {quoted(picture)}"
        )
    return place(**picture)
