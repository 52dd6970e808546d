"""TranslatorRun: what the scripts that learn to translate share beyond `training.runs.run`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from genmodels.pipelines.translation import MAX_GRAIN, MAX_MARGIN, MAX_NETWORK_SIZE, grained
from training.runs.run import Run, RunConfig, mix

SHOWN = 8  # Pictures on a sheet.


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(RunConfig):
    """Flags of the translation scripts; the defaults are those of pix2pix."""

    # The published pipeline's own; and the rate falls over the steps.
    may_change: ClassVar = (RunConfig.may_change | {"network_size", "margin"}) - {"steps"}
    tunable: ClassVar = RunConfig.tunable | {"lr", "ema_halflife_images", "steps"}

    batch_size: int = 4  # Pictures per update.
    jitter: float = 0.2  # Random crops are smaller than the picture by up to this share.
    lr: float = 2e-4  # Adam learning rate.
    beta1: float = 0.5  # Adam beta1.
    decay_from: float = 0.6  # Share of the steps after which the learning rate falls to 0.
    ema_halflife_images: float = 2_000  # Half-life of the EMA weights, which are published.
    network_size: int = 0  # Largest shorter side of the pipeline's input; 0 = any.
    margin: int = 0  # Mirror padding of the pipeline's input; 16 avoids a border.
    grain: float = 0.0  # Standard deviation of input noise, 0 to 1; rgb only.
    init_from: str | None = None  # Fine-tune this model: a zoo name, a folder or "user/repo".

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, high in (
            ("jitter", 0.75),
            ("decay_from", 1),
            ("margin", MAX_MARGIN),
            ("grain", MAX_GRAIN),
            ("network_size", MAX_NETWORK_SIZE),
        ):
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be from 0 to {high}, got {getattr(self, name)}")

    def check_weights(self, *names: str) -> None:
        """ValueError if a loss weight is negative or infinite."""
        for name in names:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")

    @property
    def published(self) -> dict[str, Any]:
        """Arguments of the published pipeline, besides its network."""
        return {
            "network_size": self.network_size,
            "margin": self.margin,
            "grain": self.grain,
        }


class TranslatorRun(Run):
    """A run whose pictures are loaded larger than the network sees them, and cut."""

    config: TranslatorConfig

    @property
    def loaded_resolution(self) -> int:
        """Side of the loaded pictures: a piece that is enlarged to it loses nothing."""
        return side_to_load(self.config.resolution, self.config.jitter)

    def boxes(self, chances: np.ndarray) -> np.ndarray:
        """Top, left and side of a square for each row of three numbers from 0 to 1."""
        whole, least = self.loaded_resolution, self.config.resolution
        sides = least + np.floor(chances[:, 2] * (whole - least + 1)).astype(np.int64)
        corners = np.floor(chances[:, :2] * (whole - sides + 1)[:, None]).astype(np.int64)
        return np.concatenate([corners, sides[:, None]], axis=1)

    def rngs(self, step: int | str, count: int) -> list[Generator]:
        """One for each picture of a batch, so that what it draws does not depend on its part."""
        seeds = (mix(self.config.seed, step, i, "picture") for i in range(count))
        return [Generator().manual_seed(seed) for seed in seeds]

    def grained(self, pictures: Tensor, rngs: Sequence[Generator]) -> Tensor:
        """Pictures [n, 3, R, R] as the network takes them, each with grain of its own."""
        each = zip(pictures.split(1), rngs, strict=True)
        return torch.cat([grained(picture, self.config.grain, rng) for picture, rng in each])

    def set_rates(self, *optimizers: Optimizer) -> None:
        """The rate of this step, which follows from its number alone."""
        start = self.config.decay_from
        done = self.step / self.config.steps
        factor = 1.0 if done < start else (1 - done) / max(1 - start, 1e-9)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * factor


def side_to_load(resolution: int, jitter: float) -> int:
    """The side to load pictures at, so that the smallest crop has the resolution."""
    return round(resolution / (1 - jitter))
