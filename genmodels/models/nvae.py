"""NVAE, a hierarchical VAE (Vahdat & Kautz 2020, arXiv:2007.03898). Start at `NVAE.forward`.

A picture is written by groups of latents, coarse to fine: each has a prior that depends on all
groups before it, and a posterior that the encoder gives as a difference from that prior. Conditions
reach the encoder, the priors and the decoder by FiLM (Perez et al. 2018, arXiv:1709.07871). With
one group at side 1 it is a plain conditional VAE.

Departs from the paper: a group's latents are added to the decoder's features rather than
concatenated, and all groups of a side share the encoder's features; no normalising flows; an
inverted residual cell expands three times, not six, and adds a half of what it finds, not a tenth,
which learns faster in networks of few cells (at 64 px, after 8,000 images, 5.65 bits per channel of
held-out pixels against 6.02); the first group's prior is learnt, since it
depends on the conditions; the likelihood's mixture may have one component.
"""

import copy
import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.checks import check_resolution, check_whole, quoted
from genmodels.hub.modeling import HubModel
from genmodels.nn import logistic, losses

# Temperatures whose BatchNorm statistics are kept; those between are interpolated.
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
MOMENTUM = 0.05  # BatchNorm momentum.
RESIDUAL = 0.5  # What a cell adds to its input counts as much; there are a third of the cells.
EXPANSION = 3  # Expansion of inverted residual cells.
MAX_GROUPS = 32  # On one side.
E_DIM = 64  # Length of the embedded conditions.


