"""EfficientNet-Lite0: frozen features of photographs. Start at `EfficientNetLite0.features`.

EfficientNet (Tan and Le 2019, arXiv:1905.11946) as its authors made it for small devices: ReLU6
in place of swish, no squeeze-and-excitation. It was trained to classify ImageNet's photographs;
the classifier itself is left out. Its weights are embedded:

    network = EfficientNetLite0.from_pretrained("efficientnet-lite0")

Departs from the paper:
- Every BatchNorm is folded into the convolution before it: the network is for inference only.
"""

import torch
import torch.nn.functional as F
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.modeling import HubModel

# Per stage: expansion, kernel size, stride of its first block, channels, blocks.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM_CHANNELS = 32
POOLED_CHANNELS = 1280
FEATURE_BLOCKS = (2, 4, 10, 15)  # `features` are what these blocks give, counted from 0.
FEATURE_CHANNELS = (24, 40, 112, 320)
FEATURE_STRIDES = (4, 8, 16, 32)
MIN_SIDE = 32  # One place is left of it in the last map.


class Conv(nn.Conv2d):
    """x [N, c_in, H, W] -> [N, c_out, ceil(H / stride), ceil(W / stride)], padded as TensorFlow's.

    Its "SAME" padding puts the odd pixel at the right and at the bottom.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel_size: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel_size // 2 if stride == 1 else 0
        super().__init__(c_in, c_out, kernel_size, stride, padding, groups=groups)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        stride, kernel_size = self.stride[0], self.kernel_size[0]
        if stride > 1:
            pads = []
            for side in (x.shape[3], x.shape[2]):
                pad = max((-(-side // stride) - 1) * stride + kernel_size - side, 0)
                pads += [pad // 2, pad - pad // 2]
            x = F.pad(x, pads)
        return super().forward(x)


class Block(nn.Module):
    """x [N, c_in, H, W] -> [N, c_out, H / stride, W / stride]: an inverted bottleneck."""

    def __init__(
        self, c_in: int, c_out: int, kernel_size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = c_in * expansion
        self.expand = Conv(c_in, width, 1) if expansion > 1 else None
        self.depthwise = Conv(width, width, kernel_size, stride=stride, groups=width)
        self.project = Conv(width, c_out, 1)
        self.is_residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.is_residual else y


class EfficientNetLite0(HubModel):
    """image [N, 3, H, W] in [-1, 1], 32 px or more a side -> pooled features [N, 1280]."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, STEM_CHANNELS, 3, stride=2)
        blocks, c_in = [], STEM_CHANNELS
        for expansion, kernel_size, first_stride, c_out, count in STAGES:
            for i in range(count):
                stride = first_stride if i == 0 else 1
                blocks.append(Block(c_in, c_out, kernel_size, stride, expansion))
                c_in = c_out
        self.blocks = nn.ModuleList(blocks)
        self.head = Conv(c_in, POOLED_CHANNELS, 1)

    def forward(self, image: Tensor) -> Tensor:
        return F.relu6(self.head(self.features(image)[-1])).mean(dim=[2, 3])

    def features(self, image: Tensor) -> list[Tensor]:
        """image [N, 3, H, W] -> four maps of `FEATURE_CHANNELS` at H / `FEATURE_STRIDES`."""
        if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < MIN_SIDE:
            raise ValueError(
                f"image must be [N, 3, H, W] with sides of {MIN_SIDE} or more, "
                f"got {list(image.shape)}"
            )
        x = F.relu6(self.stem(image.contiguous(memory_format=torch.channels_last)))
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in FEATURE_BLOCKS:
                maps.append(x)
        return maps
