"""SinGAN in a fraction of the time: layouts of the photo's patches, networks for what is finer.

`FastTraining` is what `training.py` beside this runs in a mode that is a `FastProtocol`. It
departs from the paper (arXiv:1905.01164) in nearly all but the pyramid:
- The coarsest picture, a layout, is put together from patches (`layouts.py`), when
  sampling too. Its shorter side has up to 100 px where the paper's has 25, so that one to three
  scales are left to be trained; each more brings in faults that the next one enlarges.
- The reconstruction has many examples instead of one: full-size pictures by the patch engine, sharp
  as the photo. Each is shrunk to a layout and made again by the networks, without noise; and made
  from its sketch, the coarse picture that the engine had on its way to it, as soft as a layout.
- One update of each network per iteration, on pieces of 64 px, that share one picture. (A piece is
  cut from the padded picture: it sees its surroundings, and zeros at the picture's end only.)
- A relativistic loss (Jolicoeur-Martineau 2018, 1807.00734) with R1 on the photo (1801.04406) in
  every eighth iteration, without normalisation, instead of WGAN-GP.
- The discriminator sees 15 px instead of 11, and at which height: with less, G drew lattices.
- What is kept is a running average of G; the learning rate falls to 0 as a cosine does.
"""

import copy
import math
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from genmodels.data import images
from genmodels.models.patches import synthesis
from genmodels.models.singan import layouts, networks
from genmodels.models.singan.scales import ScaleTraining, part
from genmodels.models.singan.settings import MODES, FastProtocol, Settings
from genmodels.nn.threads import threads_for


