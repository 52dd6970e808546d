"""Running average of a network's weights *and* buffers; its half-life is counted in images.

diffusers' `EMAModel` averages parameters only and saves freshly built buffers beside them, which
loses BatchNorm statistics, so this class is used.
"""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class EMA(Generic[Network]):
    """Keeps `model`, a frozen copy in eval mode that trails the trained network."""

    def __init__(
        self,
        model: Network,  # Averaged from its present state on.
        halflife_images: float,  # After this many images an old weight counts half.
        ramp: float = 0.05,  # Early on the half-life is at most this share of the images seen.
    ) -> None:
        if halflife_images <= 0:
            raise ValueError(f"halflife_images must be positive, got {halflife_images}")
        self.model: Network = copy.deepcopy(model).eval().requires_grad_(False)
        self.halflife_images = halflife_images
        self.ramp = ramp

    def decay(self, images: int, images_seen: int) -> float:
        """What remains of the old average after a step of `images`, `images_seen` before it."""
        halflife = min(self.halflife_images, images_seen * self.ramp)
        return 0.5 ** (images / halflife) if halflife > 0 else 0.0

    @torch.no_grad()
    def update(self, model: Network, images: int, images_seen: int) -> None:
        """Move towards `model`, which has just learnt from `images` more images."""
        weight = 1 - self.decay(images, images_seen)
        for average, value in zip(_tensors(self.model), _tensors(model), strict=True):
            if average.is_floating_point():
                average.lerp_(value, weight)
            else:  # A counter: there is nothing between two integers.
                average.copy_(value)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
