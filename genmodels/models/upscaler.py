"""The compact network of Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833). Start at `forward`.

A plain stack of 3x3 convolutions at the size of the input; the last one gives all pixels of the
output at once, in its channels (pixel shuffle, Shi et al. 2016, arXiv:1609.05158). They are added
to the input, enlarged by repeating each pixel. Pictures are in [0, 1] inside.
"""

import torch.nn.functional as F
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub import HubModel, check_image, check_whole


class Generator(HubModel):
    """image [N, 3, H, W] in [-1, 1] -> image [N, 3, scale * H, scale * W], about the same range.

    Any H and W. The output may leave [-1, 1]: callers clamp it to show it.

    Errors: ValueError for arguments out of bounds and for images of other channels.
    """

    @register_to_config
    def __init__(
        self,
        scale: int = 4,  # How many times larger, 2 to 8.
        num_layers: int = 16,  # Convolutions between the first and the last, 1 to 64.
        channels: int = 64,  # Width of them all, 4 to 256.
    ) -> None:
        super().__init__()
        check_whole("scale", scale, 2, 8)
        check_whole("num_layers", num_layers, 1, 64)
        check_whole("channels", channels, 4, 256)
        layers: list[nn.Module] = []
        for c_in in (3, *[channels] * num_layers):
            layers += [nn.Conv2d(c_in, channels, 3, padding=1), nn.PReLU(channels)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 3 * scale**2, 3, padding=1))
        self.scale = scale

    def forward(
        self,
        image: Tensor,
        factor: int | None = None,  # Shrink the result to that many times the input; 1 to scale.
    ) -> Tensor:
        check_image(image, 3, 1)
        factor = self.scale if factor is None else factor
        check_whole("factor", factor, 1, self.scale)
        x = (image + 1) / 2
        large = F.pixel_shuffle(self.layers(x), self.scale)
        large = large + F.interpolate(x, scale_factor=self.scale, mode="nearest")
        if factor < self.scale:  # Bicubic, and without a filter before it, as the original does.
            large = F.interpolate(large, scale_factor=factor / self.scale, mode="bicubic")
        return 2 * large - 1
