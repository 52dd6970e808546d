"""SinGAN (Shaham et al. 2019, arXiv:1905.01164): the networks. Start at `SinGAN.forward`.

How they are trained on one photo is in `training.py` beside this. Departs from the paper, or
fills in what it leaves open:
- The convolutions before a normalisation have no bias, which the normalisation would take away.
- Noise has three independent channels at every scale.
- A picture is resized by an antialiased bicubic filter, in float throughout.
- Once trained, a network normalises by its running averages, so that a picture of any size keeps
  the photo's colours, and works strip by strip, so that memory does not grow with the picture.
- The discriminator normalises by arithmetic of its own (`PatchNorm`): the same numbers, but its
  second derivative is a fifth faster than the built-in one's in channels_last.
- `wrap` makes a picture whose left and right sides meet: a cylinder, not a sphere.
- The coarsest picture may come from outside instead of from noise (`has_layouts`); the networks
  above it then have no normalisation, and one network judges pictures by their heights as well.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.checks import check_whole
from genmodels.hub.modeling import HubModel

BLOCKS = 5  # 3x3 convolutions in every network.
BORDER = BLOCKS  # Pixels lost on each side, padded beforehand.
MAX_SCALES = 24
MAX_SIDE = 2048  # Largest side of a trained scale; a picture may be larger.
SLOPE = 0.2  # Negative slope of the leaky ReLU.
STRIP_ELEMENTS = 1 << 22  # Elements of the largest tensor while sampling: 16 MiB.

# What the defaults of the constructor describe: a photo of 44x33 px in two scales.
SIZES = [[25, 33], [33, 44]]
CHANNELS = [32, 32]


def resize(
    image: Tensor,  # [N, C, H, W], float.
    size: tuple[int, int],  # (height, width) of the result.
    wrap: bool = False,  # Whether the left side continues the right one.
) -> Tensor:
    """The picture at another size, by a bicubic filter (a = -0.5), antialiased where it shrinks."""
    if image.shape[2:] == size:
        return image
    if wrap:  # Three turns of the cylinder; the middle one has neighbours on both sides.
        height, width = size
        turns = resize(torch.cat([image] * 3, dim=3), (height, 3 * width))
        return turns[..., width : 2 * width]
    precise = image.to(torch.promote_types(image.dtype, torch.float32))  # It knows no half.
    resized = F.interpolate(precise, size, mode="bicubic", align_corners=False, antialias=True)
    return resized.to(image.dtype)


class Generator(nn.Sequential):
    """Picture plus noise [N, 3, H + 10, W + 10] -> what to add to the picture [N, 3, H, W]."""

    def __init__(
        self,
        channels: int,  # Channels of the inner layers.
        is_normalised: bool = True,  # Whether batch normalisation follows its inner convolutions.
    ) -> None:
        layers: list[nn.Module] = []
        for c_in in [3, *[channels] * (BLOCKS - 2)]:
            layers += [nn.Conv2d(c_in, channels, 3, bias=not is_normalised)]
            layers += [nn.BatchNorm2d(channels)] if is_normalised else []
            layers += [nn.LeakyReLU(SLOPE)]
        super().__init__(*layers, nn.Conv2d(channels, 3, 3), nn.Tanh())
        nn.Module.to(self, memory_format=torch.channels_last)  # type: ignore[call-overload]


class Discriminator(nn.Sequential):
    """Image [N, 3, H, W] in [-1, 1] -> score of every 11x11 patch [N, 1, H - 10, W - 10].

    Higher is more real. It is always in training mode and meant for one image at a time.
    """

    def __init__(
        self,
        channels: int,  # Channels of the inner layers.
    ) -> None:
        layers: list[nn.Module] = []
        for c_in in [3, *[channels] * (BLOCKS - 2)]:
            layers += [nn.Conv2d(c_in, channels, 3, bias=False)]
            layers += [PatchNorm(channels), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers, nn.Conv2d(channels, 1, 3))
        nn.Module.to(self, memory_format=torch.channels_last)  # type: ignore[call-overload]


class HeightDiscriminator(nn.Sequential):
    """Image and height [N, 4, H, W] -> score of every 15x15 patch [N, 1, H - 14, W - 14].

    Higher is more real. It sees twice as much as `Discriminator` at the same cost, and from where
    in the picture that is: the fourth channel is -1 in the first row and 1 in the last.
    """

    def __init__(
        self,
        channels: int,  # Channels of the inner layers.
    ) -> None:
        layers: list[nn.Module] = []
        for c_in, step in zip([4, *[channels] * (BLOCKS - 2)], (1, 2, 2, 1), strict=True):
            layers += [nn.Conv2d(c_in, channels, 3, dilation=step), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers, nn.Conv2d(channels, 1, 3))
        nn.Module.to(self, memory_format=torch.channels_last)  # type: ignore[call-overload]


class PatchNorm(nn.Module):
    """Batch normalisation of x [N, C, H, W] by the batch at hand (Ioffe & Szegedy, 1502.03167)."""

    def __init__(
        self,
        channels: int,  # C.
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(-1, c)  # No copy in channels_last.
        rows = rows - rows.mean(dim=0)
        gain = self.weight * (rows.square().mean(dim=0) + 1e-5).rsqrt()
        return torch.addcmul(self.bias, rows, gain).view(n, h, w, c).permute(0, 3, 1, 2)


class SinGAN(HubModel):
    """Noise, a map for each scale -> image [N, 3, H, W], about in [-1, 1], of any size.

    All scales of one photo, coarsest first. `channels` may be shorter than `sizes`: the finer
    scales were not trained then, and are reached by enlarging. Where its first entry is 0 there is
    no network at the coarsest scale: pictures of that size, its layouts, are put together from
    the photo's patches (`genmodels.models.singan.layouts`), and `forward` starts from one of them.
    """

    @register_to_config
    def __init__(
        self,
        sizes: list = SIZES,  # [height, width] of the photo at every scale, coarsest first.
        channels: list = CHANNELS,  # One number per trained scale; 0: made of patches.
    ) -> None:
        super().__init__()
        _check_pyramid(sizes, channels)
        self.sizes = [(height, width) for height, width in sizes]
        self.channels = list(channels)
        self.has_layouts = channels[0] == 0
        self.generators = nn.ModuleList(
            Generator(c, not self.has_layouts) if c else nn.Identity() for c in channels
        )
        # How strong the noise is at each scale, and what gives the photo itself: the noise z_rec
        # at the coarsest scale, or the photo at its size, and no noise above.
        self.register_buffer("noise_amps", torch.ones(len(channels)))
        self.register_buffer("z_rec", torch.zeros(1, 3, *self.sizes[0]))
        self.noise_amps: Tensor
        self.z_rec: Tensor

    def shapes(
        self,
        height: int | None = None,  # Size of the picture in pixels; None: that of the photo.
        width: int | None = None,  # Size of the picture in pixels; None: that of the photo.
    ) -> list[tuple[int, int]]:
        """(height, width) of the noise at each trained scale, for a picture of this size."""
        full_height, full_width = self.sizes[-1]
        height, width = height or full_height, width or full_width
        check_whole("height", height, 1, 1 << 16)
        check_whole("width", width, 1, 1 << 16)
        return [
            (max(1, round(height * h / full_height)), max(1, round(width * w / full_width)))
            for h, w in self.sizes[: len(self.channels)]
        ]

    def forward(
        self,
        noises: Sequence[Tensor],  # Standard normal [N, 3, h, w], as `shapes`, from start_scale on.
        start_scale: int = 0,  # The first scale to run; the picture below it is `image`.
        image: Tensor | None = None,  # [N, 3, *, *] in [-1, 1]: enlarged, it enters start_scale.
        wrap: bool = False,  # Whether left and right sides are to meet.
        size: tuple[int, int] | None = None,  # (height, width) to enlarge to; None: not at all.
    ) -> Tensor:
        """The picture of the last scale that has noise."""
        self._check_input(noises, start_scale, image)
        picture = torch.zeros_like(noises[0]) if image is None else image
        for scale, noise in enumerate(noises, start_scale):
            height, width = noise.shape[2:]
            picture = resize(picture, (height, width), wrap)
            picture = self.refine(scale, picture, noise, wrap)
        return resize(picture, size, wrap) if size else picture

    def refine(
        self,
        scale: int,  # Scale of the network, 0 = coarsest.
        below: Tensor,  # The picture of the scale below at this scale's size, [N, 3, H, W].
        noise: Tensor | None,  # Standard normal, [N, 3, H, W]; None: no noise.
        wrap: bool = False,  # Whether left and right sides are to meet.
    ) -> Tensor:
        """One scale of `forward`: the picture with this scale's detail, [N, 3, H, W]."""
        network = self.generators[scale]
        mixed = below if noise is None else below + self.noise_amps[scale] * noise
        mixed = _pad(mixed, wrap).contiguous(memory_format=torch.channels_last)
        if network.training:
            return below + network(mixed)
        n, _, height, width = below.shape
        rows = max(1, STRIP_ELEMENTS // (n * (width + 2 * BORDER) * self.channels[scale]))
        if rows >= height:
            return below + network(mixed)
        # Trained networks are local: a strip with its border gives the same as the whole.
        strips = [
            below[:, :, y : y + rows] + network(mixed[:, :, y : y + rows + 2 * BORDER])
            for y in range(0, height, rows)
        ]
        return torch.cat(strips, dim=2)

    def reconstruct(
        self,
        num_scales: int | None = None,  # How many scales to run, from the coarsest; None: all.
        size: tuple[int, int] | None = None,  # (height, width) to enlarge to; None: not at all.
    ) -> Tensor:
        """The photo as the model remembers it, [1, 3, H, W]: z_rec below and no noise above."""
        last = len(self.channels) if num_scales is None else num_scales
        picture = self.z_rec
        if not self.has_layouts:
            picture = self.refine(0, torch.zeros_like(self.z_rec), self.z_rec)
        for scale in range(1, last):
            picture = self.refine(scale, resize(picture, self.sizes[scale]), None)
        return resize(picture, size) if size else picture

    def first(
        self,
        num_scales: int,  # How many of the trained scales to keep, the coarsest ones.
    ) -> "SinGAN":
        """A copy that ends with this scale and enlarges from there, in eval mode."""
        check_whole("num_scales", num_scales, 1, len(self.channels))
        sizes = [list(size) for size in self.sizes]
        copy = SinGAN(sizes, self.channels[:num_scales])
        state = self.state_dict()
        state["noise_amps"] = state["noise_amps"][:num_scales]
        copy.load_state_dict({key: state[key] for key in copy.state_dict()})
        return copy.eval()

    def _check_input(
        self, noises: Sequence[Tensor], start_scale: int, image: Tensor | None
    ) -> None:
        check_whole("start_scale", start_scale, 0, len(self.channels) - 1)
        most = len(self.channels) - start_scale
        if not 1 <= len(noises) <= most:
            raise ValueError(f"noises must be 1 to {most} from this scale on, got {len(noises)}")
        for noise in noises:
            if noise.ndim != 4 or noise.shape[:2] != (len(noises[0]), 3):
                raise ValueError(f"noises must be [N, 3, H, W], got {list(noise.shape)}")
        if self.has_layouts and start_scale == 0:
            raise ValueError(
                "start_scale must be 1 or more, and image a layout: none is drawn here"
            )
        if (image is None) != (start_scale == 0):
            raise ValueError("an image must be given exactly when start_scale is above 0")
        if image is not None and (image.ndim != 4 or image.shape[:2] != noises[0].shape[:2]):
            raise ValueError(f"image must be [{len(noises[0])}, 3, H, W], got {list(image.shape)}")


def init(
    network: Generator | Discriminator,
    rng: torch.Generator,  # Where the weights come from.
) -> None:
    """Weights from N(0, 0.02), those of normalisations from N(1, 0.02), no offsets."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, float(parameter.ndim == 1), 0.02, generator=rng)


def pyramid_sizes(
    height: int,  # Size of the photo in pixels.
    width: int,  # Size of the photo in pixels.
    *,
    max_size: int,  # What the longer side may have at the finest scale.
    min_size: int = 25,  # What the shorter side has at the coarsest scale.
    factor: float = 0.75,  # From one scale to the next coarser one, about.
) -> list[list[int]]:
    """[height, width] of every scale, coarsest first; a photo is never enlarged.

    The factor is raised so that a whole number of scales ends at `min_size` exactly. (The official
    code counts from the unshrunk photo and so has one scale more for some.) ValueError when the
    photo is too small or too narrow for that.
    """
    shrink = min(1.0, max_size / max(height, width))
    full_height, full_width = round(height * shrink), round(width * shrink)
    short = min(full_height, full_width)
    if short < min_size:
        raise ValueError(
            f"the shorter side must have {min_size} pixels or more, got {short}: the photo has "
            f"{width}x{height}, max_size is {max_size}"
        )
    steps = 0
    while short * factor**steps > min_size * 1.001:
        steps += 1
    exact = (min_size / short) ** (1 / steps) if steps else 1.0
    return [
        [round(full_height * exact**i), round(full_width * exact**i)] for i in range(steps, -1, -1)
    ]


def _pad(image: Tensor, wrap: bool) -> Tensor:
    """Zeros around the picture and its noise, as in the paper, or its own other side."""
    if wrap:
        columns = torch.arange(-BORDER, image.shape[3] + BORDER) % image.shape[3]
        return F.pad(image[..., columns.to(image.device)], (0, 0, BORDER, BORDER))
    return F.pad(image, (BORDER,) * 4)


def _check_pyramid(sizes: list, channels: list) -> None:
    """Bounds on what a stranger's config may ask for."""
    if not isinstance(sizes, list | tuple) or not 1 <= len(sizes) <= MAX_SCALES:
        raise ValueError(f"sizes must be a list of 1 to {MAX_SCALES}, got {sizes!r:.80}")
    for size in sizes:
        if not isinstance(size, list | tuple) or len(size) != 2:
            raise ValueError(f"sizes must be of [height, width], got {size!r:.80}")
        for side in size:
            check_whole("sizes", side, 2 * BORDER + 1, MAX_SIDE)
    for small, large in zip(sizes, sizes[1:], strict=False):
        if small[0] > large[0] or small[1] > large[1]:
            raise ValueError(f"sizes must grow from scale to scale, got {small} before {large}")
    if not isinstance(channels, list | tuple) or not 1 <= len(channels) <= len(sizes):
        raise ValueError(f"channels must be a list of 1 to {len(sizes)}, got {channels!r:.80}")
    for scale, width in enumerate(channels):
        check_whole("channels", width, int(scale > 0), 512)
