"""pix2pix (Isola et al. 2017, arXiv:1611.07004). Start at `Generator.forward`.

Departs from the paper, which `levels=8, base_channels=64, max_channels=512, norm="instance",
up="transposed", dropout=0.5` gives at 256 px:
- By default a layer is normalised over the channels of each pixel (Ba et al. 2016, 1607.06450), not
  over the image or the batch: a picture cut into tiles comes out as it would whole.
- By default the decoder repeats each pixel and convolves by 3x3, which leaves no checkerboard
  (Odena et al. 2016, distill.pub/2016/deconv-checkerboard).
- By default no dropout; where there is some, it is off once trained. The paper keeps it as its only
  source of noise.
- Convolutions before a normalisation have no bias, which the normalisation would take away.
- The innermost layer is not normalised: at one pixel nothing would be left of it, as the paper's
  errata say.
- "instance" is the paper's batch normalisation at batch size 1, for a batch of any size.
- By default the weights start otherwise (`_init_uniform`).
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.checks import check_image, check_range, check_whole
from genmodels.hub.modeling import HubModel

SLOPE = 0.2  # Negative slope of the leaky ReLU.
MAX_IMAGE_CHANNELS = 8  # Largest number of input and of output channels.
NORMS = ("layer", "instance", "batch")
UPS = ("resize", "transposed")
RECEPTIVE_FIELDS = (16, 34, 70, 142, 286)  # With 1, 2, ... strided layers.
LARGE = 1 << 20  # Numbers of a weight that is kept contiguous: see `_lay_out`.
DROPOUT_BLOCKS = 3  # The deepest blocks of the decoder, which alone have dropout.


class Generator(HubModel):
    """image [N, in_channels, H, W] in [-1, 1] -> image [N, out_channels, H, W] in (-1, 1).

    H and W are multiples of `multiple` = 2**levels. A U-Net: what is halved `levels` times is
    doubled as often, and each doubling also gets what the encoder had at that size.

    Errors: ValueError for arguments out of bounds and for images of other channels or sides.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,  # Input channels, 1 to 8: 3 = RGB, 1 = luminance.
        out_channels: int = 3,  # Output channels, 1 to 8: 3 = RGB, 2 = chroma.
        levels: int = 6,  # Halvings, 2 to 8.
        base_channels: int = 32,  # Channels after the first halving, 4 to 256; doubles at each ...
        max_channels: int = 192,  # ... up to this many, at most 1024.
        norm: str = "layer",  # "layer": of a pixel; "instance": of an image; "batch".
        up: str = "resize",  # "resize": repeat pixels, then 3x3; "transposed": 4x4.
        dropout: float = 0.0,  # In training, of the three deepest upsampling layers; 0 to 0.9.
    ) -> None:
        super().__init__()
        check_whole("in_channels", in_channels, 1, MAX_IMAGE_CHANNELS)
        check_whole("out_channels", out_channels, 1, MAX_IMAGE_CHANNELS)
        check_whole("levels", levels, 2, 8)
        # Normalised at each pixel, one channel would be no signal and two no more than a sign.
        check_whole("base_channels", base_channels, 4, 256)
        check_whole("max_channels", max_channels, base_channels, 1024)
        _check_choice("norm", norm, NORMS)
        _check_choice("up", up, UPS)
        check_range("dropout", dropout, 0, 0.9)
        widths = [min(base_channels * 2**i, max_channels) for i in range(levels)]

        downs = [Down(in_channels, widths[0], "none")]
        downs += [Down(a, b, norm) for a, b in zip(widths, widths[1:-1], strict=False)]
        downs += [Down(widths[-2], widths[-1], "none")]
        ups = [Up(widths[-1], widths[-2], up, norm, dropout)]
        for i in range(levels - 2, 0, -1):
            rate = dropout if len(ups) < DROPOUT_BLOCKS else 0.0
            ups += [Up(2 * widths[i], widths[i - 1], up, norm, rate)]
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)
        self.to_image = UPSAMPLERS[up](2 * widths[0], out_channels, bias=True)
        self.in_channels, self.multiple = in_channels, 2**levels
        self.apply(_init_uniform if norm == "layer" else _init_normal)
        _lay_out(self)

    @property
    def reach(self) -> int | None:
        """How far, in pixels, an input pixel can change the output; None: as far as the image.

        Exactly 3 * 2**levels - 3, rounded up to a multiple of `multiple`: at the innermost layer
        a pixel spreads to its neighbour, and each halving and doubling adds to that. With
        norm="batch" it holds once the network is in eval mode.
        """
        return None if self.config.norm == "instance" else 3 * self.multiple

    def forward(self, image: Tensor) -> Tensor:
        encoded = self.encode(image)
        x = encoded.pop().relu()  # [N, C, H / 2**levels, W / 2**levels]
        for up in self.ups:
            x = torch.cat([up(x), encoded.pop()], dim=1).relu_()
        return self.to_image(x).tanh()

    def encode(
        self,
        image: Tensor,
        halvings: int | None = None,  # How many of them; None: all.
    ) -> list[Tensor]:
        """image [N, in_channels, H, W] -> what is known of it after each halving, finest first."""
        check_image(image, self.in_channels, self.multiple)
        x = image.contiguous(memory_format=torch.channels_last)
        encoded = []
        for down in self.downs[:halvings]:
            x = down(x)
            encoded.append(x)
        return encoded


