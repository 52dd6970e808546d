"""Training SinGAN's scales one after another: what all ways to train one share.

`ScaleTraining` has the pyramid, the clock, the events and the state in a folder; `full.py` and
`fast.py` have the ways to train a scale. Everything random depends on (seed, scale, step) alone, so
nothing of it needs to be saved.
"""

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from genmodels.hub import state
from genmodels.models.singan import networks
from genmodels.models.singan.settings import MODES, OPTIMIZERS, Protocol, Settings

MEASURED = 4  # Iterations after which a budget is divided; the first of them is a warm-up.
NUMBERS = ("scale", "step", "steps", "losses", "scale_started", "deadline")  # Numbers in the state.
NEVER = 1e9  # Seconds; JSON knows no infinity.


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a training; the last event has the model."""

    scale: int  # The one at work, 0 is the coarsest.
    num_scales: int  # How many there are.
    step: int  # Iterations of this scale behind it (fast, scale 0: pictures made) ...
    steps: int  # ... and planned.
    losses: dict[str, float]  # Losses of the last updates: D, penalty, G, reconstruction.
    seconds: float  # Since the start, with those of a run that this one resumes.
    eta_seconds: float | None  # Until the end, by the pace so far; None before there is any.
    preview: Image.Image | None = None  # A sample, at the finest scale's size.
    model: networks.SinGAN | None = None  # The result.
    pipeline: Any = None  # The result, where a pipeline asked for it.


class ScaleTraining(ABC):
    """One photo's pyramid, the scale that is being trained, and its clock.

    A subclass begins the first scale at the end of its `__init__`.
    """

    protocol: Protocol
    G: Any
    D: nn.Module
    opt_G: Optimizer
    opt_D: Optimizer
    _below_rec: Tensor  # The photo as it comes from below, at this scale's size, ...
    _z_rec: Tensor | None  # ... and the noise that makes it the photo here.

    def __init__(
        self,
        photo: Tensor,  # [1, 3, H, W] in [-1, 1].
        settings: Settings,
        sizes: list[list[int]],  # [height, width] of all scales ...
        channels: list[int],  # ... and their networks' widths.
    ) -> None:
        self.settings, self.protocol = settings, MODES[settings.mode]
        self.reals = [
            networks.resize(photo, (h, w)).contiguous(memory_format=torch.channels_last)
            for h, w in sizes
        ]
        self.photo_sha256 = hashlib.sha256(photo.numpy().tobytes()).hexdigest()
        self.model = networks.SinGAN(sizes, channels).eval()
        self.losses: dict[str, float] = {}
        self._before, self._started = 0.0, time.monotonic()
        self.scale_started, self.deadline = 0.0, NEVER
        self.scale, self.step, self.steps = 0, 0, 0
        self._ticks: list[float] = []  # When iterations ended, here and now.

    # What a way to train says for itself.

    @property
    @abstractmethod
    def _is_learning(self) -> bool:
        """Whether iterations at this scale train networks."""

    @abstractmethod
    def iterate(self) -> Iterator[None]:
        """One iteration; it pauses within every update, so that one can stop there."""

    @abstractmethod
    def _begin_scale(self) -> None:
        """New networks for this scale, its noise and its clock."""

    @abstractmethod
    def _enter_scale(self) -> None:
        """Rebuild what is derived from the networks' weights and not saved."""

    @abstractmethod
    def _rate_factor(self) -> float:
        """The learning rate of this step, by the optimizer's own."""

    @abstractmethod
    def _settle(self) -> None:
        """Put the weights to keep into the model, in eval mode."""

    @abstractmethod
    def _networks(self) -> dict[str, nn.Module]:
        """What the state holds."""

    @abstractmethod
    def _extra_tensors(self) -> dict[str, Tensor]:
        """What else it holds."""

    @abstractmethod
    def _remake_networks(self, tensors: dict[str, Tensor]) -> None:
        """Networks of the shapes that this scale has; their weights are loaded after."""

    @abstractmethod
    def _preview(self, num_scales: int | None = None) -> Image.Image:
        """A sample, at the finest scale's size."""

    @abstractmethod
    def _work(self, scale: int) -> float:
        """Multiplications of an iteration, in any unit."""

    @abstractmethod
    def _threads(self) -> Any:
        """A context with as many threads as the tensors of this scale are worth."""

    # Its clock and its events.

    @property
    def is_finished(self) -> bool:
        return self.scale == len(self.reals)

    @property
    def _last(self) -> int:  # The scale at work, or the last one that was.
        return min(self.scale, len(self.reals) - 1)

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def end_iteration(self) -> bool:
        """Count it; whether it was the scale's last one."""
        if not all(map(math.isfinite, self.losses.values())):
            raise FloatingPointError(
                f"the training diverged at scale {self.scale}, iteration {self.step} "
                f"({self.settings.optimizer}): try adam"
            )
        self.step += 1
        self._ticks.append(self.seconds)
        budget = self.settings.budget_seconds
        if budget is not None and self.step == MEASURED and self._is_learning:
            self._divide(budget)
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

    # Its state in a folder.

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

    def _optimizers(self) -> dict[str, Optimizer]:
        return {"opt_G": self.opt_G, "opt_D": self.opt_D} if self._is_learning else {}

    # One scale.

    def _set_noise(self) -> None:
        """As strong as what the reconstruction from below misses, times a factor."""
        rmse = math.sqrt(self._error(self._below_rec))
        self.model.noise_amps[self.scale] = self.protocol.noise_strength * rmse

    def _start_clock(self, steps: int) -> None:
        self.step, self.steps = 0, steps
        self.scale_started, self.deadline = self.seconds, NEVER
        self._ticks = []

    def _make_optimizers(self) -> None:
        kind, arguments = OPTIMIZERS[self.settings.optimizer]
        self.opt_G = kind(self.G.parameters(), **arguments)
        self.opt_D = kind(self.D.parameters(), **arguments)

    def _set_rates(self) -> None:
        """Both follow from the step alone, so that nothing of them needs to be saved."""
        p = self.protocol
        rate = OPTIMIZERS[self.settings.optimizer][1]["lr"] * self._rate_factor()
        for optimizer, updates in ((self.opt_G, p.g_steps), (self.opt_D, p.d_steps)):
            (group,) = optimizer.param_groups
            group["lr"] = rate
            if "t0" in group:  # ASGD's: by default it averages after a million updates.
                group["t0"] = self.steps * updates / 2

    @torch.no_grad()
    def _is_worth_keeping(self) -> bool:
        """Whether the scale at work brings the photo nearer than enlarging does."""
        if self.scale == 0:
            return True
        again = self.model.refine(self.scale, self._below_rec, self._z_rec)
        return self._error(again) < self._error(self._below_rec)

    def _error(self, picture: Tensor) -> float:
        """Mean squared error of the reconstruction."""
        return (picture - self.reals[self.scale]).square().mean().item()

    def _pace(self) -> float | None:
        """Seconds per iteration at this scale; the first one is a warm-up."""
        ticks = self._ticks
        return (ticks[-1] - ticks[0]) / (len(ticks) - 1) if len(ticks) > 1 else None

    def _eta(self) -> float | None:
        budget, pace = self.settings.budget_seconds, self._pace()
        if budget is not None:
            return max(0.0, budget - self.seconds)
        if pace is None or not self._is_learning:  # Making pictures tells nothing about learning.
            return None
        return pace * (self.steps * self._work_ahead() - self.step)

    def _work_ahead(self) -> float:
        """An iteration at this scale and at every finer one, in units of the first of them."""
        return sum(map(self._work, range(self.scale, len(self.reals)))) / self._work(self.scale)

    def _rng(self, *purpose: str | int) -> torch.Generator:
        """A source of its own for every purpose, by the seed."""
        key = " ".join(map(str, (self.settings.seed, *purpose)))
        digest = hashlib.sha256(key.encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What is named with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore(optimizer: Optimizer, slots: dict[str, Tensor]) -> None:
    """An optimizer's moments, in their weights' layout: in another one sums may round otherwise."""
    for i, weight in enumerate(optimizer.param_groups[0]["params"]):
        for key, value in part(slots, f"{i}.").items():
            restored = torch.empty_like(weight).copy_(value) if value.ndim else value
            optimizer.state[weight][key] = restored.detach()
