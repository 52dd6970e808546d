"""Training SinGAN's scales one after another, as in the paper (arXiv:1905.01164), and its clock.

`FullTraining` is what `training.py` beside this runs. Departs from the paper, or fills in what it
leaves open:
- Every step of either network sees a picture of its own, made from new noise at all scales. (The
  official code takes three generator steps on one stale picture, and fails since torch 1.5.)
- The penalty holds the slope of the summed patch scores near 1 at every pixel.
- A new network starts from the one below when both have the same width.
- Five optimizers, each with a learning rate of its own; ASGD's averages are what is kept.

Everything random depends on (seed, scale, step) alone, so nothing of it needs to be saved.
"""

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import ASGD, Optimizer

from genmodels.data import images
from genmodels.hub import state
from genmodels.models.singan import networks
from genmodels.models.singan.settings import MODES, OPTIMIZERS, Settings
from genmodels.nn.threads import threads_for

MEASURED = 4  # Iterations after which a budget is divided; the first of them is a warm-up.
PASSES = 10  # An update costs so many forward passes ...
OVERHEAD = 300e6  # ... and the time of so many multiplications is lost on calls.
NUMBERS = ("scale", "step", "steps", "losses", "scale_started", "deadline")  # Of the state.
NEVER = 1e9  # Seconds; JSON knows no infinity.
END = object()  # Of an update.
NORM_PASSES = 50  # Pictures from which the averages of averaged weights are taken.


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands; the last event carries the model."""

    scale: int  # The one at work, 0 is the coarsest.
    num_scales: int  # How many there are.
    step: int  # Iterations of this scale behind it (fast, scale 0: pictures made) ...
    steps: int  # ... and planned.
    losses: dict[str, float]  # Of the last updates: D, penalty, G, reconstruction.
    seconds: float  # Since the start, with those of a run that this one resumes.
    eta_seconds: float | None  # Until the end, by the pace so far; None before there is any.
    preview: Image.Image | None = None  # A sample, at the finest scale's size.
    model: networks.SinGAN | None = None  # The result.
    pipeline: Any = None  # The result, where a pipeline asked for it.


class FullTraining:
    """One photo's pyramid, the scale that is being trained, and its clock."""

    D: nn.Module

    def __init__(
        self,
        photo: Tensor,  # [1, 3, H, W] in [-1, 1].
        settings: Settings,
    ) -> None:
        self.settings, self.protocol = settings, MODES[settings.mode]
        sizes, channels = self._pyramid(*photo.shape[2:])
        self.reals = [
            networks.resize(photo, (h, w)).contiguous(memory_format=torch.channels_last)
            for h, w in sizes
        ]
        self.photo_sha256 = hashlib.sha256(photo.numpy().tobytes()).hexdigest()
        self.model = networks.SinGAN(sizes, channels).eval()
        self.model.z_rec.copy_(self._origin())
        self.losses: dict[str, float] = {}
        self._before, self._started = 0.0, time.monotonic()
        self.scale_started, self.deadline = 0.0, NEVER
        self.scale, self.step, self.steps = 0, 0, 0
        self._begin_scale()

    def _pyramid(self, height: int, width: int) -> tuple[list[list[int]], list[int]]:
        """Sizes and channels of all scales."""
        p = self.protocol
        sizes = networks.pyramid_sizes(
            height, width, max_size=self.settings.max_size, min_size=p.min_size, factor=p.factor
        )
        return sizes, [p.base_channels * 2 ** (i // p.double_every) for i in range(len(sizes))]

    def _origin(self) -> Tensor:
        """What gives the photo itself."""
        return torch.randn(self.model.z_rec.shape, generator=self._rng("z_rec"))

    @property
    def is_finished(self) -> bool:
        return self.scale == len(self.reals)

    @property
    def _last(self) -> int:  # The scale at work, or the last one that was.
        return min(self.scale, len(self.reals) - 1)

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def iterate(self) -> Iterator[None]:
        """One iteration; it pauses twice in every update, so that one can stop there."""
        self._set_rates()
        rng = self._rng("step", self.scale, self.step)
        d_steps, g_steps = self.protocol.d_steps, self.protocol.g_steps
        with self._threads():
            inputs = self._inputs(d_steps + g_steps, rng)
        updates = [self._update_D(*one, rng) for one in inputs[:d_steps]]
        updates += [self._update_G(*one) for one in inputs[d_steps:]]
        for update in updates:
            is_going = True
            while is_going:
                yield
                with self._threads():
                    is_going = next(update, END) is not END

    def end_iteration(self) -> bool:
        """Count it; whether it was the scale's last one."""
        if not all(map(math.isfinite, self.losses.values())):
            raise FloatingPointError(
                f"the training diverged at scale {self.scale}, iteration {self.step} "
                f"({self.settings.optimizer}): try adam"
            )
        self.step += 1
        self._ticks.append(self.seconds)
        if self.settings.budget_seconds is not None and self.step == MEASURED:
            self._divide(self.settings.budget_seconds)
        return self.step >= self.steps or self.seconds >= self.deadline

    def _divide(self, budget: float) -> None:
        """Plan this scale's iterations so that it takes its share of the seconds that are left."""
        share = max(0.0, budget - self.scale_started) / self._work_ahead()
        steps = round(share / (self._pace() or math.inf))
        self.steps = min(self.steps, max(MEASURED, steps))
        self.deadline = self.scale_started + share

    def end_scale(self) -> None:
        """Freeze the scale and start the next one, if there is one."""
        self._settle()
        self.scale += 1
        if not self.is_finished:
            self._begin_scale()

    def progress(self, with_preview: bool = False) -> Progress:
        return Progress(
            scale=self.scale,
            num_scales=len(self.reals),
            step=self.step,
            steps=self.steps,
            losses=dict(self.losses),
            seconds=self.seconds,
            eta_seconds=self._eta(),
            preview=self._preview() if with_preview else None,
        )

    def result(self) -> Progress:
        """The last event: all scales, or those that bring the photo nearer than enlarging does."""
        num_scales = self.scale
        if not self.is_finished:
            self._settle()
            num_scales += self._is_worth_keeping()
        return Progress(
            scale=self._last,
            num_scales=len(self.reals),
            step=self.step,
            steps=self.steps,
            losses=dict(self.losses),
            seconds=self.seconds,
            eta_seconds=0.0,
            preview=self._preview(num_scales),
            model=self.model.first(num_scales),
        )

    def save(self, folder: Path) -> None:
        """Write everything that `resume` needs."""
        tensors = dict(self._extra_tensors())
        for name, network in self._networks().items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self._optimizers().items():
            for i, weight in enumerate(optimizer.param_groups[0]["params"]):
                slots = optimizer.state.get(weight, {})
                tensors |= {f"{name}.{i}.{key}": value for key, value in slots.items()}
        numbers = {key: getattr(self, key) for key in NUMBERS}
        state.save(folder, tensors, {"of": self._identity(), "seconds": self.seconds, **numbers})

    def resume(self, folder: Path) -> None:
        """Take up the state in the folder, if it holds one. ValueError when that is another's."""
        saved = state.load(folder)
        if saved is None:
            return
        tensors, record = saved
        mine, theirs = self._identity(), record["of"]
        other = [
            f"{key} {theirs.get(key)}, not {mine[key]}"
            for key in mine
            if theirs.get(key) != mine[key]
        ]
        if other:
            raise ValueError(f"{folder} holds another training, of {'; '.join(other)}")
        self.scale = record["scale"]
        self._remake_networks(tensors)
        for name, network in self._networks().items():
            network.load_state_dict(part(tensors, f"{name}."))
        self.model.eval()
        if not self.is_finished:
            self._enter_scale()
            for name, optimizer in self._optimizers().items():
                _restore(optimizer, part(tensors, f"{name}."))
        for key in NUMBERS:
            setattr(self, key, record[key])
        self._before, self._started = record["seconds"], time.monotonic()

    def _identity(self) -> dict[str, Any]:
        return {"photo_sha256": self.photo_sha256, **asdict(self.settings)}

    # What the state holds.

    def _networks(self) -> dict[str, nn.Module]:
        return {"model": self.model, "D": self.D}

    def _optimizers(self) -> dict[str, Optimizer]:
        return {"opt_G": self.opt_G, "opt_D": self.opt_D}

    def _extra_tensors(self) -> dict[str, Tensor]:
        return {}

    def _remake_networks(self, tensors: dict[str, Tensor]) -> None:
        """Networks of the shapes that this scale has; their weights are loaded after."""
        del tensors
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

    def _set_noise(self) -> None:
        """As strong as what the reconstruction from below misses, times a factor."""
        rmse = math.sqrt(self._error(self._below_rec))
        self.model.noise_amps[self.scale] = self.protocol.noise_strength * rmse

    def _start_clock(self, steps: int) -> None:
        self.step, self.steps = 0, steps
        self.scale_started, self.deadline = self.seconds, NEVER
        self._ticks: list[float] = []  # When iterations ended, here and now.

    def _enter_scale(self) -> None:
        """What follows from the networks' weights: made anew, not saved."""
        n = self.scale
        self.G: Any = self.model.generators[n].train()
        self._make_optimizers()
        with torch.no_grad(), self._threads():
            below = self.model.reconstruct(n, self.model.sizes[n]) if n else None
        self._below_rec = torch.zeros_like(self.reals[0]) if below is None else below
        self._z_rec = self.model.z_rec if n == 0 else None
        self._ticks = []

    def _make_optimizers(self) -> None:
        kind, arguments = OPTIMIZERS[self.settings.optimizer]
        self.opt_G = kind(self.G.parameters(), **arguments)
        self.opt_D = kind(self.D.parameters(), **arguments)

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

    def _set_rates(self) -> None:
        """Both follow from the step alone, so that nothing of them needs to be saved."""
        p = self.protocol
        rate = OPTIMIZERS[self.settings.optimizer][1]["lr"] * self._rate_factor()
        for optimizer, updates in ((self.opt_G, p.g_steps), (self.opt_D, p.d_steps)):
            (group,) = optimizer.param_groups
            group["lr"] = rate
            if "t0" in group:  # ASGD's: by default it averages after a million updates.
                group["t0"] = self.steps * updates / 2

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

    @torch.no_grad()
    def _is_worth_keeping(self) -> bool:
        """Whether the scale at work brings the photo nearer than enlarging does."""
        if self.scale == 0:
            return True
        again = self.model.refine(self.scale, self._below_rec, self._z_rec)
        return self._error(again) < self._error(self._below_rec)

    # Pictures and figures of the state.

    def _error(self, picture: Tensor) -> float:
        """Mean squared error of the reconstruction."""
        return (picture - self.reals[self.scale]).square().mean().item()

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

    def _pace(self) -> float | None:
        """Seconds per iteration at this scale; the first one is a warm-up."""
        ticks = self._ticks
        return (ticks[-1] - ticks[0]) / (len(ticks) - 1) if len(ticks) > 1 else None

    def _eta(self) -> float | None:
        budget, pace = self.settings.budget_seconds, self._pace()
        if budget is not None:
            return max(0.0, budget - self.seconds)
        if pace is None:
            return None
        return pace * (self.steps * self._work_ahead() - self.step)

    def _work_ahead(self) -> float:
        """An iteration at this scale and at every finer one, in units of the first of them."""
        return sum(map(self._work, range(self.scale, len(self.reals)))) / self._work(self.scale)

    def _work(self, scale: int) -> float:
        """Multiplications of an iteration."""

        def forward(n: int) -> float:
            (height, width), c = self.model.sizes[n], self.model.channels[n]
            return height * width * (54 * c + 27 * c * c)

        return PASSES * forward(scale) + sum(map(forward, range(scale))) + OVERHEAD

    def _rng(self, *purpose: str | int) -> torch.Generator:
        """A source of its own for every purpose, by the seed."""
        key = " ".join(map(str, (self.settings.seed, *purpose)))
        digest = hashlib.sha256(key.encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def _threads(self) -> Any:
        height, width = self.model.sizes[self._last]
        return threads_for(height * width * self.model.channels[self._last])


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What is named with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore(optimizer: Optimizer, slots: dict[str, Tensor]) -> None:
    """An optimizer's moments, in their weights' layout: in another one sums may round otherwise."""
    for i, weight in enumerate(optimizer.param_groups[0]["params"]):
        for key, value in part(slots, f"{i}.").items():
            kept = torch.empty_like(weight).copy_(value) if value.ndim else value
            optimizer.state[weight][key] = kept.detach()
