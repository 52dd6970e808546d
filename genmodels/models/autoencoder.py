"""A convolutional autoencoder for image translation. Start at `Generator.forward`.

The network that pix2pix is compared with, exactly: a U-Net of 3x3 convolutions that ends in a
2x2 convolution over its own picture and the input. Kernels, channels, biases and normalisations
follow from its published table of parameters, 9,602,766 in all. What the table leaves open is as in
the Keras tutorials of this kind, and is an assumption: leaky ReLU of slope 0.3 after every layer
but the last, "same" padding at the right and the bottom, batch normalisation with eps 1e-3 and
momentum 0.99, Glorot's uniform weights (Glorot & Bengio 2010) and zero biases.
"""

import torch
import torch.nn.functional as F
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.checks import check_image, check_range, check_whole
from genmodels.hub.modeling import HubModel

SLOPE = 0.3  # Negative slope of the leaky ReLU.
HALVINGS = 5
# Channels, in times the base, after each halving, whether these are normalised; and after each
# doubling but the last.
ENCODER = ((1, False), (1, False), (2, True), (4, True), (4, True))
DECODER = (4, 2, 1, 1)


class Generator(HubModel):
    """image [N, in_channels, H, W] in [-1, 1] -> image [N, out_channels, H, W], about the same.

    H and W are multiples of `multiple` = 32. The output is linear and may leave [-1, 1]: callers
    clamp it to show it, and not to train on it. In training mode the normalised layers use the
    statistics of the batch, in eval mode their running averages.

    Errors: ValueError for arguments out of bounds and for images of other channels or sides.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,  # Input channels, 1 to 8: 3 = RGB, 1 = luminance.
        out_channels: int = 3,  # Output channels, 1 to 8: 3 = RGB, 2 = chroma.
        dropout: float = 0.0,  # In training, of the four inner upsampling layers; 0 to 0.9.
        base_channels: int = 128,  # Width, 8 to 256; 128 is the project's.
    ) -> None:
        super().__init__()
        check_whole("in_channels", in_channels, 1, 8)
        check_whole("out_channels", out_channels, 1, 8)
        check_range("dropout", dropout, 0, 0.9)
        check_whole("base_channels", base_channels, 8, 256)
        skips = [times for times, _ in ENCODER[-2::-1]]  # 4, 2, 1, 1.
        downs, c_in = [], in_channels
        for times, is_normalised in ENCODER:
            downs.append(Down(c_in, times * base_channels, is_normalised))
            c_in = times * base_channels
        ups = []
        for times, skip in zip(DECODER, skips, strict=True):
            ups.append(Up(c_in, times * base_channels, dropout))
            c_in = (times + skip) * base_channels
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)
        self.last_up = Up(c_in, out_channels, dropout=0.0)
        self.to_image = nn.Conv2d(out_channels + in_channels, out_channels, 2)
        self.in_channels, self.multiple = in_channels, 2**HALVINGS
        self.apply(_init)

    @property
    def reach(self) -> int:
        """How far, in pixels, an input pixel can change the output, once in eval mode.

        Exactly 63 to the left and above and 62 to the right and below, rounded up to a multiple of
        `multiple`.
        """
        return 2 * self.multiple

    def forward(self, image: Tensor) -> Tensor:
        check_image(image, self.in_channels, self.multiple)
        x, encoded = image, []  # In NCHW layout: channels_last trains a tenth slower here.
        for down in self.downs:
            x = down(x)
            encoded.append(x)
        encoded.pop()
        for up in self.ups:
            x = torch.cat([up(x), encoded.pop()], dim=1)
        x = torch.cat([self.last_up(x), image], dim=1)
        return self.to_image(F.pad(x, (0, 1, 0, 1)))


class Down(nn.Sequential):
    """Halves: x [N, c_in, H, W] -> [N, c_out, H / 2, W / 2], padded at the right and the bottom."""

    def __init__(self, c_in: int, c_out: int, is_normalised: bool) -> None:
        layers: list[nn.Module] = [nn.Conv2d(c_in, c_out, 3, stride=2)]
        if is_normalised:  # Keras' momentum of 0.99 is torch's 0.01.
            layers += [nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.01)]
        super().__init__(*layers, nn.LeakyReLU(SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Sequential):
    """Doubles: x [N, c_in, H, W] -> [N, c_out, 2H, 2W], without the row and column left over."""

    def __init__(self, c_in: int, c_out: int, dropout: float) -> None:
        conv = nn.ConvTranspose2d(c_in, c_out, 3, stride=2)  # 2H + 1 by 2W + 1.
        super().__init__(conv, nn.Dropout(dropout), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, :-1, :-1]


def _init(module: nn.Module) -> None:
    """Glorot's uniform weights and zero biases, Keras' defaults."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
