"""StyleGAN2 (Karras et al. 2019, arXiv:1912.04958). Start at `Generator.forward`.

Departs from the paper:
- Modulation scales the *input* and demodulation the *output* of one dense convolution, which equals
  convolving with per-image weights (eq. 1 and 3) but leaves the weights constant.
- Up-sampling layers convolve at the lower resolution and then interpolate with [1, 3, 3, 1];
  down-sampling layers filter and then convolve. A transposed convolution costs more time for the
  same multiplications; the full-resolution convolution of each block restores the detail.
- The gain sqrt(2) of the leaky ReLU is folded into what comes before it (it is homogeneous).
- The mean style is computed when it is needed, and per condition, rather than tracked.
- The embedded condition is not normalised, so it can fade in and be asked for beyond its range.
- Two mapping layers by default: eight bring nothing at a few thousand images.
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.checks import check_resolution, check_whole
from genmodels.hub.modeling import HubModel
from genmodels.nn.resample import downsample2x, upsample2x

SQRT2 = math.sqrt(2)
ALONE = 20_480  # Numbers up to which torch convolves a single image by another kernel than several.
W_AVG_SAMPLES = 1024  # Latents behind a mean style; its error is 3 % of one standard deviation.


class Linear(nn.Module):
    """x [N, c_in] -> [N, c_out], with equalised learning rate (Karras et al. 2017, 1710.10196)."""

    def __init__(
        self,
        c_in: int,  # Length of the input.
        c_out: int,  # Length of the output.
        bias_init: float = 0.0,  # What the bias starts at.
        lr_multiplier: float = 1.0,  # Slows this layer's learning by this factor.
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((c_out,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(c_in)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class Conv(nn.Module):
    """x [N, c_in, H, W] -> [N, c_out, H, W], with equalised learning rate."""

    def __init__(self, c_in: int, c_out: int, kernel_size: int, *, bias: bool = True) -> None:
        super().__init__()
        weight = torch.randn(c_out, c_in, kernel_size, kernel_size)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None
        self.gain = 1 / math.sqrt(c_in * kernel_size**2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.gain, self.bias, padding=self.weight.shape[-1] // 2)


class ModulatedConv(nn.Module):
    """x [N, c_in, H, W], w [N, w_dim] -> [N, c_out, H, W]: a 3x3 convolution that the style scales.

    Also returns the demodulation, [N, c_out, 1, 1], for the caller to apply with its own factors.
    """

    def __init__(self, c_in: int, c_out: int, w_dim: int) -> None:
        super().__init__()
        weight = torch.randn(c_out, c_in, 3, 3)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.to_style = Linear(w_dim, c_in, bias_init=1.0)
        self.gain = 1 / math.sqrt(c_in * 9)

    def forward(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        style = _one_by_one(self.to_style, w) * self.gain  # [N, c_in]
        x = x * style[:, :, None, None].to(x.dtype)
        convolve = partial(F.conv2d, weight=self.weight, padding=1)
        y = convolve(x) if x[0].numel() > ALONE else _one_by_one(convolve, x)
        # At least in float32: in half precision squares of small weights would vanish.
        style, weight = _precise(style), _precise(self.weight)
        energy = weight.square().sum(dim=[2, 3]).t()  # [c_in, c_out]
        power = _one_by_one(partial(torch.matmul, other=energy), style.square())  # [N, c_out]
        return y, (power + 1e-8).rsqrt()[:, :, None, None]


class ToImage(nn.Module):
    """x [N, c_in, H, W], w [N, w_dim] -> [N, image_channels, H, W]: a modulated 1x1 convolution.

    As one matrix product per image: torch has no fast 1x1 convolution to three channels, and the
    style scales the few weights rather than the many pixels. Without demodulation, as in the paper.
    """

    def __init__(self, c_in: int, image_channels: int, w_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(image_channels, c_in, 1, 1))
        self.to_style = Linear(w_dim, c_in, bias_init=1.0)
        self.gain = 1 / math.sqrt(c_in)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = _one_by_one(self.to_style, w) * self.gain  # [N, c_in]
        weight = (style[:, None] * self.weight[:, :, 0, 0]).transpose(1, 2)  # [N, c_in, 3]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H W, c_in]
        colours = torch.bmm(pixels, weight.to(x.dtype))  # [N, H W, 3]
        return colours.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class StyledLayer(nn.Module):
    """x [N, c_in, H, W], w -> [N, c_out, R, R]: modulated 3x3 convolution, noise, leaky ReLU."""

    noise_const: Tensor  # [R, R], drawn once and kept with the weights.

    def __init__(self, c_in: int, c_out: int, resolution: int, w_dim: int, *, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(c_in, c_out, w_dim)
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.up = up

    def forward(self, x: Tensor, w: Tensor, noise_mode: str) -> Tensor:
        x, demodulation = self.conv(x, w)
        # The ReLU's gain rides on factors that are small: on the image it would be another pass.
        factor = (demodulation * SQRT2).to(x.dtype)
        bias = (self.bias * SQRT2).to(x.dtype)[:, None, None]
        x = upsample2x(x * factor) + bias if self.up else torch.addcmul(bias, x, factor)
        if noise_mode != "none":
            noise = self.noise_const
            if noise_mode == "random":
                noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
            x = x + (noise * (self.noise_strength * SQRT2)).to(x.dtype)
        return F.leaky_relu(x, 0.2)


class SynthesisBlock(nn.Module):
    """Doubles the side, then adds its colours to the up-sampled image so far (skip generator)."""

    def __init__(
        self, c_in: int, c_out: int, resolution: int, w_dim: int, image_channels: int
    ) -> None:
        super().__init__()
        self.up = StyledLayer(c_in, c_out, resolution, w_dim, up=True) if resolution > 4 else None
        self.layer = StyledLayer(c_out, c_out, resolution, w_dim, up=False)
        self.to_rgb = ToImage(c_out, image_channels, w_dim)
        self.rgb_bias = nn.Parameter(torch.zeros(image_channels))

    def forward(
        self, x: Tensor, image: Tensor | None, ws: Tensor, noise_mode: str
    ) -> tuple[Tensor, Tensor]:
        """ws [N, 3, w_dim]: for the up-sampling layer, the second layer, and the colours."""
        if self.up is not None:
            x = self.up(x, ws[:, 0], noise_mode)
        x = self.layer(x, ws[:, 1], noise_mode)
        # In float32: bf16 would band smooth skies.
        rgb = self.to_rgb(x, ws[:, 2]).float() + self.rgb_bias[:, None, None]
        return x, rgb if image is None else upsample2x(image) + rgb


class MappingNetwork(nn.Module):
    """z [N, z_dim], c [N, c_dim] -> w [N, w_dim]."""

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, num_layers: int, lr_multiplier: float = 0.01
    ) -> None:
        super().__init__()
        self.embed = Linear(c_dim, z_dim) if c_dim else None
        widths = [z_dim * (2 if c_dim else 1)] + [w_dim] * num_layers
        self.layers = nn.ModuleList(
            Linear(a, b, lr_multiplier=lr_multiplier)
            for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        x = _normalize(z)
        if self.embed is not None:
            x = torch.cat([x, self.embed(c)], dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * SQRT2
        return x

    def fit_conditions(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a mapping network whose condition has another length, made to fit here.

        Its embedding is left out, but not what that adds where the condition is 0.
        """
        state = {name: value for name, value in state.items() if name != "embed.weight"}
        if self.embed is None:
            state.pop("embed.bias", None)
        first = self.layers[0].get_parameter("weight").detach().clone()
        theirs = state["layers.0.weight"]
        shared = min(first.shape[1], theirs.shape[1])
        # Inputs are divided by the square root of their number, which may be another here.
        first[:, :shared] = theirs[:, :shared] * math.sqrt(first.shape[1] / theirs.shape[1])
        return state | {"layers.0.weight": first}


