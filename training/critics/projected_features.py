"""A projected discriminator: heads on a frozen network's features of the images.

Projected GAN (Sauer et al. 2021, arXiv:2111.01007), small enough for a CPU. Departs from it:
- Images are enlarged to 96 px rather than 224; the mixing is narrower, the heads are lighter.
- BatchNorm always uses the batch's own statistics, real and fake apart, and keeps none.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from genmodels.models.efficientnet_lite import FEATURE_CHANNELS, EfficientNetLite0

MIXED_CHANNELS = (32, 64, 64, 128)  # Channels of the maps that the heads see, finest first.
HALVINGS = (2, 1, 1, 1)  # Convolutions of stride 2 in each head.
MAX_CHANNELS = 256  # In a head.
MEANS = ("loss_mean", "slope_ratio")  # That `Balance` keeps, ...
RATE = 0.02  # ... and how they follow: within 50 steps.
MIN_RESOLUTION = 64  # Smaller, the coarsest map is too small for its head.
NETWORK = "efficientnet-lite0"  # Embedded in the zoo.


class Projection(nn.Module):
    """Images [N, 3, R, R] in [-1, 1] -> four mixed maps, finest first. Nothing in it learns.

    Random 1x1 convolutions mix the channels of each feature map; from the coarsest map on, each is
    enlarged, added to the next finer one and mixed by a random residual 3x3 convolution: what a
    head sees depends on all scales above its own, so no head can look at one detail alone.
    """

    def __init__(
        self,
        resolution: int = 96,  # Side that images are enlarged to before the network sees them.
        seed: int = 0,  # Seed of the random mixing, which need not be saved in checkpoints.
    ) -> None:
        super().__init__()
        if resolution < MIN_RESOLUTION:
            raise ValueError(
                f"feature_resolution must be {MIN_RESOLUTION} or more, got {resolution}"
            )
        self.resolution = resolution
        with torch.random.fork_rng(devices=[]):
            self.network = EfficientNetLite0.from_pretrained(NETWORK)
            torch.manual_seed(seed)
            widths = list(MIXED_CHANNELS)
            pairs = zip(FEATURE_CHANNELS, widths, strict=True)
            self.channels = nn.ModuleList(_frozen(c_in, c_out, 1) for c_in, c_out in pairs)
            self.down = nn.ModuleList(
                _frozen(coarse, fine, 1) for fine, coarse in zip(widths, widths[1:], strict=False)
            )
            self.scales = nn.ModuleList(_frozen(width, width, 3) for width in widths)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        side = (self.resolution, self.resolution)
        if images.shape[2:] != side:
            images = F.interpolate(images, side, mode="bilinear", align_corners=False)
        maps = self.network.features(images)
        mixed: list[Tensor] = []
        for i in reversed(range(len(maps))):
            x = self.channels[i](maps[i])
            if mixed:
                coarse = F.interpolate(mixed[0], x.shape[2:], mode="bilinear", align_corners=False)
                x = (x + self.down[i](coarse)) / math.sqrt(2)
            mixed.insert(0, x + self.scales[i](x))
        return mixed


class Heads(nn.Module):
    """Mixed maps, c [N, c_dim] -> logits [N, h, w] per scale; higher = more real. They learn.

    With conditions a logit is the plain one plus a projection of the head's features on the
    condition, as in our StyleGAN2's own discriminator.
    """

    def __init__(self, c_dim: int = 0) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            Head(c_in, halvings, c_dim)
            for c_in, halvings in zip(MIXED_CHANNELS, HALVINGS, strict=True)
        )
        self.balance = Balance()

    def forward(self, maps: list[Tensor], c: Tensor, c_weight: float = 1.0) -> list[Tensor]:
        return [head(x, c, c_weight).float() for head, x in zip(self.heads, maps, strict=True)]


class Balance(nn.Module):
    """What the heads remember of how they fare; kept with their weights.

    The running means follow once per batch, however it is split into parts.
    """

    loss_mean: Tensor  # Running mean of the hinge loss: 2 = at chance, 0 = perfect.
    slope_ratio: Tensor  # Running mean of their slope at the image by the own one's; 0 = none yet.
    active_from: Tensor  # Images seen when they last began to take part; -1 while they do not.
    batch: Tensor  # [2, 2]: of both means, what the parts of a batch added, and how many parts.

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("loss_mean", torch.tensor(2.0))
        self.register_buffer("slope_ratio", torch.tensor(0.0))
        self.register_buffer("active_from", torch.tensor(-1))
        self.register_buffer("batch", torch.zeros(2, 2))

    def add(self, **values: Tensor) -> None:
        """Note what a part of a batch has shown of the means that are named."""
        for name, value in values.items():
            place = self.batch[MEANS.index(name)]
            place += torch.stack([value.to(place), place.new_ones(())])

    def follow(self) -> None:
        """Move the means towards what was noted since."""
        for name, (total, count) in zip(MEANS, self.batch, strict=True):
            mean = self.get_buffer(name)
            if count > 0:
                mean.copy_(torch.lerp(mean, total / count, RATE) if mean > 0 else total / count)
        self.batch.zero_()

    def reset(self) -> None:
        """Reset the statistics."""
        self.loss_mean.fill_(2.0)
        self.slope_ratio.zero_()
        self.batch.zero_()


class Head(nn.Module):
    """x [N, c_in, H, W], c [N, c_dim] -> logits [N, h, w]: convolutions of stride 2, then 3x3."""

    def __init__(self, c_in: int, halvings: int, c_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(halvings):
            c_out = min(2 * c_in, MAX_CHANNELS)
            conv = nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=False)
            # Statistics of this very batch, always: running ones would mix real and fake.
            norm = nn.BatchNorm2d(c_out, track_running_stats=False)
            layers += [spectral_norm(_channels_last(conv)), norm, nn.LeakyReLU(0.2)]
            c_in = c_out
        self.trunk = nn.Sequential(*layers)
        self.to_logit = spectral_norm(_channels_last(nn.Conv2d(c_in, 1, 3, padding=1)))
        self.embed = spectral_norm(nn.Linear(c_dim, c_in, bias=False)) if c_dim else None

    def forward(self, x: Tensor, c: Tensor, c_weight: float) -> Tensor:
        x = self.trunk(x)
        logits = self.to_logit(x)[:, 0]
        if self.embed is None:
            return logits
        agreement = (self.embed(c)[:, :, None, None] * x).sum(dim=1)
        return logits + c_weight * agreement


def _frozen(c_in: int, c_out: int, kernel_size: int) -> nn.Conv2d:
    """A random convolution that keeps the size and the power of what it is given."""
    conv = nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    return _channels_last(conv)


def _channels_last(conv: nn.Conv2d) -> nn.Conv2d:
    """The layout in which the frozen network's maps come, and which is faster on CPUs."""
    return conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
