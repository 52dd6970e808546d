"""Training SinGAN's scales as in the paper (arXiv:1905.01164).

`FullTraining` is what `training.py` beside this runs. Departs from the paper, or fills in what it
leaves open:
- Every step of either network sees a picture of its own, made from new noise at all scales. (The
  official code takes three generator steps on one stale picture, and fails since torch 1.5.)
- The penalty holds the slope of the summed patch scores near 1 at every pixel.
- A new network starts from the one below when both have the same width.
- Five optimizers, each with a learning rate of its own; ASGD's averages are what is kept.
"""

from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import ASGD

from genmodels.data import images
from genmodels.models.singan import networks
from genmodels.models.singan.scales import ScaleTraining
from genmodels.models.singan.settings import MODES, Settings
from genmodels.nn.threads import threads_for

PASSES = 10  # Cost of an update in forward passes.
OVERHEAD = 300e6  # Overhead of an update, in multiplications.
END = object()  # Marks the end of an update.
NORM_PASSES = 50  # Pictures from which the averages of averaged weights are taken.


class FullTraining(ScaleTraining):
    """The paper's way: every scale learns whole pictures of its size."""

    _is_learning = True

    def __init__(
        self,
        photo: Tensor,  # [1, 3, H, W] in [-1, 1].
        settings: Settings,
    ) -> None:
        p = MODES[settings.mode]
        height, width = photo.shape[2:]
        sizes = networks.pyramid_sizes(
            height, width, max_size=settings.max_size, min_size=p.min_size, factor=p.factor
        )
        channels = [p.base_channels * 2 ** (i // p.double_every) for i in range(len(sizes))]
        super().__init__(photo, settings, sizes, channels)
        self.model.z_rec.copy_(torch.randn(self.model.z_rec.shape, generator=self._rng("z_rec")))
        self._begin_scale()

    def iterate(self) -> Iterator[None]:
        """One iteration; it pauses twice in every update, so that one can stop there."""
        self._set_rates()
        rng = self._rng("step", self.scale, self.step)
        d_steps, g_steps = self.protocol.d_steps, self.protocol.g_steps
        with self._threads():
            inputs = self._inputs(d_steps + g_steps, rng)
        updates = [self._update_D(*batch, rng) for batch in inputs[:d_steps]]
        updates += [self._update_G(*batch) for batch in inputs[d_steps:]]
        for update in updates:
            is_going = True
            while is_going:
                yield
                with self._threads():
                    is_going = next(update, END) is not END

    # What the state holds.

    def _networks(self) -> dict[str, nn.Module]:
        return {"model": self.model, "D": self.D}

    def _extra_tensors(self) -> dict[str, Tensor]:
        return {}

    def _remake_networks(self, tensors: dict[str, Tensor]) -> None:
        self.D = networks.Discriminator(self.model.channels[self._last])

    # One scale.

    def _begin_scale(self) -> None:
        n, channels = self.scale, self.model.channels
        G: Any = self.model.generators[n]
        if n and channels[n] == channels[n - 1]:
            G.load_state_dict(self.model.generators[n - 1].state_dict())
        else:
            networks.init(G, self._rng("G", n))
            D = networks.Discriminator(channels[n])
            networks.init(D, self._rng("D", n))
            self.D = D
        self._enter_scale()
        if n:
            self._set_noise()
        self._start_clock(self.settings.epochs or self.protocol.epochs)

    def _enter_scale(self) -> None:
        """Rebuild what is derived from the networks' weights and not saved."""
        n = self.scale
        self.G = self.model.generators[n].train()
        self._make_optimizers()
        with torch.no_grad(), self._threads():
            below = self.model.reconstruct(n, self.model.sizes[n]) if n else None
        self._below_rec = torch.zeros_like(self.reals[0]) if below is None else below
        self._z_rec = self.model.z_rec if n == 0 else None
        self._ticks = []

    def _inputs(self, count: int, rng: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Pictures from below, at this scale's size, and noise for each: both [1, 3, H, W]."""
        sizes = self.model.sizes[: self.scale + 1]
        noises = [torch.randn(count, 3, *size, generator=rng) for size in sizes]
        below = torch.zeros_like(noises[0])
        if self.scale:  # In one batch: trained networks do not mix its pictures.
            with torch.no_grad():
                below = self.model(noises[:-1], size=sizes[-1])
        return list(zip(below.split(1), noises[-1].split(1), strict=True))

    def _update_D(self, below: Tensor, noise: Tensor, rng: torch.Generator) -> Iterator[None]:
        """Real up, fake down, slope near 1 between them."""
        real = self.reals[self.scale]
        with torch.no_grad():
            fake = self.model.refine(self.scale, below, noise)
        self.D.requires_grad_(True)
        self.opt_D.zero_grad()
        distance = self.D(fake).mean() - self.D(real).mean()
        distance.backward()
        yield
        mixed = torch.lerp(fake, real, torch.rand((), generator=rng)).requires_grad_()
        (slope,) = torch.autograd.grad(self.D(mixed).sum(), mixed, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        (self.protocol.penalty_weight * penalty).backward(inputs=list(self.D.parameters()))
        self.opt_D.step()
        self.losses |= {"D": distance.item(), "penalty": penalty.item()}

    def _update_G(self, below: Tensor, noise: Tensor) -> Iterator[None]:
        """Fake up, and the photo itself from z_rec."""
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        adversarial = -self.D(self.model.refine(self.scale, below, noise)).mean()
        adversarial.backward()
        yield
        again = self.model.refine(self.scale, self._below_rec, self._z_rec)
        reconstruction = (again - self.reals[self.scale]).square().mean()
        (self.protocol.reconstruction_weight * reconstruction).backward()
        self.opt_G.step()
        self.losses |= {"G": adversarial.item(), "reconstruction": reconstruction.item()}

    def _rate_factor(self) -> float:
        p = self.protocol
        return p.lr_drop_to if self.step >= p.lr_drop_at * self.steps else 1.0

    @torch.no_grad()
    def _settle(self) -> None:
        """The weights to keep, in eval mode: ASGD's averages, and normalisation that fits them."""
        if isinstance(self.opt_G, ASGD):
            for optimizer in (self.opt_G, self.opt_D):
                for weight, slots in optimizer.state.items():
                    weight.copy_(slots["ax"])
            norms = [m for m in self.G if isinstance(m, nn.BatchNorm2d)]
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # The plain average of all that follow.
            rng = self._rng("norm", self.scale)
            with self._threads():
                for below, noise in self._inputs(NORM_PASSES, rng):
                    self.model.refine(self.scale, below, noise)
            for norm in norms:
                norm.momentum = 0.1
        self.G.eval()

    # Pictures and figures of the state.

    @torch.no_grad()
    def _preview(self, num_scales: int | None = None) -> Image.Image:
        rng = self._rng("preview")
        num_scales = num_scales or self._last + 1
        noises = [torch.randn(1, 3, *size, generator=rng) for size in self.model.sizes[:num_scales]]
        was_training = self.G.training
        self.G.eval()
        with self._threads():
            picture = self.model(noises, size=self.model.sizes[-1])
        self.G.train(was_training)
        return images.to_pil(picture)[0]

    def _work(self, scale: int) -> float:
        """Multiplications of an iteration."""

        def forward(n: int) -> float:
            (height, width), c = self.model.sizes[n], self.model.channels[n]
            return height * width * (54 * c + 27 * c * c)

        return PASSES * forward(scale) + sum(map(forward, range(scale))) + OVERHEAD

    def _threads(self) -> Any:
        height, width = self.model.sizes[self._last]
        return threads_for(height * width * self.model.channels[self._last])