class FastTraining(ScaleTraining):
    """At scale 0 an iteration makes a layout or an example, at the others it trains.

    `layouts` are [1, 3, h, w] of the coarsest size, `examples` [1, 3, H, W] of the finest one, the
    photo first, and `sketches` [1, 3, h, w] what the others looked like on their way.
    """

    protocol: FastProtocol

    def __init__(
        self,
        photo: Tensor,  # [1, 3, H, W] in [-1, 1].
        settings: Settings,
    ) -> None:
        p = cast(FastProtocol, MODES[settings.mode])
        sizes = _pyramid(photo, settings.max_size, p)
        super().__init__(photo, settings, sizes, [0, *[p.base_channels] * (len(sizes) - 1)])
        self.model.z_rec.copy_(self.reals[0].clamp(-1, 1))
        self._begin_scale()

    @property
    def _is_learning(self) -> bool:
        return 0 < self.scale < len(self.reals)

    # How a scale begins.

    def _begin_scale(self) -> None:
        n, p = self.scale, self.protocol
        if n == 0:
            self.layouts: list[Tensor] = []
            self.examples: list[Tensor] = [self.reals[-1]]
            self.sketches: list[Tensor] = []
            self._start_clock(p.num_layouts + p.num_examples)
            if self.settings.budget_seconds is not None:
                self.deadline = p.layouts_share * self.settings.budget_seconds
            return
        averaged: Any = self.model.generators[n]
        if n == 1:
            self.D = networks.HeightDiscriminator(p.base_channels)
            _init(self.D, self._rng("D", n))
            _init(averaged, self._rng("G", n))
            nn.init.normal_(averaged[-2].weight, 0, 0.01, generator=self._rng("G last", n))
        else:
            averaged.load_state_dict(self.model.generators[n - 1].state_dict())
        self.G = copy.deepcopy(averaged)
        self._enter_scale()
        self._set_noise()
        self._start_clock(self.settings.epochs or p.epochs)

    @torch.no_grad()
    def _enter_scale(self) -> None:
        self._ticks = []
        if self.scale == 0:
            return
        self._make_optimizers()
        rng = self._rng("below", self.scale)
        with self._threads():
            self._below = [self._enlarged(layout, rng) for layout in self.layouts]
            small = [
                networks.resize(picture, self.model.sizes[0]).clamp(-1, 1)
                for picture in self.examples
            ]
            self._below_examples = [
                self._enlarged(picture, None) for picture in small + self.sketches
            ]
            size, wanted = self.model.sizes[self.scale], self.examples + self.examples[1:]
            self._wanted = [networks.resize(picture, size).clamp(-1, 1) for picture in wanted]
        self._below_rec, self._z_rec = self._below_examples[0], None

    def _enlarged(self, layout: Tensor, rng: torch.Generator | None) -> Tensor:
        """What enters this scale when a layout goes through those below, with noise or without."""
        picture = layout
        for n in range(1, self.scale):
            picture = networks.resize(picture, self.model.sizes[n])
            noise = None if rng is None else torch.randn(picture.shape, generator=rng)
            picture = self.model.refine(n, picture, noise)
        return networks.resize(picture, self.model.sizes[self.scale])

    # One iteration.

    def iterate(self) -> Iterator[None]:
        if self.scale == 0:
            yield from self._make_picture()
            return
        self._set_rates()
        rng = self._rng("step", self.scale, self.step)
        yield
        with self._threads():
            again, wanted, fake, real = self._pieces(rng)
            self._judge(fake.detach(), real)
        yield
        with self._threads():
            self._improve(again, wanted, fake, real)

    def _make_picture(self) -> Iterator[None]:
        """A layout; or, when there are enough, an example."""
        is_layout = self.step < self.protocol.num_layouts
        photo = self.model.z_rec if is_layout else self.reals[-1].clamp(-1, 1)
        size = (photo.shape[2], photo.shape[3])
        seed = self._rng("picture", self.step).initial_seed()
        pictures = []
        for picture in layouts.draw(photo, size, seed=seed):
            pictures.append(picture)
            yield
        if is_layout:
            self.layouts.append(pictures[-1])
            return
        low = self.model.sizes[0][0]
        sketch = min(pictures, key=lambda picture: abs(picture.shape[2] - low))
        self.examples.append(pictures[-1])
        self.sketches.append(networks.resize(sketch, self.model.sizes[0]).clamp(-1, 1))

    def _pieces(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """An example made again and as it should be; a new picture and the photo with heights."""

        def one_of(pictures: list[Tensor]) -> int:
            return int(torch.randint(len(pictures), (), generator=rng))

        layout, example = self._below[one_of(self._below)], one_of(self._wanted)
        noise = torch.randn(layout.shape, generator=rng)
        noisy = layout + self.model.noise_amps[self.scale] * noise
        places = [self._place(rng) for _ in range(3)]
        border = networks.BORDER
        pairs = ((self._below_examples[example], places[0]), (noisy, places[1]))
        padded = [
            _cut(F.pad(picture, (border,) * 4), (y, x, h + 2 * border, w + 2 * border))
            for picture, (y, x, h, w) in pairs
        ]
        detail = self.G(torch.cat(padded).contiguous(memory_format=torch.channels_last))
        again = _cut(self._below_examples[example], places[0]) + detail[:1]
        fake = _cut(layout, places[1]) + detail[1:]
        real = _cut(self.reals[self.scale], places[2])
        wanted = _cut(self._wanted[example], places[0])
        return again, wanted, self._with_height(fake, places[1]), self._with_height(real, places[2])

    def _place(self, rng: torch.Generator) -> tuple[int, int, int, int]:
        """Top, left, height and width of a piece somewhere in a picture of this scale."""
        height, width = self.model.sizes[self.scale]
        h, w = min(self.protocol.crop, height), min(self.protocol.crop, width)
        top = int(torch.randint(height - h + 1, (), generator=rng))
        return top, int(torch.randint(width - w + 1, (), generator=rng)), h, w

    def _with_height(self, piece: Tensor, place: tuple[int, int, int, int]) -> Tensor:
        top, _, h, w = place
        heights = torch.linspace(-1, 1, self.model.sizes[self.scale][0])[top : top + h]
        return torch.cat([piece, heights[None, None, :, None].expand(1, 1, h, w)], 1)

    def _judge(self, fake: Tensor, real: Tensor) -> None:
        """D: the photo above the picture, and a gentle slope at the photo."""
        every = self.protocol.penalty_every
        is_held = self.step % every == 0
        self.D.requires_grad_(True)
        self.opt_D.zero_grad()
        seen = real.detach().requires_grad_(is_held)
        score = self.D(seen)
        loss = F.softplus(self.D(fake) - score).mean()
        self.losses |= {"D": loss.item()}
        if is_held:
            (slope,) = torch.autograd.grad(score.sum(), seen, create_graph=True)
            penalty = slope[:, :3].square().sum(1).mean()
            loss = loss + self.protocol.penalty_weight * every * penalty
            self.losses |= {"penalty": penalty.item()}
        loss.backward()
        self.opt_D.step()

    def _improve(self, again: Tensor, wanted: Tensor, fake: Tensor, real: Tensor) -> None:
        """G: the picture above the photo, and the example as it is; then the running average."""
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        adversarial = F.softplus(self.D(real) - self.D(fake)).mean()
        reconstruction = (again - wanted).square().mean()
        (adversarial + self.protocol.reconstruction_weight * reconstruction).backward()
        self.opt_G.step()
        decay = min(self.protocol.ema_decay, (self.step + 1) / (self.step + 10))
        averaged = self.model.generators[self.scale].parameters()
        with torch.no_grad():
            for average, weight in zip(averaged, self.G.parameters(), strict=True):
                average.lerp_(weight, 1 - decay)
        self.losses |= {"G": adversarial.item(), "reconstruction": reconstruction.item()}

    def _rate_factor(self) -> float:
        return self.protocol.rate_factor * (0.5 + 0.5 * math.cos(math.pi * self.step / self.steps))

    def _settle(self) -> None:
        """Nothing: the model has the running averages all along."""

    # What the state holds.

    def _networks(self) -> dict[str, nn.Module]:
        return {"model": self.model} | ({"D": self.D, "G": self.G} if self._is_learning else {})

    def _extra_tensors(self) -> dict[str, Tensor]:
        tensors = {f"layout.{i}": layout for i, layout in enumerate(self.layouts)}
        tensors |= {f"sketch.{i}": sketch for i, sketch in enumerate(self.sketches)}
        return tensors | {f"example.{i}": example for i, example in enumerate(self.examples[1:])}

    def _remake_networks(self, tensors: dict[str, Tensor]) -> None:
        def numbered(name: str) -> list[Tensor]:
            numbered_tensors = part(tensors, f"{name}.")
            return [numbered_tensors[str(i)] for i in range(len(numbered_tensors))]

        self.layouts, self.sketches = numbered("layout"), numbered("sketch")
        self.examples = [self.reals[-1], *numbered("example")]
        if self._is_learning:
            self.D = networks.HeightDiscriminator(self.protocol.base_channels)
            self.G = copy.deepcopy(self.model.generators[self.scale])

    # Pictures and figures of the state.

    @torch.no_grad()
    def _preview(self, num_scales: int | None = None) -> Image.Image:
        """The newest layout, through the networks."""
        rng = self._rng("preview")
        picture = self.layouts[-1] if self.layouts else self.model.z_rec
        with self._threads():
            for n in range(1, num_scales or self._last + 1):
                picture = networks.resize(picture, self.model.sizes[n])
                noise = torch.randn(picture.shape, generator=rng)
                picture = self.model.refine(n, picture, noise)
            return images.to_pil(networks.resize(picture, self.model.sizes[-1]))[0]

    def _work(self, scale: int) -> float:
        """Pixels of an iteration's pieces, and of the noise."""
        height, width = self.model.sizes[scale]
        crop = self.protocol.crop
        return min(crop, height) * min(crop, width) + 0.02 * height * width

    def _threads(self) -> Any:
        side = self.protocol.crop + 2 * networks.BORDER
        return threads_for(2 * side**2 * self.protocol.base_channels)


def _pyramid(photo: Tensor, max_size: int, p: FastProtocol) -> list[list[int]]:
    """Sizes of all scales."""
    # The paper's pyramid says how large the photo is, and refuses one that is too narrow.
    height, width = photo.shape[2:]
    finest = networks.pyramid_sizes(height, width, max_size=max_size)[-1]
    side = min(finest) * p.factor
    while side > p.min_size:
        side *= p.factor
    coarsest = max(synthesis.MIN_SIDE, math.ceil(side))
    return networks.pyramid_sizes(*finest, max_size=max(finest), min_size=coarsest, factor=p.factor)


def _cut(picture: Tensor, place: tuple[int, int, int, int]) -> Tensor:
    top, left, h, w = place
    return picture[..., top : top + h, left : left + w]


def _init(network: nn.Module, rng: torch.Generator) -> None:
    """He et al.'s weights (2015, 1502.01852), no offsets."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, networks.SLOPE, generator=rng)
        else:
            nn.init.zeros_(parameter)