class Discriminator(HubModel):
    """source [N, a, H, W] and image [N, b, H, W] -> logits [N, 1, h, w]; higher is more real.

    a + b = in_channels; with a = 0 the image is judged alone. Each logit judges one patch of
    `receptive_field` pixels a side, and h = H / 2**n - 2 for n = 1 to 5 halvings (rounded down).

    Errors: ValueError for arguments out of bounds and for tensors that are no such pair, or smaller
    than 3 * 2**n pixels a side.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 6,  # Channels of the source and the image together, 2 to 16.
        base_channels: int = 64,  # Channels after the first halving, 4 to 256; doubles at each ...
        max_channels: int = 512,  # ... up to this many, at most 1024.
        receptive_field: int = 34,  # Side of the judged patches: 16, 34, 70 (paper), 142 or 286.
        norm: str = "instance",  # "instance", "layer", "batch" or "none".
    ) -> None:
        super().__init__()
        check_whole("in_channels", in_channels, 2, 2 * MAX_IMAGE_CHANNELS)
        check_whole("base_channels", base_channels, 4, 256)
        check_whole("max_channels", max_channels, base_channels, 1024)
        _check_choice("norm", norm, (*NORMS, "none"))
        _check_choice("receptive_field", receptive_field, RECEPTIVE_FIELDS)
        halvings = RECEPTIVE_FIELDS.index(receptive_field) + 1
        widths = [min(base_channels * 2**i, max_channels) for i in range(halvings + 1)]

        layers = [Down(in_channels, widths[0], "none")]
        layers += [Down(a, b, norm) for a, b in zip(widths, widths[1:-1], strict=False)]
        layers += [Down(widths[-2], widths[-1], norm, stride=1)]
        self.trunk = nn.Sequential(*layers)
        self.to_logits = nn.Conv2d(widths[-1], 1, 4, padding=1)
        self.in_channels, self.smallest = in_channels, 3 * 2**halvings
        self.apply(_init_normal)
        _lay_out(self)

    def forward(
        self,
        source: Tensor,  # What was to be translated.
        image: Tensor,  # Its translation, or the true counterpart.
    ) -> Tensor:
        shapes = [list(tensor.shape) for tensor in (source, image)]
        if any(len(shape) != 4 for shape in shapes) or shapes[0][2:] != shapes[1][2:]:
            raise ValueError(f"source and image must be [N, C, H, W] of one size, got {shapes}")
        if len(source) != len(image) or shapes[0][1] + shapes[1][1] != self.in_channels:
            raise ValueError(
                f"source and image must be as many and have {self.in_channels} channels together, "
                f"got {shapes}"
            )
        if min(shapes[0][2:]) < self.smallest:
            raise ValueError(
                f"source and image must be at least {self.smallest} pixels a side, got {shapes}"
            )
        x = torch.cat([source, image], dim=1).contiguous(memory_format=torch.channels_last)
        return self.to_logits(self.trunk(x))


class Down(nn.Sequential):
    """Halves (stride 2): x [N, c_in, H, W] -> [N, c_out, H / 2, W / 2]. Stride 1: -> H - 1, W - 1.

    It ends in a leaky ReLU, of which a ReLU is the ReLU of what was before: `Generator` keeps this
    one tensor for the next halving and for the decoder.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        norm: str,  # One of NORMS, or "none".
        stride: int = 2,
    ) -> None:
        conv = nn.Conv2d(c_in, c_out, 4, stride=stride, padding=1, bias=norm == "none")
        super().__init__(conv, *_norm(norm, c_out), nn.LeakyReLU(SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self[0].weight
        return super().forward(_laid_out(x, weight))


class Up(nn.Sequential):
    """Doubles: x [N, c_in, H, W] -> [N, c_out, 2H, 2W]."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        up: str,  # One of UPS.
        norm: str,  # One of NORMS.
        dropout: float,  # Share of the numbers that is set to zero while training.
    ) -> None:
        conv = UPSAMPLERS[up](c_in, c_out, bias=False)
        super().__init__(conv, *_norm(norm, c_out), nn.Dropout(dropout))


class ResizeConv(nn.Module):
    """Repeats each pixel 2x2, then convolves by 3x3: x [N, c_in, H, W] -> [N, c_out, 2H, 2W].

    Computed as the transposed 4x4 convolution that it equals: taps that meet copies of one pixel
    are added up first. That leaves 4 products of 9 for each output, and the enlarged input is never
    there: two to four times as fast.
    """

    taps: Tensor

    def __init__(self, c_in: int, c_out: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None
        # Which of the 3 taps add up to each of the 4, along one side and then along both.
        taps = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("taps", torch.kron(taps, taps), persistent=False)  # [16, 9]

    def forward(self, x: Tensor) -> Tensor:
        c_out, c_in = self.weight.shape[:2]
        weight = self.weight.reshape(-1, 9) @ self.taps.T
        return _double(x, weight.view(c_out, c_in, 4, 4).transpose(0, 1), self.bias)


class TransposedConv(nn.Module):
    """The paper's, of 4x4: x [N, c_in, H, W] -> [N, c_out, 2H, 2W]."""

    def __init__(self, c_in: int, c_out: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_in, c_out, 4, 4))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return _double(_laid_out(x, self.weight), self.weight, self.bias)


def _double(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transposed convolution of x [N, c_in, H, W] by weight [c_in, c_out, 4, 4]: [.., 2H, 2W]."""
    c_out, (height, width) = weight.shape[1], x.shape[2:]
    if c_out > MAX_IMAGE_CHANNELS:
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
    # For an image's few channels oneDNN is slow at that. The four pixels that come of one each see
    # 2x2 pixels: as channels of a plain convolution they are twice as fast.
    taps = weight.flip(2, 3).unflatten(3, (2, 2)).unflatten(2, (2, 2))  # [c_in, c_out, y, p, x, q]
    kernels = taps.permute(3, 5, 1, 0, 2, 4).flatten(0, 2)  # [(p, q, c_out), c_in, 2, 2]
    y = F.conv2d(x, kernels, padding=1).unflatten(1, (2, 2, c_out))
    rows = [
        torch.stack([y[:, p, q, :, p : p + height, q : q + width] for q in (0, 1)], dim=-1)
        for p in (0, 1)
    ]
    image = torch.stack(rows, dim=3).flatten(4, 5).flatten(2, 3)
    return image if bias is None else image + bias[:, None, None]


UPSAMPLERS = {"resize": ResizeConv, "transposed": TransposedConv}


class PixelNorm(nn.LayerNorm):
    """Normalises x [N, C, H, W] over the channels of each pixel; no copy in channels_last."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class InstanceNorm(nn.Module):
    """Normalises each channel of each image: x [N, C, H, W], of two pixels or more.

    One image at a time by batch normalisation's kernel: in channels_last GroupNorm takes four times
    as long to train, and InstanceNorm2d leaves that layout.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [F.batch_norm(image, None, None, self.weight, self.bias, True) for image in x.split(1)]
        )


def _norm(norm: str, channels: int) -> list[nn.Module]:
    """The layer of that name, or none."""
    if norm == "layer":
        return [PixelNorm(channels)]
    if norm == "instance":
        return [InstanceNorm(channels)]
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


def _lay_out(network: HubModel) -> None:
    """Weights in channels_last, which is the quickest where there are many pixels.

    Not the large ones, of the deepest layers, which see few: gradients come contiguous from oneDNN,
    and to turn these about, there and in Adam, took a sixth of a step of the paper's network.
    """
    network.to(memory_format=torch.channels_last)
    for weight in network.parameters():
        if weight.numel() >= LARGE:
            weight.data = weight.data.contiguous()


def _laid_out(x: Tensor, weight: Tensor) -> Tensor:
    """x as the weight lies: in another layout torch would turn the weight about."""
    if weight.numel() < LARGE or not weight.is_contiguous():
        return x
    return x.clone(memory_format=torch.contiguous_format)  # At 1x1 `contiguous` changes nothing.


def _check_choice(name: str, value: object, choices: tuple) -> None:
    """One of a few, of their type; `name` is for the message."""
    if type(value) is not type(choices[0]) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")


def _init_normal(module: nn.Module) -> None:
    """Weights from N(0, 0.02) and zero biases, as in the paper's section 6.2."""
    if isinstance(module, nn.Conv2d | ResizeConv | TransposedConv):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _init_uniform(module: nn.Module) -> None:
    """Weights uniform, of variance 1 / (3 * fan_in), and zero biases.

    With norm="layer" this led to 2 % less L1 error than N(0, 0.02) after 300 steps of a toy task,
    for each of three seeds, where He's weights (2 / fan_in) were worse.
    """
    if isinstance(module, nn.Conv2d | ResizeConv | TransposedConv):
        # The first side of a transposed weight is the one that comes in.
        mode = "fan_out" if isinstance(module, TransposedConv) else "fan_in"
        nn.init.kaiming_uniform_(module.weight, a=5**0.5, mode=mode)  # type: ignore[arg-type]
        if module.bias is not None:
            nn.init.zeros_(module.bias)
