"""DCGAN (Radford et al. 2015, arXiv:1511.06434). Start at `Generator.forward`.

Departs from the paper: any power-of-two resolution from 16 to 512, not only 64; an optional ceiling
on the channels lets 128 px and more train on a CPU.
"""

import torch
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.checks import check_resolution, check_whole
from genmodels.hub.modeling import HubModel


class Generator(HubModel):
    """z [N, z_dim] -> image [N, image_channels, R, R] in (-1, 1), where R = resolution."""

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,  # Side of the image in pixels: a power of two from 16 to 512.
        z_dim: int = 100,  # Length of the latent vector, 1 to 1024.
        image_channels: int = 3,  # 3 = RGB, 1 = grey.
        base_channels: int = 64,  # Channels before the image; doubles at every halving ...
        max_channels: int = 1024,  # ... up to this many.
    ) -> None:
        super().__init__()
        check_resolution(resolution, 16, 512)
        check_whole("z_dim", z_dim, 1, 1024)
        widths = _widths(resolution, image_channels, base_channels, max_channels)[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[0], 4, bias=False)]
        for c_in, c_out in zip(widths, widths[1:], strict=False):
            layers += [nn.BatchNorm2d(c_in), nn.ReLU()]
            layers += [nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU()]
        self.z_dim = z_dim
        self.trunk = nn.Sequential(*layers)
        self.to_image = nn.ConvTranspose2d(widths[-1], image_channels, 4, stride=2, padding=1)
        self.apply(_init)
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must be [N, {self.z_dim}], got {list(z.shape)}")
        x = self.trunk(z[:, :, None, None])  # [N, C, R/2, R/2]
        return self.to_image(x).tanh()


class Discriminator(HubModel):
    """image [N, image_channels, R, R] in [-1, 1] -> logits [N]; higher is more real."""

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,  # Side of the image in pixels: a power of two from 16 to 512.
        image_channels: int = 3,  # 3 = RGB, 1 = grey.
        base_channels: int = 64,  # Channels after the image; doubles at every halving ...
        max_channels: int = 1024,  # ... up to this many.
    ) -> None:
        super().__init__()
        check_resolution(resolution, 16, 512)
        widths = _widths(resolution, image_channels, base_channels, max_channels)
        layers: list[nn.Module] = [nn.Conv2d(image_channels, widths[0], 4, stride=2, padding=1)]
        layers += [nn.LeakyReLU(0.2)]
        for c_in, c_out in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.to_logit = nn.Conv2d(widths[-1], 1, 4)
        self.image_shape = (image_channels, resolution, resolution)
        self.apply(_init)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[1:] != self.image_shape:
            raise ValueError(f"image must be [N, *{self.image_shape}], got {list(image.shape)}")
        x = self.trunk(image.contiguous(memory_format=torch.channels_last))  # [N, C, 4, 4]
        return self.to_logit(x).flatten()  # [N]


def _widths(
    resolution: int, image_channels: int, base_channels: int, max_channels: int
) -> list[int]:
    """Channels at sides R/2, R/4, ..., 4: with the defaults 64, 128, 256, 512, ... as published."""
    check_whole("image_channels", image_channels, 1, 4)
    check_whole("base_channels", base_channels, 1, 512)
    check_whole("max_channels", max_channels, base_channels, 4096)
    halvings = resolution.bit_length() - 3  # R = 64 halves four times to reach 4.
    return [min(base_channels * 2**i, max_channels) for i in range(halvings)]


def _init(module: nn.Module) -> None:
    """Weights from N(0, 0.02), BatchNorm scales from N(1, 0.02), as in the paper's section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