class Generator(HubModel):
    """z [N, z_dim], c [N, c_dim] -> image [N, image_channels, R, R], about [-1, 1], R = resolution.

    `mapping` gives one style; `broadcast` repeats it for the `num_ws` layers; `synthesis` draws.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,  # Side of the image in pixels: a power of two from 8 to 512.
        z_dim: int = 128,  # Length of the latent vector, 1 to 1024.
        w_dim: int = 128,  # Length of the style vector, 1 to 1024.
        c_dim: int = 0,  # Length of the condition; 0 = unconditional, at most 1024.
        image_channels: int = 3,  # 3 = RGB, 1 = grey.
        base_channels: int = 32,  # Channels at full resolution; doubles at every halving ...
        max_channels: int = 256,  # ... up to this many.
        mapping_layers: int = 2,  # Depth of the mapping network, 1 to 16.
    ) -> None:
        super().__init__()
        check_whole("z_dim", z_dim, 1, 1024)
        check_whole("w_dim", w_dim, 1, 1024)
        check_whole("mapping_layers", mapping_layers, 1, 16)
        widths = _widths(resolution, c_dim, image_channels, base_channels, max_channels)
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.num_ws = 2 * len(widths)
        self.mapping_network = MappingNetwork(z_dim, c_dim, w_dim, mapping_layers)
        self.const = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.blocks = nn.ModuleList(
            SynthesisBlock(c_in, c_out, 4 * 2**i, w_dim, image_channels)
            for i, (c_in, c_out) in enumerate(zip([widths[0], *widths], widths, strict=False))
        )

    def forward(self, z: Tensor, c: Tensor | None = None, noise_mode: str = "const") -> Tensor:
        return self.synthesis(self.broadcast(self.mapping(z, c)), noise_mode)

    def mapping(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [N, z_dim], c [N, c_dim] -> w [N, w_dim]; c may be left out when c_dim is 0."""
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must be [N, {self.z_dim}], got {list(z.shape)}")
        if c is None:
            c = z.new_empty(len(z), 0)
        if c.shape != (len(z), self.c_dim):
            raise ValueError(f"c must be [{len(z)}, {self.c_dim}], got {list(c.shape)}")
        # The style decides the whole picture: it is worth the weights' own type under autocast.
        with torch.autocast(z.device.type, enabled=False):
            return self.mapping_network(z.to(self.const.dtype), c.to(self.const.dtype))

    def broadcast(self, w: Tensor) -> Tensor:
        """w [N, w_dim] -> ws [N, num_ws, w_dim]: the same style for every layer."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def w_avg(self, c: Tensor | None = None) -> Tensor:
        """The mean style of each condition, c [N, c_dim] -> [N, w_dim]; [1, w_dim] without c.

        Truncation pulls towards it: w_avg + psi * (w - w_avg). Being per condition, it keeps what
        the condition asks for (Karras et al. 2018, App. B, extended to conditions).
        """
        z = _w_avg_latents(self.z_dim).to(self.const)
        conditions = z.new_empty(1, 0) if c is None else c
        # One condition at a time, so that a picture's mean does not depend on its neighbours.
        return torch.stack([self.mapping(z, row.expand(len(z), -1)).mean(0) for row in conditions])

    def synthesis(self, ws: Tensor, noise_mode: str = "const") -> Tensor:
        """ws [N, num_ws, w_dim] -> image [N, image_channels, R, R].

        noise_mode: "const" repeats the stored noise, "random" draws it, "none" leaves it out.
        """
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}")
        if noise_mode not in ("const", "random", "none"):
            raise ValueError(f'noise_mode must be "const", "random" or "none", got {noise_mode!r}')
        x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        # A block's colours share their style with the first layer of the next block (the paper's
        # Figure 7), so block i reads styles 2i - 1, 2i and 2i + 1; the first has no up-sampling.
        ws = torch.cat([ws[:, :1], ws], dim=1)
        x, image = self.blocks[0](x, None, ws[:, :3], noise_mode)
        for i, block in enumerate(self.blocks[1:], start=1):
            x, image = block(x, image, ws[:, 2 * i : 2 * i + 3], noise_mode)
        return image

    @torch.no_grad()
    def start_from(self, parent: "Generator") -> None:
        """Take the weights of a network for fewer pixels or other conditions, of the same widths.

        The blocks that it lacks stay as they are but colour nothing, so the image is the parent's,
        enlarged, until they have learnt (as in Karras et al. 2017, without the fade). A condition
        of another length is learnt anew: at c = 0 the image is still the parent's.
        """
        state = parent.state_dict()
        if self.config.c_dim != parent.config.c_dim:
            mapping = self.mapping_network.fit_conditions(parent.mapping_network.state_dict())
            state = {k: v for k, v in state.items() if not k.startswith("mapping_network.")}
            state |= {f"mapping_network.{name}": value for name, value in mapping.items()}
        self.load_part(state)
        for block in list(self.blocks)[len(parent.blocks) :]:
            block.get_parameter("to_rgb.weight").zero_()


class DiscriminatorBlock(nn.Module):
    """x [N, c_in, R, R] -> [N, c_out, R/2, R/2]: two 3x3 convolutions beside a 1x1 shortcut."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = Conv(c_in, c_in, 3)
        self.down = Conv(c_in, c_out, 3)
        self.skip = Conv(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.skip(downsample2x(x))
        x = F.leaky_relu(self.conv(x), 0.2) * SQRT2
        # Here the gain sqrt(2) of the ReLU and the 1 / sqrt(2) of the residual sum cancel.
        x = F.leaky_relu(self.down(downsample2x(x)), 0.2)
        return x + shortcut / SQRT2


class Discriminator(HubModel):
    """image [N, image_channels, R, R] in [-1, 1], c [N, c_dim] -> logits [N]; higher = more real.

    With conditions the logit is the plain one plus a projection of the features on the condition
    (Miyato and Koyama 2018, arXiv:1802.05637), so `c_weight` can fade the condition in.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,  # Side of the image in pixels: a power of two from 8 to 512.
        c_dim: int = 0,  # Length of the condition; 0 = unconditional, at most 1024.
        image_channels: int = 3,  # 3 = RGB, 1 = grey.
        base_channels: int = 32,  # Channels at full resolution; doubles at every halving ...
        max_channels: int = 256,  # ... up to this many.
        group_size: int = 4,  # Neighbours in the batch that the minibatch deviation compares.
    ) -> None:
        super().__init__()
        check_whole("group_size", group_size, 1, 64)
        widths = _widths(resolution, c_dim, image_channels, base_channels, max_channels)[::-1]
        self.image_shape = (image_channels, resolution, resolution)
        self.c_dim, self.group_size = c_dim, group_size
        self.from_rgb = Conv(image_channels, widths[0], 1)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(c_in, c_out) for c_in, c_out in zip(widths, widths[1:], strict=False)
        )
        self.conv = Conv(widths[-1] + 1, widths[-1], 3)
        self.linear = Linear(widths[-1] * 16, widths[-1])
        self.to_logit = Linear(widths[-1], 1)
        self.embed = Linear(c_dim, widths[-1]) if c_dim else None

    def forward(self, image: Tensor, c: Tensor | None = None, c_weight: float = 1.0) -> Tensor:
        if image.shape[1:] != self.image_shape:
            raise ValueError(f"image must be [N, *{self.image_shape}], got {list(image.shape)}")
        x = image.contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu(self.from_rgb(x), 0.2) * SQRT2
        for block in self.blocks:
            x = block(x)
        with torch.autocast(image.device.type, enabled=False):
            x = x.float()
            x = torch.cat([x, _minibatch_deviation(x, self.group_size)], dim=1)  # [N, C + 1, 4, 4]
            x = F.leaky_relu(self.conv(x), 0.2) * SQRT2
            x = F.leaky_relu(self.linear(x.flatten(1)), 0.2) * SQRT2  # [N, C]
            logits = self.to_logit(x).flatten()  # [N]
            if self.embed is None:
                return logits
            if c is None or c.shape != (len(image), self.c_dim):
                actual = None if c is None else list(c.shape)
                raise ValueError(f"c must be [{len(image)}, {self.c_dim}], got {actual}")
            agreement = (self.embed(c) * x).sum(dim=1) / math.sqrt(x.shape[1])
            return logits + c_weight * agreement

    def start_from(self, parent: "Discriminator") -> None:
        """Take the weights of a network for fewer pixels or other conditions, of the same widths.

        What looks at the image first, and at a condition of another length, is learnt anew.
        """
        new = len(self.blocks) - len(parent.blocks)  # They come first here.
        anew = set() if new == 0 else {"from_rgb"}
        if self.config.c_dim != parent.config.c_dim:
            anew.add("embed")
        state = {}
        for name, value in parent.state_dict().items():
            head, _, tail = name.partition(".")
            if head == "blocks":
                index, _, tail = tail.partition(".")
                name = f"blocks.{int(index) + new}.{tail}"
            if head not in anew:
                state[name] = value
        self.load_part(state)


def _widths(
    resolution: int, c_dim: int, image_channels: int, base_channels: int, max_channels: int
) -> list[int]:
    """Channels at sides 4, 8, ..., R: min(base_channels * R / side, max_channels)."""
    check_resolution(resolution, 8, 512)
    check_whole("c_dim", c_dim, 0, 1024)
    check_whole("image_channels", image_channels, 1, 4)
    check_whole("base_channels", base_channels, 1, 512)
    check_whole("max_channels", max_channels, base_channels, 1024)
    sides = [2**i for i in range(2, resolution.bit_length())]
    return [min(base_channels * resolution // side, max_channels) for side in sides]


def _one_by_one(compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """What is computed of each row alone, in inference mode: of several it is rounded otherwise.

    So an image does not depend on its neighbours. Only what is small needs it, and costs little.
    """
    if len(rows) == 1 or not torch.is_inference_mode_enabled():
        return compute(rows)
    return torch.cat([compute(row.clone()) for row in rows.split(1)])  # Cloned: aligned in memory.


@lru_cache(maxsize=4)
def _w_avg_latents(z_dim: int) -> Tensor:
    """z [W_AVG_SAMPLES, z_dim], the same for every mean style: a fifth of its time."""
    with torch.inference_mode(False):  # Kept for whoever asks next, also outside of it.
        rng = torch.Generator().manual_seed(0)
        shape = W_AVG_SAMPLES, z_dim
        return torch.randn(*shape, generator=rng, dtype=torch.float32, device="cpu")


def _precise(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _normalize(x: Tensor) -> Tensor:
    """Each row scaled to a mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def _minibatch_deviation(x: Tensor, group_size: int) -> Tensor:
    """Mean standard deviation over a group of neighbours, as one map [N, 1, H, W] (1710.10196).

    Neighbours in the batch, not strides, so that splitting a batch over devices keeps the groups.
    """
    group_size = math.gcd(len(x), group_size)
    groups = x.reshape(len(x) // group_size, group_size, *x.shape[1:])
    deviation = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=[1, 2, 3])  # [N/g]
    return deviation.repeat_interleave(group_size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
