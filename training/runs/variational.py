"""VariationalRun: what a script that trains a VAE on condition needs beyond `training.runs.run`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from genmodels.data import conditions, images
from genmodels.data.image_folder import ImageFolder, evenly
from training.runs.run import MicroBatch, Run, RunConfig

MEASURED = 256  # Images of each kind that bits/dim are measured on.
SHOWN = 8  # Held-out images on a sheet.


@dataclass(frozen=True, kw_only=True)
class VariationalConfig(RunConfig):
    """Flags that only scripts of VAEs have."""

    conditions: tuple[str, ...] = ()  # Labels to condition on; an image may lack some of them.
    condition_dropout: float = 0.1  # Share of known labels that are hidden while training.

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.condition_dropout <= 0.5:
            raise ValueError(
                f"condition_dropout must be from 0 to 0.5, got {self.condition_dropout}"
            )


class VariationalRun(Run):
    """A run whose images may lack labels: c is that of `conditions.encode_known`."""

    config: VariationalConfig
    schema: conditions.Schema

    @property
    def c_dim(self) -> int:
        """Length of c."""
        return int(self.data.c.shape[1])

    def micro_batches(self, step: int, purpose: str) -> Iterator[MicroBatch]:
        """As any run's, with some of the known conditions hidden."""
        config = self.config
        for batch in super().micro_batches(step, purpose):
            is_known = known_after(
                config.batch_size, len(self.schema), config.condition_dropout, batch.rng
            )
            yield replace(batch, c=hidden(self.schema, batch.c, is_known[batch.rows]))

    def measured(self, folder: ImageFolder) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [n, 3, R, R] to measure on and all that is known of them, the same each time."""
        for rows in np.array_split(evenly(len(folder), MEASURED), MEASURED // 32):
            if len(rows):
                yield self._on_device(folder.batch(rows))

    def shown(self) -> tuple[Tensor, Tensor]:
        """The images of the sheets and their c: held-out ones, where there are any."""
        folder = self.held_out if len(self.held_out) else self.data
        return self._on_device(folder.batch(evenly(len(folder), SHOWN)))

    def examples(self, count: int) -> tuple[Tensor, Tensor]:
        """Any training images and their c."""
        return self._on_device(self.data.batch(np.arange(count) % len(self.data)))

    def _on_device(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        pixels, c = batch
        return images.to_float(pixels.to(self.device)), c.to(self.device)

    def drawn_c(self, count: int, rng: Generator) -> Tensor:
        """Conditions [count, c_dim] of random training images."""
        return self.data.c[torch.randint(len(self.data), (count,), generator=rng)].to(self.device)

    def _load_data(self) -> tuple[Any, Any]:
        names, self.conditions = self.conditions, ()  # The folder would refuse what lacks one.
        data, held_out = super()._load_data()
        self.conditions = names
        self.schema = {}
        for name in names:
            rows = [
                {"file_name": file} | row
                for file, row in zip(data.names, data.rows, strict=True)
                if row.get(name) not in (None, "")
            ]
            self.schema |= conditions.infer(rows, [name])
        for folder in (data, held_out):
            folder.c = _encoded(folder, self.schema)
        return data, held_out


class SafeStep(nn.Module):
    """An optimiser's step that is left out where the gradient is not finite, or far too large.

    Then the buffers, BatchNorm's statistics among them, are put back as well. How many steps were
    left out is its state.
    """

    skipped: Tensor  # A scalar.

    def __init__(self, max_norm: float, skip_norm: float) -> None:
        super().__init__()
        self.max_norm, self.skip_norm = max_norm, skip_norm
        self.register_buffer("skipped", torch.zeros(()))
        self._kept: list[Tensor] = []

    def begin(self, network: nn.Module) -> None:
        """Remember the buffers, before the step's first forward pass."""
        self._kept = [buffer.clone() for buffer in network.buffers()]

    def end(self, network: nn.Module, optimizer: Optimizer) -> tuple[bool, Tensor]:
        """Take the step if that is safe; whether it was, and the gradient's norm."""
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.max_norm, foreach=True)
        is_safe = bool(norm <= self.skip_norm)  # NaN is not.
        if is_safe:
            optimizer.step()
        else:
            self.skipped += 1
            self.put_back(network)
        return is_safe, norm

    def put_back(self, network: nn.Module) -> None:
        """The buffers as they were before the step."""
        for buffer, before in zip(network.buffers(), self._kept, strict=True):
            buffer.copy_(before)


def known_after(
    count: int,  # Images.
    names: int,  # Conditions of each.
    dropout: float,  # Share of all that are hidden.
    rng: Generator,
) -> Tensor:
    """Which conditions are not hidden, bool [count, names].

    Of most images none is. Of the others a share is hidden that is drawn for each, so that every
    subset of them is met, none and all included.
    """
    is_touched = torch.rand(count, 1, generator=rng) < 2 * dropout
    share = torch.rand(count, 1, generator=rng)
    return ~is_touched | (torch.rand(count, names, generator=rng) > share)


def hidden(schema: conditions.Schema, c: Tensor, is_known: Tensor) -> Tensor:
    """c [N, c_dim] with some of its conditions made unknown; is_known bool [N, len(schema)]."""
    sizes = [conditions.size({name: entry}) for name, entry in schema.items()]
    each = torch.tensor([*sizes, *[1] * len(sizes)], dtype=torch.int64)
    kept = torch.cat([is_known, is_known], dim=1).repeat_interleave(each, dim=1)
    return c * kept.to(c.device)


def kl_weights(
    kl: Tensor,  # KL per image and group [N, G].
    sizes: Tensor,  # Latents of each group [G].
    warmth: float,  # How far the warm-up is, 0 to 1; at 1 all groups weigh the same.
) -> Tensor:
    """Weights of the groups [G], 1 on average; large groups and those in much use weigh more.

    NVAE's balancing (section 3.2): a group that is not in use yet is not pressed to stay so.
    """
    if warmth >= 1:
        return torch.ones_like(sizes)
    used = sizes * kl.detach().mean(0).abs()
    return used / used.mean().clamp(min=1e-9)


def balanced(loss: Tensor, other: Tensor, at: Tensor) -> Tensor:
    """A loss whose slope at a tensor has the direction of `loss` and the length of `other`'s."""
    (slope,) = torch.autograd.grad(loss, at, retain_graph=True)
    (measure,) = torch.autograd.grad(other, at, retain_graph=True)
    length = slope.norm().clamp(min=torch.finfo(slope.dtype).tiny)
    return (at * (slope * (measure.norm() / length))).sum()


def rate(step: int, steps: int, peak: float, warmup_steps: int, decay_from: float) -> float:
    """Up linearly at first, then constant, and down a half cosine to a fortieth at the end."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step / steps - decay_from) / max(1 - decay_from, 1e-9)
    down = 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
    return peak * (0.025 + 0.975 * down)


def _encoded(folder: ImageFolder, schema: conditions.Schema) -> Tensor:
    vectors = []
    for file, row in zip(folder.names, folder.rows, strict=True):
        known = {name: row[name] for name in schema if row.get(name) not in (None, "")}
        try:
            vectors.append(conditions.encode_known(schema, known))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    length = conditions.size(schema) + len(schema)
    return torch.tensor(vectors, dtype=torch.float32).reshape(len(vectors), length)
