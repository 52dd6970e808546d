"""What pipelines share that draw from a seed, on condition where the network has learnt one."""

import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from genmodels.data import conditions
from genmodels.data.conditions import Schema
from genmodels.hub.checks import check_whole, plain
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from genmodels.pipelines import sampling


class ConditionalPipeline(HubPipeline):
    """Variations and interpolation, each picture with a recipe of its own."""

    schema: Schema  # What c means.

    @abstractmethod
    def pictures(
        self,
        calls: Sequence[dict[str, Any]],  # Keyword arguments of `__call__`, and a seed, for each.
    ) -> ImageOutput:
        """One picture for each of the settings, in their order."""

    def vary(
        self,
        *,
        seed: int,  # Seed of the picture to vary.
        strength: float = 0.3,  # 0: the same again, 1: another picture.
        num_images: int = 8,  # How many, 1 to 256.
        **settings: Any,  # Keyword arguments of `__call__`.
    ) -> ImageOutput:
        """Pictures around one, the same ones each time."""
        variations = sampling.around(seed, strength, num_images)
        return self.pictures([settings | variation for variation in variations])

    def interpolate(
        self,
        *,
        seeds: Sequence[int] = (),  # Two or more pictures to pass through, in this order ...
        recipes: Sequence[dict[str, Any]] = (),  # ... or any pictures, by their recipes.
        frames: int = 24,  # From one picture to the next; the last picture is one more.
        **settings: Any,  # As for `__call__`; a condition defaults to the first picture's.
    ) -> ImageOutput:
        """The pictures on the way, ready for a film: frames for each but the last, and that one."""
        if recipes:
            if seeds or settings:
                raise ValueError(f"recipes say all, got also {[*seeds, *settings]}")
            return self.pictures(sampling.through(self, recipes, frames))
        way = sampling.between(seeds, frames)
        # One condition for the whole way: between two bodies there is no third.
        settings["condition"] = self._condition(settings.get("condition"), seeds[0])
        return self.pictures([settings | step for step in way])

    def _condition(self, condition: dict[str, Any] | None, seed: int) -> dict[str, Any]:
        """The condition of a seed's picture: what is asked, completed by the seed."""
        seed = check_whole("seed", seed, 0, sampling.MAX_SEED)
        return conditions.draw(self.schema, plain(condition), random.Random(seed))