class NVAE(HubModel):
    """noise [N, z_dim], c [N, c_dim] -> image [N, 3, R, R] in [-1, 1], where R = resolution.

    The noise is relative to the prior: latents are its mean + its standard deviation * noise, group
    by group. So the same noise under another c is the same person under other conditions.
    """

    levels: Any  # Sequence of `Level`, coarse to fine.

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,  # Side of the image in pixels: a power of two from 16 to 256.
        c_dim: int = 0,  # Length of the condition vector; 0: none.
        latents: str = "4:2x16 8:3x12 16:2x8 32:1x4",  # Side:groups x channels, coarse to fine.
        base_channels: int = 16,  # Channels at the image's side; doubles at every halving ...
        max_channels: int = 96,  # ... up to this many.
        encoder_cells: int = 1,  # Residual cells of the encoder at each side.
        mixture: int = 1,  # Components of the likelihood, 1 to 10.
    ) -> None:
        super().__init__()
        check_resolution(resolution, 16, 256)
        check_whole("c_dim", c_dim, 0, 4096)
        check_whole("base_channels", base_channels, 4, 128)
        check_whole("max_channels", max_channels, base_channels, 1024)
        check_whole("encoder_cells", encoder_cells, 1, 8)
        check_whole("mixture", mixture, 1, 10)
        groups = _parse(latents, resolution)

        def width(side: int) -> int:
            return min(base_channels * resolution // side, max_channels)

        self.c_dim, self.resolution = c_dim, resolution
        e_dim = E_DIM if c_dim else 0
        coarsest = min(groups)
        sides = [coarsest << i for i in range((resolution // coarsest).bit_length())]
        self.to_image = Tail(base_channels, logistic.num_parameters(mixture), e_dim)
        self.start = nn.Parameter(torch.randn(width(coarsest), coarsest, coarsest))
        self.levels = nn.ModuleList(
            Level(
                side,
                0 if side == coarsest else width(side // 2),
                width(side),
                *groups.get(side, (0, 0)),
                e_dim,
                has_cell=side < resolution,
            )
            for side in sides
        )
        self.embed = None
        if c_dim:
            layers = [nn.Linear(c_dim, e_dim), nn.SiLU(), nn.Linear(e_dim, e_dim), nn.SiLU()]
            self.embed = nn.Sequential(*layers)
        first = resolution if resolution in groups else resolution // 2
        below = [side for side in reversed(sides) if side <= first]
        self.encoder = Encoder(
            resolution, below, [width(side) for side in below], encoder_cells, e_dim
        )
        # Numbers of each side's noise, in their order in `noise`.
        self.level_sizes = {
            side: count * channels * side**2 for side, (count, channels) in groups.items()
        }
        self.z_dim = sum(self.level_sizes.values())
        self.num_groups = sum(count for count, _ in groups.values())
        self.to(memory_format=torch.channels_last)

    def forward(
        self,
        noise: Tensor,  # [N, z_dim], times the temperature.
        c: Tensor | None = None,  # [N, c_dim].
        temperature: float | None = None,  # Whose statistics to use; None: reconstructions'.
    ) -> Tensor:
        return logistic.mode(self.decode(noise, c, temperature))

    def decode(
        self, noise: Tensor, c: Tensor | None = None, temperature: float | None = None
    ) -> Tensor:
        """As `forward`, the parameters of the likelihood [N, 10 * mixture, R, R]."""
        if noise.ndim != 2 or noise.shape[1] != self.z_dim:
            raise ValueError(f"noise must be [N, {self.z_dim}], got {list(noise.shape)}")
        e = self._embedded(c, len(noise))
        h, rest = self._start(len(noise)), noise
        for level in self.levels:
            h = level.enter(h, e, temperature)
            for group in level.groups:
                eps, rest = rest[:, : group.size], rest[:, group.size :]
                mu, log_sigma = group.prior(h, e)
                h = group.add(h, mu + log_sigma.exp() * eps.view_as(mu), e, temperature)
        return self.to_image(h, e, temperature)

    def elbo(self, image: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Log likelihood [N], KL of each group [N, num_groups], the likelihood's parameters.

        The first minus the sum of the second, in nats, is a bound of the image's log probability.
        Latents are drawn from torch's global source.
        """
        parameters, kl, _ = self._inferred(image, c, torch.randn_like)
        return logistic.log_likelihood(image, parameters), kl, parameters

    def encode(self, image: Tensor, c: Tensor | None = None) -> Tensor:
        """The noise [N, z_dim] of an image, the posterior's mean: `forward` draws it again."""
        return self._inferred(image, c, torch.zeros_like)[2]

    def _inferred(
        self, image: Tensor, c: Tensor | None, chance: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The likelihood's parameters, the KL of each group, the noise of all of them."""
        shape = (3, self.resolution, self.resolution)
        if image.shape[1:] != shape:
            raise ValueError(f"image must be [N, *{shape}], got {list(image.shape)}")
        e = self._embedded(c, len(image))
        features = self.encoder(image.contiguous(memory_format=torch.channels_last), e)
        h = self._start(len(image))
        kls, noises = [], []
        for level in self.levels:
            h = level.enter(h, e, None)
            for group in level.groups:
                mu, log_sigma = group.prior(h, e)
                shift, log_ratio = group.posterior(h, features[level.side])
                shift = shift * (-log_sigma).exp()
                kl = losses.kl_divergence(shift, log_ratio)
                noise = shift + log_ratio.exp() * chance(shift)
                kls.append(kl.flatten(1).sum(1))
                noises.append(noise.flatten(1))
                h = group.add(h, mu + log_sigma.exp() * noise, e, None)
        return self.to_image(h, e, None), torch.stack(kls, dim=1), torch.cat(noises, dim=1)

    def tail(self) -> list[nn.Module]:
        """All that follows the last latents: it shapes pictures, and no prior."""
        last = max(i for i, level in enumerate(self.levels) if len(level.groups))
        group = self.levels[last].groups[-1]
        return [group.from_latent, group.cell, *self.levels[last + 1 :], self.to_image]

    def _start(self, count: int) -> Tensor:
        start = self.start.expand(count, -1, -1, -1)
        return start.contiguous(memory_format=torch.channels_last)

    def _embedded(self, c: Tensor | None, count: int) -> Tensor | None:
        if self.embed is None:
            return None
        if c is None or c.shape != (count, self.c_dim):
            came = None if c is None else list(c.shape)
            raise ValueError(f"c must be [{count}, {self.c_dim}], got {came}")
        return self.embed(c)

    @torch.no_grad()
    def calibrate(
        self,
        draw_c: Callable[[int, torch.Generator], Tensor | None],  # Conditions of n pictures.
        temperatures: tuple[float, ...] = TEMPERATURES,
        *,
        passes: int = 500,  # For each temperature, as the paper's authors do.
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        """Estimate the BatchNorm statistics of pictures drawn at some of `TEMPERATURES`.

        Those of training are of posterior samples at temperature 1; colder pictures have others.
        """
        norms = [module for module in self.modules() if isinstance(module, BatchNorm)]
        for temperature in temperatures:
            rng = torch.Generator().manual_seed(seed)  # Whichever others are estimated.
            twin = copy.deepcopy(self).train()
            twins = [module for module in twin.modules() if isinstance(module, BatchNorm)]
            for i in range(passes):
                for norm in twins:  # A plain mean over all passes.
                    norm.momentum = 1 / (i + 1)
                noise = torch.randn(batch_size, self.z_dim, generator=rng) * temperature
                c = draw_c(batch_size, rng)
                noise = noise.to(self.device, self.dtype)
                twin.decode(noise, None if c is None else c.to(noise))
            row = TEMPERATURES.index(temperature)
            for norm, found in zip(norms, twins, strict=True):
                norm.at_temperature_running_mean[row] = found.running_mean
                norm.at_temperature_running_var[row] = found.running_var


class Level(nn.Module):
    """All that happens at one side: the way there from the side before, and its latents."""

    groups: Any  # Sequence of `Group`.

    def __init__(
        self,
        side: int,
        c_in: int,  # Channels of the side before; 0 where the start has this side.
        width: int,
        groups: int,  # How many ...
        channels: int,  # ... of so many channels each.
        e_dim: int,
        *,
        has_cell: bool,  # Whether there is a cell where there are no groups.
    ) -> None:
        super().__init__()
        self.side = side
        self.up = nn.Conv2d(c_in, 4 * width, 1) if c_in else None
        self.cell = DecoderCell(width, e_dim) if has_cell and not groups else None
        self.groups = nn.ModuleList(Group(width, channels, side, e_dim) for _ in range(groups))

    def enter(self, h: Tensor, e: Tensor | None, temperature: float | None) -> Tensor:
        """Features of the side before, or the start -> [N, width, side, side]."""
        if self.up is not None:
            h = F.pixel_shuffle(self.up(h), 2).contiguous(memory_format=torch.channels_last)
        return h if self.cell is None else self.cell(h, e, temperature)


class Group(nn.Module):
    """Latents [N, channels, side, side] with their prior and posterior."""

    def __init__(self, width: int, channels: int, side: int, e_dim: int) -> None:
        super().__init__()
        self.size = channels * side**2
        self.film = FiLM(width, e_dim)
        self.to_prior = nn.Conv2d(width, 2 * channels, 1)
        self.seen = nn.Conv2d(width, width, 1)
        self.to_posterior = nn.Conv2d(width, 2 * channels, 3, padding=1)
        self.from_latent = nn.Conv2d(channels, width, 1)
        self.cell = DecoderCell(width, e_dim)

    def prior(self, h: Tensor, e: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation."""
        return _mean_and_log(self.to_prior, F.silu(self.film(h, e)))

    def posterior(self, h: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Its mean minus the prior's, and the log of its standard deviation by the prior's."""
        return _mean_and_log(self.to_posterior, F.silu(self.seen(h) + features))

    def add(self, h: Tensor, z: Tensor, e: Tensor | None, temperature: float | None) -> Tensor:
        """The decoder's features once it has seen the latents."""
        return self.cell(h + self.from_latent(z), e, temperature)


class Encoder(nn.Module):
    """image -> features of each side; the conditions shape those of all but the first cells."""

    cells: Any  # Lists of `EncoderCell`s.

    def __init__(
        self, resolution: int, sides: list[int], widths: list[int], cells: int, e_dim: int
    ) -> None:
        super().__init__()
        stride = resolution // sides[0]
        self.sides = sides
        self.stem = nn.Conv2d(3, widths[0], 2 + stride, stride, padding=1)
        self.downs = nn.ModuleList(
            nn.Conv2d(c_in, c_out, 4, 2, padding=1)
            for c_in, c_out in zip(widths, widths[1:], strict=False)
        )
        self.cells = nn.ModuleList(
            nn.ModuleList(EncoderCell(width, e_dim) for _ in range(cells)) for width in widths
        )

    def forward(self, image: Tensor, e: Tensor | None) -> dict[int, Tensor]:
        h, features = self.stem(image), {}
        for i, (side, cells) in enumerate(zip(self.sides, self.cells, strict=True)):
            h = self.downs[i - 1](h) if i else h
            for cell in cells:
                h = cell(h, e)
            features[side] = h
        return features


class EncoderCell(nn.Module):
    """A residual cell of two 3x3 convolutions."""

    def __init__(self, width: int, e_dim: int) -> None:
        super().__init__()
        self.norm, self.film = nn.BatchNorm2d(width, momentum=MOMENTUM), FiLM(width, e_dim)
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(width, momentum=MOMENTUM)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)
        self.gate = SqueezeExcitation(width)

    def forward(self, h: Tensor, e: Tensor | None) -> Tensor:
        x = self.conv(F.silu(self.film(self.norm(h), e)))
        x = self.conv_2(F.silu(self.norm_2(x)))
        return h + RESIDUAL * self.gate(x)


class DecoderCell(nn.Module):
    """An inverted residual cell: more channels, a depthwise 5x5 convolution, and back."""

    def __init__(self, width: int, e_dim: int) -> None:
        super().__init__()
        wide = EXPANSION * width
        self.norm, self.film = BatchNorm(width), FiLM(width, e_dim)
        self.expand = nn.Conv2d(width, wide, 1, bias=False)
        self.norm_2 = BatchNorm(wide)
        self.depthwise = nn.Conv2d(wide, wide, 5, padding=2, groups=wide, bias=False)
        self.norm_3 = BatchNorm(wide)
        self.reduce = nn.Conv2d(wide, width, 1)
        self.gate = SqueezeExcitation(width)

    def forward(self, h: Tensor, e: Tensor | None, temperature: float | None) -> Tensor:
        x = self.expand(self.film(self.norm(h, temperature), e))
        x = self.depthwise(F.silu(self.norm_2(x, temperature)))
        x = self.reduce(F.silu(self.norm_3(x, temperature)))
        return h + RESIDUAL * self.gate(x)


class Tail(nn.Module):
    """Features at the image's side -> the likelihood's parameters."""

    def __init__(self, width: int, parameters: int, e_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, parameters, 3, padding=1)
        assert self.conv.bias is not None
        with torch.no_grad():  # Scales that fit a photograph's whole range would be learnt late.
            self.conv.bias.view(-1, 10)[:, 4:7] = -2.0
        self.conv_1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm, self.film = BatchNorm(width), FiLM(width, e_dim)

    def forward(self, h: Tensor, e: Tensor | None, temperature: float | None) -> Tensor:
        h = self.conv_1(F.silu(self.film(self.norm(h, temperature), e)))
        return self.conv(F.silu(h))


class BatchNorm(nn.Module):
    """BatchNorm2d that keeps statistics of training and of each of `TEMPERATURES`."""

    running_mean: Tensor
    running_var: Tensor
    at_temperature_running_mean: Tensor
    at_temperature_running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.momentum = MOMENTUM
        rows = len(TEMPERATURES)
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.register_buffer("at_temperature_running_mean", torch.zeros(rows, width))
        self.register_buffer("at_temperature_running_var", torch.ones(rows, width))

    def forward(self, x: Tensor, temperature: float | None) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if temperature is not None and not self.training:
            row, share = _between(temperature)
            mean, var = (
                torch.lerp(rows[row], rows[row + 1], share)
                for rows in (self.at_temperature_running_mean, self.at_temperature_running_var)
            )
        return F.batch_norm(
            x, mean, var, self.weight, self.bias, self.training, self.momentum, eps=1e-5
        )


class FiLM(nn.Module):
    """A scale and a shift of each channel, which follow from the conditions."""

    def __init__(self, width: int, e_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(e_dim, 2 * width) if e_dim else None
        if self.linear is not None:
            nn.init.normal_(self.linear.weight, 0.0, 0.02)
            nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, e: Tensor | None) -> Tensor:
        if self.linear is None:
            return x
        scale, shift = self.linear(e)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(x + shift, x, scale)


class SqueezeExcitation(nn.Module):
    """Weighs each channel by what all of them are on average (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(width // 8, 4)
        self.squeeze, self.excite = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.excite(F.relu(self.squeeze(x.mean((2, 3)))))
        return x * weights.sigmoid()[:, :, None, None]


def _mean_and_log(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor]:
    """A mean, and a log standard deviation within (-5, 5), where nothing overflows.

    In the weights' own type, whatever autocast computes convolutions in.
    """
    mean, log = conv(x).to(conv.weight.dtype).chunk(2, dim=1)
    return mean, 5 * torch.tanh(log / 5)


def _between(temperature: float) -> tuple[int, float]:
    """The row of `TEMPERATURES` at or below, and how far it is to the next, 0 to 1."""
    row = max(i for i, t in enumerate(TEMPERATURES[:-1]) if t <= temperature)
    return row, (temperature - TEMPERATURES[row]) / (TEMPERATURES[row + 1] - TEMPERATURES[row])


def _parse(latents: str, resolution: int) -> dict[int, tuple[int, int]]:
    """Groups and their channels by side: "4:2x16 8:3x12" -> {4: (2, 16), 8: (3, 12)}."""
    text = latents if isinstance(latents, str) else ""
    is_list = re.fullmatch(r"\d{1,4}:\d{1,4}x\d{1,4}( \d{1,4}:\d{1,4}x\d{1,4})*", text)
    found = [tuple(map(int, re.split("[:x]", word))) for word in text.split()] if is_list else []
    groups = {side: (count, channels) for side, count, channels in found}
    sides = list(groups)
    fits = bool(sides) and sides == sorted(sides) and len(sides) == len(found) <= 9
    for side, (count, channels) in groups.items():
        fits &= side.bit_count() == 1 and side <= resolution
        fits &= 1 <= count <= MAX_GROUPS and 1 <= channels <= 512
    if not fits:
        raise ValueError(
            'latents must be like "4:2x16 8:3x12", side:groups x channels from coarse to fine, '
            f"sides powers of two up to {resolution}, got {quoted(latents)}"
        )
    return groups
