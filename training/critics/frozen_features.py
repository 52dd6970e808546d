"""A frozen network's features as a loss: of pictures in pairs, and of all pictures on average."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.models.efficientnet_lite import EfficientNetLite0
from training.critics.projected_features import MIN_RESOLUTION, NETWORK

PAIR_MAPS = 3  # The network has four; the coarsest has no useful positions.
GRID = 4  # Places a side, at most, that a map is averaged to: faces are aligned.
RATE = 0.01  # How fast moments follow the batches, once there have been a hundred.


class FrozenFeatures(nn.Module):
    """Pictures [N, 3, R, R] in [-1, 1] -> four maps, finest first. Nothing in it learns."""

    def __init__(
        self,
        resolution: int,  # Side that pictures are resized to before the network sees them.
    ) -> None:
        super().__init__()
        if resolution < MIN_RESOLUTION:
            raise ValueError(
                f"feature_resolution must be {MIN_RESOLUTION} or more, got {resolution}"
            )
        self.resolution = resolution
        self.network = EfficientNetLite0.from_pretrained(NETWORK)
        self.eval().requires_grad_(False)

    def maps(self, picture: Tensor) -> list[Tensor]:
        side = (self.resolution, self.resolution)
        if picture.shape[2:] != side:
            picture = F.interpolate(picture, side, mode="bilinear", align_corners=False)
        return self.network.features(picture)


class FeatureDistance(FrozenFeatures):
    """Pictures and others like them, both [N, 3, R, R] -> how far they are apart [N].

    The squared difference of feature vectors of length 1, on average over the places of each map,
    summed over the maps (as in Zhang et al. 2018, arXiv:1801.03924, without learnt weights).
    """

    def forward(self, picture: Tensor, other: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.maps(other)[:PAIR_MAPS]
        pairs = zip(self.maps(picture), wanted, strict=False)
        ends = ((F.normalize(one, dim=1), F.normalize(two, dim=1)) for one, two in pairs)
        return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in ends]).sum(0)


class PooledFeatures(FrozenFeatures):
    """Pictures [N, 3, R, R] -> features of a few places [N, D]."""

    def forward(self, picture: Tensor) -> Tensor:
        pooled = [
            F.adaptive_avg_pool2d(x, min(GRID, x.shape[-1])).flatten(1) for x in self.maps(picture)
        ]
        return torch.cat(pooled, dim=1)

    @torch.no_grad()
    def length(self) -> int:
        """How many features D there are."""
        side = self.resolution
        device = next(self.network.parameters()).device
        return self(torch.zeros(1, 3, side, side, device=device)).shape[1]


class FeatureMoments(nn.Module):
    """Mean and mean square of features, of real pictures and of samples, and how to close the gap.

    Generative feature matching (Santos et al. 2019, arXiv:1904.02762): the moments follow the
    batches slowly, and a batch of samples is pulled along the gap between them, measured in what is
    usual for each feature. They are the state; nothing learns.
    """

    real: Tensor  # [2, D]: mean and mean square.
    drawn: Tensor  # [2, D]
    batches: Tensor  # How many it has seen.

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("real", torch.zeros(2, length))
        self.register_buffer("drawn", torch.zeros(2, length))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, drawn: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, D] of both -> a loss to lower, and the gap itself, 0 where there is none."""
        found = torch.stack([drawn.mean(0), drawn.square().mean(0)])
        with torch.no_grad():
            rate = max(RATE, 1 / (1 + float(self.batches)))
            self.real.lerp_(torch.stack([real.mean(0), real.square().mean(0)]), rate)
            self.drawn.lerp_(found, rate)
            self.batches += 1
            mean, square = self.real
            variance = (square - mean.square()).clamp(min=1e-6)
            # As for a normal distribution: only a scale, so an approximation is enough.
            usual = torch.stack([variance, 2 * variance.square() + 4 * mean.square() * variance])
            gap = self.drawn - self.real
        return 2 * (gap / usual * found).mean(), (gap.square() / usual).mean()
